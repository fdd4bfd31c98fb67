"""ltm-infer on folders and numbered patterns."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .._files import replace_file
from ..errors import InputError, OutputError, UsageError
from ..matting.image_io import EXR_SUFFIX, is_whole, read_trimap
from ..matting.photo import Photo, read_photo
from ..matting.trimap import Encoding, decode
from ..runtime import Matter
from ..sequence.frames import Frame, find_frames, parse_numbers, shard
from ..sequence.job import Steps, run
from ._command import notice, stderr, stdout
from ._engine import open_chosen
from ._plan import matter_for
from ._results import Results, chosen_results

SETTINGS = ".ltm-infer.json"
SUFFIXES = {"png": ".png", "tiff": ".tif", "exr": EXR_SUFFIX}

_OPTIONS = (
    click.option("--frames", metavar="1-100", help="Of a pattern, only these: 1-100, 1-100x2 or 1,5,9-12."),
    click.option("--shard", "part", metavar="3/16", help="Only this part of the frames, for one of many machines."),
    click.option("--resume", is_flag=True, help="Leave frames whose results are whole and newer than their sources."),
    click.option(
        "--format", "kind", type=click.Choice(list(SUFFIXES)), help="Of a folder's results.  [default: png; exr of EXR]"
    ),
)
_KEPT = (
    "trimap_encoding",
    "depth",
    "premultiplied",
    "background",
    "exposure",
    "published",
    "precision",
    "kind",
)


def folder_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that only folders and patterns have."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def refuse_folder_options(options: dict[str, Any]) -> None:
    """Raise `UsageError` where one of them was given for a single photo."""
    for name, flag in (("frames", "--frames"), ("part", "--shard"), ("resume", "--resume"), ("kind", "--format")):
        if options[name]:
            raise click.UsageError(f"{flag} is for folders and patterns of photos; leave it out")


@dataclass(frozen=True)
class _Loaded:
    photo: Photo
    trimap: NDArray[np.uint8]
    results: Results


class _Folder:
    """What is to be written where."""

    def __init__(self, output: str, options: dict[str, Any]) -> None:
        """Makes the folders. Raises `UsageError` where options contradict each other, `OutputError`."""
        self._options = options
        named = {"alpha": output, "cutout": options["cutout"], "foreground": options["foreground"]}
        self._folders = {name: Path(folder) for name, folder in named.items() if folder is not None}
        any_file = {}
        for name, folder in self._folders.items():
            _make_folder(folder)
            any_file[name] = str(folder / f"any{EXR_SUFFIX}")
        alpha = any_file.pop("alpha")
        self._results = chosen_results(alpha, (), options | any_file | {"depth": None})

    def results(self, frame: Frame) -> Results:
        """The files of a frame: its name below each of the folders."""
        kind = self._options["kind"] or ("exr" if frame.image.suffix.lower() == EXR_SUFFIX else "png")
        files: dict[str, Any] = {
            name: str(folder / f"{frame.name}{SUFFIXES[kind]}") for name, folder in self._folders.items()
        }
        return replace(self._results, depth=self._options["depth"], **files)

    def is_done(self, frame: Frame) -> bool:
        """Whether all files of a frame are whole and newer than its photo and trimap."""
        sources = [path.stat().st_mtime_ns for path in (frame.image, frame.trimap) if path is not None]
        files = [Path(path) for path in self.results(frame).files]
        return all(
            path.is_file()
            and path.stat().st_mtime_ns >= max(sources)
            and is_whole(path, self._options["max_megapixels"])
            for path in files
        )

    def load(self, frame: Frame) -> _Loaded:
        """Read a frame and check all that would keep its results from being written."""
        limit: float = self._options["max_megapixels"]
        if frame.trimap is None:
            raise InputError(f"{frame.image}: has no trimap of its name; make one, or take the photo out")
        photo = read_photo(frame.image, limit, self._options["exposure"])
        grey = photo.fit(read_trimap(frame.trimap, limit), str(frame.trimap))
        results = self.results(frame)
        for path in results.files:
            _make_folder(Path(path).parent)
        results.check((str(frame.image), str(frame.trimap)))
        results.check_photo(photo)
        encoding: Encoding = self._options["trimap_encoding"] or "exact"
        return _Loaded(photo, decode(grey, encoding, str(frame.trimap)), results)


def matte_folder(images: str, trimaps: str, output: str, options: dict[str, Any]) -> int:
    """Matte the frames of a folder or pattern. Returns the exit code: 1 where a frame failed."""
    started = time.perf_counter()
    numbers = parse_numbers(options["frames"]) if options["frames"] else None
    frames = find_frames(images, trimaps, numbers)
    if options["part"]:
        frames = shard(frames, options["part"])
    for source in (images, trimaps):
        if Path(output).resolve() == Path(source).resolve():
            raise UsageError(f"{output}: is a folder of sources; choose another folder for the results")
    folder = _Folder(output, options)
    with (
        open_chosen(options) as engine,
        matter_for(engine, options) as matter,
    ):
        _keep_settings(Path(output), matter, options)
        todo = [frame for frame in frames if not (options["resume"] and folder.is_done(frame))]
        failures = _run(todo, folder, matter)
        described = engine.describe()
    for failure in failures:
        notice(f"ltm-infer: failed: {failure}")
    seconds, done = time.perf_counter() - started, len(todo) - len(failures)
    skipped = f", {len(frames) - len(todo)} were done" if options["resume"] else ""
    stdout.print(
        f"{output}: {done} of {len(frames)} frames in {seconds:.1f} s{skipped}, {len(failures)} failed, {described}",
        markup=False,
        soft_wrap=True,
    )
    return 1 if failures else 0


def _run(frames: list[Frame], folder: _Folder, matter: Matter) -> list[str]:
    """Matte the frames; why each of those that failed did."""
    failures: list[str] = []
    with _own_stderr() as console, _bar(console) as bar:
        every = bar.add_task("frames", total=len(frames), patches="")

        def patches(done: int, total: int) -> None:
            bar.update(every, patches=f"patch {done} of {total}")

        def matte(loaded: Iterable[_Loaded]) -> Iterator[NDArray[np.float32]]:
            return matter.sequence(((item.photo.network, item.trimap) for item in loaded), progress=patches)

        def save(_: Frame, loaded: _Loaded, alpha: NDArray[np.float32]) -> None:
            loaded.results.write(loaded.photo, alpha)

        for count, item in enumerate(run(frames, Steps(folder.load, matte, save)), start=1):
            bar.advance(every)
            if item.failure is not None:
                failures.append(f"{item.frame.name}: {item.failure}")
            if not console.is_terminal:
                line = f"{count}/{len(frames)} {item.frame.name}{'' if item.failure is None else ' failed'}"
                console.print(line, markup=False)
    return failures


@contextlib.contextmanager
def _own_stderr() -> Iterator[Console]:
    """The standard error under a number of its own, since reading an image silences the usual one for a moment."""
    with os.fdopen(os.dup(stderr.file.fileno()), "w") as file:
        yield Console(file=file, highlight=False, soft_wrap=True)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[patches]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {error.strerror}; choose another output") from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path}: cannot be written: the folder is read-only; choose another output")


def _keep_settings(output: Path, matter: Matter, options: dict[str, Any]) -> None:
    """Note what the results are made with; resuming with something else would mix two kinds of results."""
    now = {"engine": matter.engine.describe(), "plan": matter.placement, **{name: options[name] for name in _KEPT}}
    path = output / SETTINGS
    if options["resume"] and path.exists():
        try:
            before = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); delete it to resume all the same") from error
        changed = [name for name in now if before.get(name) != now[name]]
        if changed:
            raise UsageError(
                f"{output}: was begun with another {', '.join(changed)} "
                f"({before.get(changed[0])!r}, now {now[changed[0]]!r}); resume with that, or leave --resume out"
            )
    replace_file(path, (json.dumps(now, indent=2) + "\n").encode())
