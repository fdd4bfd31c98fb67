"""A clip and its trimaps to clips, segment by segment."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, LiteMattingError, NotFiniteError, OutputError, UsageError
from ..files import check_writable
from ..images.background import Background
from ..matting.trimap import FOREGROUND, from_mask, unsure
from ..runtime import Matter, open_matter
from ..specs import DEFAULT_SEGMENT, JobSpec, TrimapSpec, differing
from ..video.codecs import Content, codec_for
from ..video.job import run
from ..video.mux import check_sound, join
from ..video.pictures import Pictures
from ..video.reader import Clip, ClipFrame
from ..video.segments import Result, Segment, Segments
from ..video.trimaps import Pair, as_mask, check_counts, decode_grey, open_greys, pairs
from .folder import JobResult, result_settings
from .progress import ProgressMeter, Report
from .remarks import Remarks
from .settings import keep_settings
from .trimaps import band_of, meaning_of


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A frame as the network sees it, with its trimap (H, W). failure: why that is wrong; then it is background."""

    frame: ClipFrame
    source: str
    network: NDArray[np.uint8]
    trimap: NDArray[np.uint8]
    failure: InputError | None = None


class _FrameError(LiteMattingError):
    """A frame whose trimap is wrong or whose alpha is not finite: the job may go past it."""


def matte_clip(job: JobSpec, report: Report | None = None) -> JobResult:
    """Matte the frames of a clip in order, and write clips of them with its times, sound and timecode.

    report: is called with how far the job is. A frame that fails ends the job, keeping what is done for `resume`; with
    `failed_frames="known"` it holds the known pixels of its trimap, and the job goes on. A job that is resumed and was
    finished tries nothing. Raises `UsageError`, `InputError`, `NotFiniteError`, `OutputError`, `DependencyError`, and
    what opening an engine raises.
    """
    started = time.perf_counter()
    unused = differing(job, "frames", "shard", "exposure") + differing(job.output, "format", "depth", "preview")
    for name in unused + differing(job.plan, "published"):
        raise UsageError(f"`{name}` is for photos, not for a clip; leave it out", parameter=name)
    meter = ProgressMeter(report)
    clip = Clip(job.images, job.max_megapixels)
    meaning = None if job.trimap.kind == "trimap" else meaning_of(job.trimap)
    greys = open_greys(job.source, job.max_megapixels, meaning)
    check_counts(clip, greys)
    if job.trimap.kind == "trimap" and not job.trimap.allow_no_unknown:
        greys.check_some_unknown(job.trimap.trimap_encoding)
    elif meaning is not None and not meaning:
        greys.check_some_sure()
    pictures = _chosen(job, clip)
    files = {result.path: result.codec.name for result in pictures.results}
    segments = Segments(job.output.alpha, pictures.results, clip, job.output.segment or DEFAULT_SEGMENT)
    if job.resume and not segments.folder.exists() and _is_done(pictures, (job.images, job.source)):
        return JobResult(clip.count or 0, 0, time.perf_counter() - started, "", files=files)
    with open_matter(job.engine, job.plan) as matter, segments.locked(job.resume):
        engine = matter.engine.describe()
        keep_settings(segments.folder, _settings(matter, pictures, job), job.resume)
        todo = pairs(clip, greys)
        resumed = _check_done(segments.whole(), todo, meter)
        meter.begin("frames", (clip.count or resumed) - resumed)
        remarks = _run(todo, segments, pictures, matter, meter, job)
        done = segments.whole()
        for index, result in enumerate(pictures.results):
            join(result, segments.files(index, done), done, clip, job.output.sound)
    segments.remove()
    count = sum(len(segment.pts) for segment in done)
    return JobResult(
        total=count,
        tried=count - resumed,
        seconds=time.perf_counter() - started,
        engine=engine,
        failures=dict(_named(failure, job.images) for segment in done for failure in segment.failed),
        remarks=remarks,
        files=files,
    )


def _chosen(job: JobSpec, clip: Clip) -> Pictures:
    """What is to be made, checked before any work."""
    spec, inputs = job.output, (job.images, job.source)
    output, behind = spec.alpha, spec.background
    hw = clip.first.hw
    results = [Result(output, *codec_for(output, spec.codec, None, hw))]
    composite = None
    others: list[tuple[str | None, Content]] = [(spec.cutout, "colour" if behind else "alpha")]
    for path, content in (*others, (spec.foreground, "colour")):
        if path is not None:
            if path == spec.cutout and behind:
                composite = len(results)
            results.append(Result(path, *codec_for(path, None, content, hw)))
    taken: set[Path] = set()
    for result in results:
        place = Path(result.path).resolve()
        if place in taken or place in {Path(path).resolve() for path in inputs}:
            raise UsageError(f"{result.path}: is an input or another result, too; choose another name")
        taken.add(place)
        check_writable(place)
        if spec.sound:
            check_sound(clip, result.path)
    if spec.premultiplied is not None and all(result.content != "alpha" for result in results):
        raise UsageError("`premultiplied` is about an alpha channel, and no result has one", parameter="premultiplied")
    background = None if behind is None else Background(behind, job.max_megapixels)
    pictures = Pictures(tuple(results), bool(spec.premultiplied), background, composite)
    pictures.check(clip.first)
    return pictures


def _is_done(pictures: Pictures, sources: tuple[str, str]) -> bool:
    files = [Path(result.path) for result in pictures.results]
    newest = max(os.stat(source).st_mtime_ns for source in sources if os.path.exists(source))
    return all(file.is_file() and file.stat().st_mtime_ns >= newest for file in files)


def _settings(matter: Matter, pictures: Pictures, job: JobSpec) -> dict[str, Any]:
    results = [f"{Path(result.path).name}: {result.codec.name} {result.content}" for result in pictures.results]
    return result_settings(matter, job) | {"results": results}


def _check_done(done: list[Segment], todo: Iterator[Pair], meter: ProgressMeter) -> int:
    """Go past the frames that are done. Raises `InputError` where one was made from something else."""
    sources = [source for segment in done for source in segment.sources]
    meter.begin("looking", len(sources))
    for source in sources:
        pair = next(todo, None)
        if pair is None or pair.digest() != source:
            name = "a frame that is no longer there" if pair is None else pair.frame.name
            raise InputError(f"{name}: was made from another picture or trimap; begin anew, without `resume`")
        meter.step()
    return len(sources)


def _run(
    todo: Iterator[Pair],
    segments: Segments,
    pictures: Pictures,
    matter: Matter,
    meter: ProgressMeter,
    job: JobSpec,
) -> dict[str, Remarks]:
    """Matte what is left of a clip, and return what there is to say of its frames."""
    remarks: dict[str, Remarks] = {}
    failed: dict[int, LiteMattingError] = {}

    def load() -> _Loaded | None:
        pair = next(todo, None)
        return None if pair is None else _load(pair, job)

    going_on = job.failed_frames == "known"

    def matted(frames: Iterable[_Loaded]) -> Iterator[NDArray[np.float32] | NotFiniteError]:
        inputs = ((item.network, item.trimap) for item in frames)
        for alpha in matter.sequence(inputs, progress=meter.patches, go_on=True):
            if not isinstance(alpha, NotFiniteError):
                meter.step()
            yield alpha

    def save(item: _Loaded, alpha: NDArray[np.float32] | NotFiniteError) -> None:
        failure: LiteMattingError | None = item.failure
        if isinstance(alpha, NotFiniteError):
            failure, opaque = alpha, (item.trimap == FOREGROUND).astype(np.float32)
        else:
            opaque = alpha
        if failure is not None:
            failed[item.frame.index] = failure
            if not going_on:
                raise _FrameError(_said(item, failure))
        said = None if failure is None else _said(item, failure)
        segments.add(item.frame, item.source, pictures.of(item.frame, item.network, opaque), said)

    try:
        for item in run(load, matted, save):
            name, failure = f"frame {item.frame.index}", failed.get(item.frame.index)
            if failure is None:
                remarks[name] = Remarks(unsure(item.trimap))
            meter.end(name, None if failure is None else str(failure))
        segments.close()
    except OutputError:
        raise
    except (InputError, _FrameError) as error:
        segments.keep_what_is_whole()
        kept = sum(len(segment.pts) for segment in segments.whole())
        past = ", or past such frames with `resume` and `failed_frames=known`" if isinstance(error, _FrameError) else ""
        raise type(error)(
            f"{error}; {kept} frames are done and kept, mend that and go on with `resume`{past}"
        ) from error
    except BaseException:
        segments.keep_what_is_whole()
        raise
    return remarks


def _named(failure: str, clip: str) -> tuple[str, str]:
    """Return the name of a frame, without its clip's, and why it failed."""
    name, _, reason = failure.removeprefix(f"{clip}: ").partition(": ")
    return name, reason


def _said(item: _Loaded, failure: LiteMattingError) -> str:
    return f"{item.frame.name}: {failure}"


def _load(pair: Pair, job: JobSpec) -> _Loaded:
    network = pair.frame.colours.network(pair.frame.signal())
    try:
        return _Loaded(pair.frame, pair.digest(), network, _trimap(pair, network, job.trimap))
    except InputError as error:
        return _Loaded(pair.frame, pair.digest(), network, np.zeros(network.shape[:2], np.uint8), error)


def _trimap(pair: Pair, network: NDArray[np.uint8], spec: TrimapSpec) -> NDArray[np.uint8]:
    """Return the trimap (H, W) of a pair. Raises `InputError`."""
    if isinstance(pair.grey, InputError):
        raise pair.grey
    if spec.kind == "trimap":
        return decode_grey(pair.grey, pair.name, spec.trimap_encoding, pair.compressed)
    mask = as_mask(pair.grey, pair.name, meaning_of(spec), alone=False) if pair.compressed else pair.grey
    return from_mask(mask, band_of(spec), pair.name, network, adaptive=spec.adaptive, checked=True)
