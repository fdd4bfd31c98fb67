"""A clip and its trimaps to clips, segment by segment."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ForegroundError, InputError, LiteMattingError, NotFiniteError, OutputError, counted
from ..matting.steady import Moment, steadied
from ..matting.trimap import FOREGROUND, unsure
from ..matting.unknown_band import Widths, spanned
from ..matting.unmixing import unmix
from ..runtime import Matter
from ..specs import JobSpec
from ..video.mux import join
from ..video.reader import Clip
from ..video.segments import Result, Segment, Segments
from .clip_masks import ClipMasks, FrameTrimaps
from .clip_results import ClipResults
from .clip_trimaps import ClipTrimaps, Pair
from .outputs import Remarks, notes
from .progress import Alpha, JobResult, ProgressMeter, Report
from .resume import keep_settings, open_begun, result_settings
from .run import run
from .trimaps import Trimap, closing_masks, open_masks


class _FrameError(LiteMattingError):
    """A frame whose trimap is wrong or whose alpha is not finite: the job may go past it."""


def matte_clip(job: JobSpec, report: Report | None = None) -> JobResult:
    """Matte the frames of a clip in order, and write clips of them with its times, sound and timecode.

    A frame that fails ends the job, keeping what is done for `resume`; with `failed_frames="known"` it holds the known
    pixels of its trimap, and the job goes on. Where foreground colours cannot be estimated, a matte that is a clip of
    its own is finished without them. A job that is resumed and was finished does nothing.
    job: images is a clip, source another clip, a folder or a pattern, and the paths of its results are clips.
    report: is called with the progress of the job.

    Raises `UsageError`, `InputError`, `ForegroundError`, `NotFiniteError`, `OutputError`, `DependencyError`, and what
    opening an engine raises.
    """
    started = time.perf_counter()
    meter = ProgressMeter(report)
    clip = Clip(job.images, job.max_megapixels, job.first_number or 0)
    with contextlib.ExitStack() as stack:
        maker = stack.enter_context(closing_masks(open_masks(job)))
        first_number = (job.first_number or 0) if job.keyframes else None
        trimaps: FrameTrimaps = (
            ClipTrimaps(job.source, job.trimap, job.max_megapixels, first_number, meter.note)
            if maker is None
            else stack.enter_context(ClipMasks(job.trimap, maker))
        )
        trimaps.check(clip)
        for note, is_detail in trimaps.notes(clip):
            meter.note(note, detail=is_detail)
        return _matte(job, clip, trimaps, meter, started)


def _matte(job: JobSpec, clip: Clip, trimaps: FrameTrimaps, meter: ProgressMeter, started: float) -> JobResult:
    """Matte the frames of a clip with their trimaps; see `matte_clip`."""
    outputs = ClipResults.of(job, clip)
    results = tuple(outputs.results.values())
    files = {result.path: result.codec.name for result in results}
    first, is_kept = job.output.first, job.output.alpha is not None
    segments = Segments(first, results, clip, job.output.segment)
    alone = Segments(f"{first}.alone", results[:1], clip, job.output.segment)
    # The folder of segments is removed when a clip is finished: without it, whole results leave nothing to do.
    if job.resume and not segments.folder.exists() and _is_done(files, (job.images, job.source, *job.trimap.files)):
        return JobResult(clip.count or 0, 0, time.perf_counter() - started, "", files=files)
    # A preview alone needs no engine.
    opened = open_begun(job, segments.folder) if is_kept else contextlib.nullcontext()
    with opened as matter, segments.locked(job.resume, is_kept), contextlib.ExitStack() as stack:
        engine = "" if matter is None else matter.engine.describe()
        # Segments of two codecs cannot be joined, so that the results belong to the settings that `resume` compares.
        names = [f"{Path(result.path).name}: {result.codec.name} {result.content}" for result in results]
        if matter is not None:
            meter.note(f"engine: {engine}", detail=True)
            keep_settings(segments.folder, result_settings(matter, job) | {"results": names}, job.joins)
        todo = trimaps.pairs(clip)
        before = _go_past(segments.whole(), todo, meter)
        resumed = 0 if before is None else before.frame.index + 1
        # The first frame that is left is averaged with the one before it, whose alpha is in no file as it was.
        again = [before] if job.steady and before is not None else []
        meter.begin("frames", (clip.count or resumed) - resumed + len(again))
        frames = _Frames(job, trimaps, outputs, segments, alone, matter, meter, stack, resumed, clip.count)
        frames.run(itertools.chain(again, todo))
        done = segments.whole()
        if frames.colourless is not None:
            raise _joined_without_colours(job, clip, results, segments, alone, frames.colourless)
        for index, result in enumerate(results):
            join(result, segments.files(index, done), done, clip, job.output.sound)
    if is_kept:
        segments.remove()
    count = sum(len(segment.pts) for segment in done)
    return JobResult(
        total=count,
        tried=count - resumed,
        seconds=time.perf_counter() - started,
        engine=engine,
        failures=dict(_named(failure, job.images) for segment in done for failure in segment.failed),
        remarks=frames.remarks,
        notes=tuple(notes(frames.remarks)),
        files=files,
        band_px=spanned(frames.widths),
    )


def _joined_without_colours(
    job: JobSpec, clip: Clip, results: Sequence[Result], segments: Segments, alone: Segments, why: ForegroundError
) -> ForegroundError:
    """Finish the matte whose colours could not be estimated from some frame on, and return the error that says so.

    results: the matte is the first. segments: of the frames before, with all results. alone: of the others, with the
    matte alone.
    """
    done = segments.whole()
    rest = alone.whole(sum(len(segment.pts) for segment in done))
    parts = segments.files(0, done) + alone.files(0, rest)
    join(results[0], parts, done + rest, clip, job.output.sound)
    others = " and ".join(result.path for result in results[1:])
    return ForegroundError(
        f"{why}; {job.output.alpha} was written, {others} was not; fix this and continue with `resume`"
    )


def _is_done(files: Iterable[str], sources: tuple[str, ...]) -> bool:
    """Return whether all results are there and newer than what they are made from."""
    newest = max(os.stat(source).st_mtime_ns for source in sources if os.path.exists(source))
    return all(os.path.isfile(file) and os.stat(file).st_mtime_ns >= newest for file in files)


def _go_past(done: list[Segment], todo: Iterator[Pair], meter: ProgressMeter) -> Pair | None:
    """Take the frames that are done from `todo`, and return the last of them; None where there are none.

    Raises `InputError` where one was made from something else.
    """
    sources = [source for segment in done for source in segment.sources]
    meter.begin("looking", len(sources))
    pair = None
    for source in sources:
        pair = next(todo, None)
        if pair is None or pair.digest() != source:
            name = "a frame that no longer exists" if pair is None else pair.frame.name
            raise InputError(f"{name}: was made from another image or trimap; start over without `resume`")
        meter.step()
    return pair


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A frame as the network sees it, (H, W, 3), with its trimap. failure: why that is wrong; then it is background."""

    index: int
    digest: str
    network: NDArray[np.uint8]
    trimap: Trimap
    failure: LiteMattingError | None = None


@dataclass(eq=False)
class _Frames:
    """The frames of a clip on their way to its segments.

    segments: of all results. alone: of the matte, from the first frame on whose colours cannot be estimated; they are
    apart, so that `resume` finds no frame without colours. stack: what is open until the end of the job. resumed: how
    many frames were done before; one of these that comes again is for its neighbour's sake. count: of the clip, where
    it is known.
    matter: None for a preview alone. colourless: that frame, and why.
    remarks: what may surprise about frames that did not fail, by their names.
    failed: why frames failed, by their indices.
    widths: of the unknown bands of their masks.
    """

    job: JobSpec
    trimaps: FrameTrimaps
    outputs: ClipResults
    segments: Segments
    alone: Segments
    matter: Matter | None
    meter: ProgressMeter
    stack: contextlib.ExitStack
    resumed: int = 0
    count: int | None = None
    colourless: ForegroundError | None = None
    remarks: dict[str, Remarks] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    widths: set[Widths] = field(default_factory=set)

    def run(self, todo: Iterator[Pair]) -> None:
        """Matte the frames that are left; of those before an error, whole ones are kept."""
        segments = self.segments
        try:
            # A clip cannot lack a frame: an error that `_save` does not turn into known pixels ends the job.
            with contextlib.closing(
                run(todo, self._load, self._matte, self._save, readers=1, on_error="stop")
            ) as matting:  # closed before the segments are, which its thread writes to
                for done in matting:
                    index = done.item.frame.index
                    if index >= self.resumed:
                        self.meter.end(f"frame {done.item.frame.number}", self.failed.get(index))
            segments.close()
            self.alone.close()
        # The disk is full or gone: ending the open segment would have to write to it.
        except OutputError:
            raise
        except (InputError, _FrameError) as error:
            segments.keep_what_is_whole()
            if error is self.meter.raised or self.matter is None:
                raise
            past = ", or past such frames with `resume` and `failed_frames=known`"
            raise type(error)(
                f"{error}; {self._kept()} kept; fix this and continue with "
                f"`resume`{past if isinstance(error, _FrameError) else ''}"
            ) from error
        # After an interrupt, too, what is whole is kept.
        except BaseException as error:
            segments.keep_what_is_whole()
            if self.matter is not None:
                error.add_note(f"{self._kept()} kept; continue with `resume`")
            raise

    def _kept(self) -> str:
        """Return how many frames the next run will find done."""
        kept = sum(len(segment.pts) for segment in self.segments.whole())
        return counted(kept, "frame") if self.count is None else f"{kept} of {counted(self.count, 'frame')}"

    def _load(self, pair: Pair) -> _Loaded:
        """Convert a frame to what the network sees, and read its trimap; an error of that is kept for `_save`."""
        network = pair.frame.colours.network(pair.frame.signal())
        try:
            found = self.trimaps.trimap(pair, network)
            return _Loaded(pair.frame.index, pair.digest(), network, found)
        except InputError as error:
            empty = Trimap(np.zeros(network.shape[:2], np.uint8))
            return _Loaded(pair.frame.index, pair.digest(), network, empty, failure=error)

    def _matte(self, frames: Iterable[_Loaded]) -> Iterator[Alpha]:
        """Yield the alpha of each frame."""

        matter = self.matter
        if matter is None:
            return map(self._known, frames)

        def alphas(loaded: Iterable[_Loaded]) -> Iterator[Alpha]:
            return self.meter.alphas(matter, ((item.network, item.trimap.values) for item in loaded))

        if not self.job.steady:
            return alphas(frames)
        return steadied(frames, alphas, _moment, refined=bool(matter.asked.refine))

    def _known(self, item: _Loaded) -> NDArray[np.float32]:
        """Return the known pixels of a frame (H, W) in the place of its alpha, which a preview does not show."""
        self.meter.step()
        known: NDArray[np.float32] = (item.trimap.values == FOREGROUND).astype(np.float32)
        return known

    def _save(self, pair: Pair, item: _Loaded, alpha: Alpha) -> None:
        """Add a frame to its segment. Raises `_FrameError` for one that failed, unless the job goes past these."""
        if item.index < self.resumed:
            return
        failure, frame, said = item.failure, pair.frame, None
        # The network's numbers are lost, but the known pixels are sure all the same.
        if isinstance(alpha, NotFiniteError):
            failure, opaque = alpha, (item.trimap.values == FOREGROUND).astype(np.float32)
        else:
            opaque = alpha
        if failure is None:
            if remarks := Remarks(unsure(item.trimap.values), pieces=item.trimap.pieces, beyond=item.trimap.beyond):
                self.remarks[f"frame {frame.number}"] = remarks
            if item.trimap.band_px is not None:
                self.widths.add(item.trimap.band_px)
        else:
            # A mask that is made from the frame fails by the frame's name, a given one by its own.
            reason = str(failure).removeprefix(f"{frame.name}: ")
            said = f"{frame.name}: {reason}"
            self.failed[frame.index] = reason
            if self.job.failed_frames != "known":
                raise _FrameError(said)
        try:
            unmixed = unmix if self.matter is None else self.matter.unmix
            pictures = self.outputs.pictures(frame, item.network, item.trimap, opaque, unmixed)
        except ForegroundError as error:
            matte = self.outputs.results["alpha"]
            if matte.content != "grey":
                raise
            self.colourless = error
            # What is in these segments has all its results, which `resume` counts on; it is shorter than usual, and
            # whole. From this frame on the matte goes elsewhere, and is joined to it at the end.
            self.segments.close()
            self.stack.enter_context(self.alone.locked(resume=False, keep=False))
            self.outputs = replace(self.outputs, results={"alpha": matte})
            pictures = [opaque]
        segments = self.segments if self.colourless is None else self.alone
        segments.add(frame, item.digest, pictures, said)


def _moment(item: _Loaded) -> Moment:
    """Return a frame for its neighbours; one whose trimap is wrong is nobody's."""
    return Moment(item.index, item.network, item.trimap.values, usable=item.failure is None)


def _named(failure: str, clip: str) -> tuple[str, str]:
    """Return the name of a frame, without its clip's, and why it failed."""
    name, _, reason = failure.removeprefix(f"{clip}: ").partition(": ")
    return name, reason
