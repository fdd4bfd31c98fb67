"""A folder or numbered pattern of photos and their trimaps to results of the same names."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import LiteMattingError, counted
from ..files import remove_old_drafts
from ..images.suffixes import RESULT_FORMATS
from ..matting.steady import Moment, steadied
from ..matting.unknown_band import spanned
from ..runtime import Matter
from ..segmentation.maker import MaskMaker
from ..specs import JobSpec
from .folder_files import FolderFiles, LoadedFrame
from .frames import Frame, chosen_frames, find_sources
from .keyframes import FolderKeyframes, sequences
from .outputs import Remarks, notes
from .progress import Alpha, JobResult, ProgressMeter, Report
from .resume import begin
from .run import AHEAD, Done, run
from .trimaps import check_sequence, closing_masks, open_masks


def matte_folder(job: JobSpec, report: Report | None = None) -> JobResult:
    """Matte the photos of a folder or pattern. If a frame fails, the error is reported and the others continue.

    job: images and source are folders or patterns, and the paths of its results are folders.
    report: is called with the progress of the job.

    Raises `UsageError`, `InputError`, `OutputError`, and what opening an engine raises.
    """
    folder = FolderJob(job, report)
    with contextlib.ExitStack() as stack:
        maker = stack.enter_context(closing_masks(open_masks(job)))
        matter, since_ns, engine = None, 0, ""
        if job.output.alpha is not None:
            matter, since_ns = begin(job, Path(job.output.alpha))
            stack.enter_context(matter)
            engine = matter.engine.describe()
            folder.meter.note(f"engine: {engine}", detail=True)
        todo = folder.unfinished(lambda frame: folder.files.is_done(frame, since_ns))
        stack.enter_context(folder.saying_what_is_kept())
        matting = (
            folder.steadily(todo, matter, maker)
            if job.steady and matter is not None
            else matte_frames(todo, folder.files, matter, folder.meter, maker)
        )
        # Closed at once where `report` raises: an exception that is kept keeps the frames of its traceback, too.
        with contextlib.closing(matting):
            for done in matting:
                folder.meter.end(done.item.name, done.failure)
    return folder.result(len(todo), engine, folder.files.remarks)


class FolderJob:
    """A job of a folder or pattern, here or on a cluster, whose frames are checked before any is matted."""

    def __init__(self, job: JobSpec, report: Report | None) -> None:
        """Find the frames and make the folders of the results. Raises `UsageError`, `InputError`, `OutputError`."""
        self._began_s = time.perf_counter()
        self._job = job
        self._before = 0  # frames that earlier runs have done
        self.meter = ProgressMeter(report)
        self.frames, self._missing, self._sources = chosen_frames(job)
        # Before the folders of results are made, so that a job that is refused leaves nothing behind.
        check_sequence(job)
        # In time every frame counts, whatever `frames` and `shard` choose.
        chosen_alone = job.frames is None or not (job.keyframes or job.steady)
        self._all = self._sources.frames if chosen_alone else find_sources(job.images, job.source).frames
        keyframes = FolderKeyframes(job, self._all, self.meter.note) if job.keyframes else None
        self.files = FolderFiles(job, keyframes)
        self.files.check(self.frames)
        if job.resume:
            results = (self.files.results(frame) for frame in self.frames)
            for folder in {os.path.dirname(path) for each in results for path in each.files}:
                remove_old_drafts(folder)
        for note, is_detail in () if keyframes is None else keyframes.notes():
            self.meter.note(note, detail=is_detail)

    @contextlib.contextmanager
    def saying_what_is_kept(self) -> Iterator[None]:
        """Give an error that ends the job, or an interrupt, a note of how many frames are done."""
        try:
            yield
        except BaseException as error:
            if self._job.output.alpha is not None:
                kept = self._before + self.meter.written
                error.add_note(f"{kept} of {counted(len(self.frames), 'frame')} kept; continue with `resume`")
            raise

    def unfinished(self, is_done: Callable[[Frame], bool]) -> list[Frame]:
        """Return the frames that are left to do, in order, and begin to count them.

        is_done: is asked where a job is resumed, from several threads.
        """
        todo = self.frames
        if self._job.resume:
            self.meter.begin("looking", len(todo))

            def is_left(frame: Frame) -> bool:
                left = not is_done(frame)
                self.meter.step()
                return left

            # Looking is waiting for a disk or a network; the interpreter is free meanwhile.
            # Unlike a `with`, an interrupt does not wait until all the other frames are looked at.
            pool = ThreadPoolExecutor(AHEAD, "look")
            try:
                todo = list(itertools.compress(todo, pool.map(is_left, todo)))
            finally:
                pool.shutdown(cancel_futures=True)
        self._before = len(self.frames) - len(todo)
        self.meter.begin("frames", len(todo))
        return todo

    def steadily(
        self, todo: Sequence[Frame], matter: Matter, maker: MaskMaker | None
    ) -> Generator[Done[Frame], None, None]:
        """Matte frames as `matte_frames` does, each alpha averaged over time.

        Neighbours that are not to be done are matted for that, too, and yield nothing.
        """
        wanted = {frame.name for frame in todo}
        places: dict[str, int] = {}
        frames: list[Frame] = []
        for number, sequence in enumerate(sequences(self._all).values()):
            near = [frame.name in wanted for frame in sequence]
            for index, frame in enumerate(sequence):
                # The last frame of one sequence and the first of another are no neighbours.
                places[frame.name] = len(places) + number
                if any(near[max(0, index - 1) : index + 2]):
                    frames.append(frame)
        self.meter.begin("frames", len(frames))
        over = Over(places, frozenset(wanted))
        with contextlib.closing(matte_frames(frames, self.files, matter, self.meter, maker, over)) as matted:
            yield from (done for done in matted if done.item.name in wanted)

    def result(self, tried: int, engine: str, remarks: dict[str, Remarks]) -> JobResult:
        """Return the outcome of the job at its end; see `JobResult`."""
        # Frames that an earlier run has done count, too: whoever goes on with the results needs all of them.
        formats = {suffix: name for name, suffix in RESULT_FORMATS.items()}
        whole = (self.files.results(frame) for frame in self.frames if frame.name not in self.meter.failures)
        return JobResult(
            total=len(self.frames),
            tried=tried,
            seconds=time.perf_counter() - self._began_s,
            engine=engine,
            failures=self.meter.failures,
            missing=tuple(self._missing),
            remarks=remarks,
            passed_over=tuple(self._sources.passed_over),
            unmatched=tuple(self._sources.unmatched),
            left_over=self._sources.counts,
            notes=(*self._sources.notes, *notes(remarks)),
            files={path: formats[os.path.splitext(path)[1]] for results in whole for path in results.files},
            band_px=spanned(self.files.widths),
        )


@dataclass(frozen=True)
class Over:
    """The time that alphas are averaged over: the place of each frame by its name, and which frames are written."""

    places: dict[str, int]
    wanted: frozenset[str]


def matte_frames(
    frames: Sequence[Frame],
    files: "FolderFiles",
    matter: Matter | None,
    meter: ProgressMeter,
    maker: MaskMaker | None = None,
    over: Over | None = None,
) -> Generator[Done[Frame], None, None]:
    """Matte frames of a folder, and yield each of them, in order, once it is written or has failed.

    matter: None for previews alone. maker: makes their masks, where the job says so. over: makes alphas steadier; None
    for frames by themselves.
    """

    def matte(loaded: "Iterable[LoadedFrame]") -> Iterator[Alpha | None]:
        if matter is None:
            for _ in loaded:
                meter.step()
                yield None
            return
        yield from alphas(loaded, matter)

    def alphas(loaded: "Iterable[LoadedFrame]", matter: Matter) -> Iterator[Alpha]:
        return meter.alphas(matter, ((item.photo.network, item.trimap.values) for item in loaded))

    def steady(loaded: "Iterable[LoadedFrame]") -> Iterator[Alpha]:
        assert over is not None  # else `matte` is called
        at = over.places

        def moment(item: LoadedFrame) -> Moment:
            return Moment(at[item.name], item.photo.network, item.trimap.values)

        assert matter is not None  # nor is it without alphas
        return steadied(loaded, partial(alphas, matter=matter), moment, refined=bool(matter.asked.refine))

    def save(frame: Frame, loaded: LoadedFrame, alpha: Alpha | None) -> None:
        if over is not None and frame.name not in over.wanted:
            return
        if isinstance(alpha, LiteMattingError):
            raise alpha
        # Not in `load`, which runs ahead in several threads: files of a frame are written by one.
        loaded.results.write_preview(loaded.photo, loaded.trimap)
        if matter is not None and alpha is not None:
            loaded.results.write(loaded.photo, alpha, matter.unmix)
        meter.written += 1

    # A segmenter that takes many photos at a time gets as many.
    readers = AHEAD if maker is None else max(maker.batch, AHEAD)
    return run(frames, partial(files.load, maker=maker), matte if over is None else steady, save, readers=readers)
