"""ltm-infer on folders and numbered patterns."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..engines.triton import is_url
from ..errors import NotFiniteError, UsageError
from ..images.background import is_image
from ..jobs.frames import Frame, Sources, find_sources, parse_numbers, say_numbers, shard
from ..jobs.run import Steps, run, unfinished
from ..jobs.settings import keep_settings
from ..matting.unknown_band import Band
from ..runtime import Matter
from ..runtime.shipped import SHIPPED_ENGINE
from ..sidecar import weights_sha256
from ._engine import open_chosen
from ._folder_files import SUFFIXES, FolderFiles, Loaded
from ._folder_progress import FolderProgress, folder_progress
from ._plan import matter_for
from ._trimap import check_some_unknown, mask_meaning
from .command import notice, stdout

_OPTIONS = (
    click.option("--frames", metavar="1-100", help="Of a pattern, only these: 1-100, 1-100x2 or 1,5,9-12."),
    click.option("--shard", "part", metavar="3/16", help="Only this part of the frames, for one of many machines."),
    click.option("--resume", is_flag=True, help="Leave frames whose results are whole and newer than their sources."),
    click.option(
        "--format", "kind", type=click.Choice(list(SUFFIXES)), help="Of a folder's results.  [default: png; exr of EXR]"
    ),
)
_KEPT = ("trimap_encoding", "adaptive", "depth", "premultiplied", "exposure", "published")


def folder_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that only folders and patterns have."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def refuse_folder_options(options: dict[str, Any]) -> None:
    """Raise `UsageError` where one of them was given for a single photo."""
    for name, flag in (("frames", "--frames"), ("part", "--shard"), ("resume", "--resume"), ("kind", "--format")):
        if options[name] not in (None, False):
            raise click.UsageError(f"{flag} is for folders and patterns of photos; leave it out")


def matte_folder(images: str, source: str, output: str, options: dict[str, Any]) -> int:
    """Matte the frames of a folder or pattern, with trimaps or masks from `source`. Returns the exit code: 1 where a
    frame failed."""
    started = time.perf_counter()
    frames, missing, sources = chosen_frames(images, source, options)
    check_some_unknown(images, source, options)
    files = FolderFiles((images, source), output, options)
    files.check(frames)
    if options["resume"]:
        files.remove_old_drafts(frames)
    with (
        open_chosen(options) as engine,
        matter_for(engine, options) as matter,
    ):
        if options["verbose"]:
            notice(f"engine: {engine.describe()}")
        since_ns = keep_settings(Path(output), result_settings(matter, options, options["resume"]), options["resume"])
        todo = frames
        with folder_progress("ltm-infer", say_missing(images, missing)) as progress:
            if options["resume"]:
                looked_at = progress.begin("looking", len(frames))
                todo = unfinished(frames, lambda frame: files.is_done(frame, since_ns), looked_at)
            progress.begin("frames", len(todo))
            for done in run(todo, folder_steps(files, matter, progress)):
                progress.over(done)
        described = engine.describe()
    for words in (*sources.notes, *filter(None, (files.clipped, files.lost_colour))):
        notice(f"ltm-infer: {words}")
    seconds, failed = time.perf_counter() - started, len(progress.failures)
    shard = f" of shard {options['part']}" if options["part"] else ""
    made = f"{len(todo) - failed} of {len(frames)} frames{shard}"
    skipped = f", {len(frames) - len(todo)} were done" if options["resume"] else ""
    stdout.print(
        f"{output}: {made} in {seconds:.1f} s{skipped}, {failed} failed{say_count(missing)}{sources.counts}, "
        f"{described}{say_unsure(files.unsure)}",
        markup=False,
        soft_wrap=True,
    )
    return 1 if failed or missing else 0


def chosen_frames(images: str, source: str, options: dict[str, Any]) -> tuple[list[Frame], list[int], Sources]:
    """The frames that the options say, and which of the wanted numbers are not there, both of the shard alone; and all
    that was found."""
    numbers = None if options["frames"] is None else parse_numbers(options["frames"])
    sources = find_sources(images, source, numbers)
    frames = sources.frames
    missing = sorted(set(numbers or ()) - {frame.number for frame in frames})
    part = options["part"]
    if part is not None:
        frames, missing = shard(frames, part), shard(missing, part)
    return frames, missing, sources


def say_missing(images: str, numbers: list[int]) -> str | None:
    """For the list of failures."""
    return f"{images}: there is no frame {say_numbers(numbers)}" if numbers else None


def say_count(missing: list[int]) -> str:
    """For the last line."""
    return f", {len(missing)} missing" if missing else ""


def say_unsure(unsure: dict[str, str]) -> str:
    """For the last line: how many frames had a trimap without sure foreground or background, and the first of them."""
    if not unsure:
        return ""
    name, what = min(unsure.items())
    return f"; trimaps without sure foreground or background: {len(unsure)} ({name}: {what})"


def result_settings(matter: Matter, options: dict[str, Any], resume: bool) -> dict[str, Any]:
    """What decides on the results: not the device, so that the machines of a farm may share a folder.

    Raises `UsageError` where a job is resumed with a server that does not say which weights it has.
    """
    background = options["background"]
    if background is not None and is_image(background):
        background = os.path.abspath(background)
    (height, width), path = matter.engine.patch_hw, options["engine"] or SHIPPED_ENGINE
    weights = matter.engine.weights_sha256 or ("unknown" if is_url(path) else weights_sha256(path))
    if resume and weights == "unknown":
        raise UsageError(
            f"{path}: does not say which weights it has, so --resume might mix two; leave it out, or serve what "
            "ltm-export --triton wrote"
        )
    return {
        "engine": f"{height}x{width} {matter.engine.precision}, weights {weights[:12]}",
        "plan": matter.placement,
        "unknown": None
        if options["mask"] is None
        else f"{options['unknown'] or Band()} {mask_meaning(options)}".strip(),
        "format": options["kind"],
        "background": background,
        **{name: options[name] for name in _KEPT},
    }


def _read_masks_by(options: dict[str, Any]) -> str:
    """How masks become trimaps, in words."""
    return f"{options['unknown'] or Band()} {mask_meaning(options)}".strip()


def folder_steps(
    files: FolderFiles, matter: Matter, progress: FolderProgress | None = None
) -> Steps[Loaded, NDArray[np.float32]]:
    """What happens to each frame of a folder."""

    def matte(loaded: Iterable[Loaded]) -> Iterator[NDArray[np.float32] | NotFiniteError]:
        pairs = ((item.photo.network, item.trimap) for item in loaded)
        for alpha in matter.sequence(pairs, progress=None if progress is None else progress.patches, go_on=True):
            if progress is not None and not isinstance(alpha, NotFiniteError):
                progress.matted()
            yield alpha

    def save(_: Frame, loaded: Loaded, alpha: NDArray[np.float32]) -> None:
        loaded.write(alpha)

    return Steps(files.load, matte, save)
