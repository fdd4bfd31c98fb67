"""ltm-infer on a clip."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, NotFiniteError, OutputError, UsageError
from ..files import check_writable
from ..images.background import Background
from ..jobs.frames import Frame
from ..jobs.run import Done
from ..jobs.settings import keep_settings
from ..matting.trimap import FOREGROUND, from_mask, unsure
from ..matting.unknown_band import Band
from ..runtime import Matter
from ..video.codecs import Content, codec_for
from ..video.job import run
from ..video.mux import check_sound, join
from ..video.pictures import Pictures
from ..video.reader import Clip, ClipFrame
from ..video.segments import Result, Segment, Segments
from ..video.trimaps import SURE_FOREGROUND, Pair, check_counts, decode_grey, open_greys, pairs
from ._engine import open_chosen
from ._folder import result_settings, say_unsure
from ._folder_progress import FolderProgress, folder_progress
from ._plan import matter_for
from ._trimap import mask_meaning
from .command import notice, stdout


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A frame as the network sees it, with its trimap (H, W). failure: why that is wrong; then it is background."""

    frame: ClipFrame
    source: str
    network: NDArray[np.uint8]
    trimap: NDArray[np.uint8]
    failure: str | None = None


def matte(path: str, source: str, output: str, options: dict[str, Any]) -> int:
    """Matte a clip with the trimaps or masks of `source`. Returns the exit code."""
    started = time.perf_counter()
    clip = Clip(path, options["max_megapixels"])
    meaning = None if options["mask"] is None else mask_meaning(options)
    greys = open_greys(source, options["max_megapixels"], meaning)
    check_counts(clip, greys)
    if options["mask"] is None and not options["allow_no_unknown"]:
        greys.check_some_unknown(options["trimap_encoding"])
    pictures = _chosen(output, (path, source), clip, options)
    segments = Segments(output, pictures.results, clip, options["segment"])
    if options["resume"] and not segments.folder.exists() and _is_done(pictures, (path, source)):
        notice(f"ltm-infer: {output} is newer than what it is made from; to make it again leave --resume out")
        return 0
    with open_chosen(options) as engine, matter_for(engine, options) as matter, segments.locked(options["resume"]):
        keep_settings(segments.folder, _settings(matter, pictures, options), options["resume"])
        todo = pairs(clip, greys)
        with folder_progress("ltm-infer") as progress:
            resumed = _check_done(segments.whole(), todo, progress)
            progress.begin("frames", (clip.count or resumed) - resumed)
            lacking = _run(todo, segments, pictures, matter, progress, options)
            done = segments.whole()
            progress.failures[:] = [failure for segment in done for failure in segment.failed]
        for index, result in enumerate(pictures.results):
            join(result, segments.files(index, done), done, clip, not options["no_sound"])
        described = engine.describe()
    segments.remove()
    count, seconds = sum(len(segment.pts) for segment in done), time.perf_counter() - started
    before = f", {resumed} were done" if options["resume"] else ""
    failed = len(progress.failures)
    without = f", {failed} failed and hold known pixels alone" if failed else ""
    files = " and ".join(f"{result.path} ({result.codec.name})" for result in pictures.results)
    described += say_unsure(lacking)
    stdout.print(
        f"{files}: {count} frames in {seconds:.1f} s{before}{without}, {described}", markup=False, soft_wrap=True
    )
    return 1 if failed else 0


def _chosen(output: str, inputs: tuple[str, str], clip: Clip, options: dict[str, Any]) -> Pictures:
    """What is to be made, checked before any work."""
    behind = options["background"]
    if behind is not None and options["cutout"] is None:
        raise click.UsageError("--background is what lies behind --cutout FILE; give that, too")
    hw = clip.first.hw
    results = [Result(output, *codec_for(output, options["codec"], None, hw))]
    composite = None
    others: list[tuple[str | None, Content]] = [(options["cutout"], "colour" if behind else "alpha")]
    for path, content in (*others, (options["foreground"], "colour")):
        if path is not None:
            if path == options["cutout"] and behind:
                composite = len(results)
            results.append(Result(path, *codec_for(path, None, content, hw)))
    taken: set[Path] = set()
    for result in results:
        place = Path(result.path).resolve()
        if place in taken or place in {Path(path).resolve() for path in inputs}:
            raise UsageError(f"{result.path}: is an input or another result, too; choose another name")
        taken.add(place)
        check_writable(place)
        if not options["no_sound"]:
            check_sound(clip, result.path)
    if options["premultiplied"] is not None and all(result.content != "alpha" for result in results):
        raise click.UsageError("--premultiplied and --straight are about an alpha channel; no result has one")
    background = None if behind is None else Background(behind, options["max_megapixels"])
    pictures = Pictures(tuple(results), bool(options["premultiplied"]), background, composite)
    pictures.check(clip.first)
    return pictures


def _is_done(pictures: Pictures, sources: tuple[str, str]) -> bool:
    files = [Path(result.path) for result in pictures.results]
    newest = max(os.stat(source).st_mtime_ns for source in sources if os.path.exists(source))
    return all(file.is_file() and file.stat().st_mtime_ns >= newest for file in files)


def _settings(matter: Matter, pictures: Pictures, options: dict[str, Any]) -> dict[str, Any]:
    results = [f"{Path(result.path).name}: {result.codec.name} {result.content}" for result in pictures.results]
    return result_settings(matter, options, options["resume"]) | {"results": results}


def _check_done(done: list[Segment], todo: Iterator[Pair], progress: FolderProgress) -> int:
    """Go past the frames that are done. Raises `InputError` where one was made from something else."""
    sources = [source for segment in done for source in segment.sources]
    looked_at = progress.begin("looking", len(sources))
    for source in sources:
        pair = next(todo, None)
        if pair is None or pair.digest() != source:
            name = "a frame that is no longer there" if pair is None else pair.frame.name
            raise InputError(f"{name}: was made from another picture or trimap; begin anew, without --resume")
        looked_at()
    return len(sources)


def _run(
    todo: Iterator[Pair],
    segments: Segments,
    pictures: Pictures,
    matter: Matter,
    progress: FolderProgress,
    options: dict[str, Any],
) -> dict[str, str]:
    """Matte what is left of a clip. Returns by frame what the trimaps lack."""
    lacking: dict[str, str] = {}

    def load() -> _Loaded | None:
        pair = next(todo, None)
        return None if pair is None else _load(pair, options)

    going_on = options["failed_frames"] == "known"

    def matted(frames: Iterable[_Loaded]) -> Iterator[NDArray[np.float32] | NotFiniteError]:
        inputs = ((item.network, item.trimap) for item in frames)
        for alpha in matter.sequence(inputs, progress=progress.patches, go_on=True):
            progress.matted()
            yield alpha

    def save(item: _Loaded, alpha: NDArray[np.float32] | NotFiniteError) -> None:
        failure = item.failure
        if isinstance(alpha, NotFiniteError):
            failure = f"{item.frame.name}: {alpha}"
            if not going_on:
                raise NotFiniteError(failure)
            opaque = (item.trimap == FOREGROUND).astype(np.float32)
        else:
            opaque = alpha
        segments.add(item.frame, item.source, pictures.of(item.frame, item.network, opaque), failure)

    try:
        for item in run(load, matted, save):
            if missing := unsure(item.trimap):
                lacking[f"frame {item.frame.index}"] = missing
            progress.over(Done(Frame(f"frame {item.frame.index}", Path(item.frame.name), None)))
        segments.close()
    except OutputError:
        raise
    except (InputError, NotFiniteError) as error:
        segments.keep_what_is_whole()
        kept = sum(len(segment.pts) for segment in segments.whole())
        raise type(error)(
            f"{error}; {kept} frames are done and kept, mend that and go on with --resume, or past such frames with "
            "--resume --failed-frames known"
        ) from error
    except BaseException:
        segments.keep_what_is_whole()
        raise
    return lacking


def _load(pair: Pair, options: dict[str, Any]) -> _Loaded:
    network = pair.frame.colours.network(pair.frame.signal())
    try:
        return _Loaded(pair.frame, pair.digest(), network, _trimap(pair, network, options))
    except InputError as error:
        if options["failed_frames"] != "known":
            raise
        nothing = np.zeros(network.shape[:2], np.uint8)
        return _Loaded(pair.frame, pair.digest(), network, nothing, str(error))


def _trimap(pair: Pair, network: NDArray[np.uint8], options: dict[str, Any]) -> NDArray[np.uint8]:
    if options["mask"] is None:
        return decode_grey(pair.grey, pair.name, options["trimap_encoding"], pair.compressed)
    mask = pair.grey
    if pair.compressed:
        chosen = mask_meaning(options).applied(mask, 255, pair.name, SURE_FOREGROUND / 255)
        mask = mask if chosen is None else chosen
    band, adaptive = options["unknown"] or Band(), options["adaptive"]
    return from_mask(mask, band, pair.name, network, adaptive=adaptive, checked=True)
