"""A folder or numbered pattern of photos and their trimaps to results of the same names."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError, LiteMattingError, UsageError, counted
from ..files import make_folder, remove_old_drafts
from ..images.background import is_image
from ..images.photo import Photo
from ..images.results import ResultSizes, check_depth, is_result
from ..images.suffixes import JPEG_SUFFIXES, RESULT_FORMATS, RESULT_SUFFIXES, is_exr_name
from ..matting.steady import Moment, steadied
from ..matting.trimap import unsure
from ..runtime import Matter
from ..segmentation.maker import MaskMaker
from ..specs import Format, JobSpec, OutputSpec
from .frames import Frame, chosen_frames, find_sources, means
from .keyframes import FolderKeyframes, sequences
from .outputs import Remarks, Results, notes, suffix_of
from .progress import Alpha, JobResult, ProgressMeter, Report
from .resume import begin
from .run import AHEAD, Done, run
from .trimaps import Trimap, check_sequence, closing_masks, open_masks, photo_of, read_pair


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
        keyframes = FolderKeyframes(job, self._all) if job.keyframes else None
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
        return steadied(loaded, partial(alphas, matter=matter), moment)

    def save(frame: Frame, loaded: LoadedFrame, alpha: Alpha | None) -> None:
        if over is not None and frame.name not in over.wanted:
            return
        if isinstance(alpha, LiteMattingError):
            raise alpha
        # Not in `load`, which runs ahead in several threads: files of a frame are written by one.
        loaded.results.write_preview(loaded.photo, loaded.trimap.values, loaded.trimap.mask)
        if matter is not None and alpha is not None:
            loaded.results.write(loaded.photo, alpha, matter.unmix)
        meter.written += 1

    # A segmenter that takes many photos at a time gets as many.
    readers = AHEAD if maker is None else max(maker.batch, AHEAD)
    return run(frames, partial(files.load, maker=maker), matte if over is None else steady, save, readers=readers)


@dataclass(frozen=True)
class LoadedFrame:
    """A frame that can be matted and whose results can be written."""

    name: str
    photo: Photo
    trimap: Trimap
    results: Results


class FolderFiles:
    """The files of every frame: its name below each of the folders of a job.

    remarks: what may surprise about the frames that were loaded, by their names.
    """

    def __init__(self, job: JobSpec, keyframes: FolderKeyframes | None = None) -> None:
        """Make the folders. keyframes: have trimaps for frames without one.

        Raises `UsageError` where results would lie among sources, and `OutputError`.
        """
        self.remarks: dict[str, Remarks] = {}
        self._job = job
        self._keyframes = keyframes
        self._folders = {name: Path(folder) for name, folder in job.output.named.items()}
        for folder in self._folders.values():
            if folder.suffix.lower() in (*RESULT_SUFFIXES, *JPEG_SUFFIXES) and not folder.is_dir():
                raise UsageError(
                    f"{folder}: {job.images} is many photos, so the output must be a folder, and this looks like an "
                    "image file; give the name of a folder, and choose the image type with `format`"
                )
            for source in (job.images, job.source):
                # Folders are searched with their sub-folders: the next time, results would be sources.
                if os.path.isdir(source) and folder.resolve().is_relative_to(Path(source).resolve()):
                    raise UsageError(
                        f"{folder}: is inside {source}, a folder of sources; choose another folder for the results"
                    )
            make_folder(folder)
        # The background is read once for all frames. Where each photo decides on its format, `check` sees to the depth.
        kind = job.output.format
        any_frame = replace(self._named("any", kind or "exr"), depth=job.output.depth if kind else None)
        self._results = Results.of(replace(job, output=any_frame))

    def check(self, frames: Sequence[Frame]) -> None:
        """Raise `UsageError` before any work is done where two results would be one file, or one would be taken for a
        source the next time, and for a depth that no result can have."""
        alphas = (self.results(frame).spec.alpha for frame in frames)
        check_depth([alpha for alpha in alphas if alpha is not None], self._job.output.depth)
        sources = (self._job.images, self._job.source)
        patterns = [(source, os.path.realpath(Path(source).parent)) for source in sources if not os.path.isdir(source)]
        found = {path.parent for frame in frames for path in (frame.image, frame.trimap) if path is not None}
        searched = {os.path.realpath(folder) for folder in found} - {folder for _, folder in patterns}
        # Resolved once for each folder: on a network drive it takes long for each file.
        roots = [os.path.realpath(folder) for folder in self._folders.values()]
        taken: dict[str, str] = {}
        for frame in frames:
            for root, path in zip(roots, self.results(frame).files, strict=True):
                place = os.path.join(root, frame.name + os.path.splitext(path)[1])
                folder, name = os.path.split(place)
                if place in taken:
                    raise UsageError(
                        f"{path}: would be a result of both {taken[place]} and {frame.name}; choose two separate "
                        "folders"
                    )
                taken[place] = frame.name
                # The next time, a result beside the sources would be one of them.
                of = [source for source, parent in patterns if folder == parent and means(source, name)]
                if of or folder in searched:
                    raise UsageError(
                        f"{path}: would later be mistaken for one of {(of or [folder])[0]}; choose another folder"
                    )

    def results(self, frame: Frame) -> Results:
        """Return the files of a frame."""
        kind = self._job.output.format or ("exr" if is_exr_name(frame.image) else "png")
        behind = self._job.output.background
        named = (frame.image, frame.trimap, behind if behind is not None and is_image(behind) else None)
        carried_from = () if self._keyframes is None else self._keyframes.keyframes(frame)
        inputs = tuple(str(path) for path in (*named, *self._job.trimap.files, *carried_from) if path is not None)
        return replace(self._results, spec=self._named(frame.name, kind), inputs=inputs)

    def sources(self, frame: Frame) -> list[str]:
        """Return those files that a frame's results are made from which exist."""
        return [path for path in self.results(frame).inputs if os.path.isfile(path)]

    def is_done(self, frame: Frame, since_ns: int) -> bool:
        """Return whether all files of a frame are whole, of its photo's size, and newer than what they are made from
        and than `since_ns`, in nanoseconds as files have them."""
        newest = max([since_ns, *(os.stat(path).st_mtime_ns for path in self.sources(frame))])
        results, limit = self.results(frame), self._job.max_megapixels
        # Times come first, since they cost little beside reading results to their end.
        if not all(os.path.isfile(path) and os.stat(path).st_mtime_ns >= newest for path in results.files):
            return False
        try:
            sizes = ResultSizes.of(frame.image, limit)
        except InputError:
            return False
        return all(is_result(path, sizes, path != results.spec.alpha, limit) for path in results.files)

    def load(self, frame: Frame, maker: MaskMaker | None = None) -> LoadedFrame:
        """Read a frame and check all that would keep its results from being written. maker: makes its mask."""
        photo, trimap = self._read(frame, maker)
        results = self.results(frame)
        # Not before both are read: frames that fail leave no empty folders.
        for path in results.files:
            make_folder(Path(path).parent)
        results.check()
        results.check_photo(photo)
        lost = results.lost_colour(photo)
        if remarks := Remarks(unsure(trimap.values), results.clipped_share(photo), lost, trimap.pieces):
            self.remarks[frame.name] = remarks
        return LoadedFrame(frame.name, photo, trimap, results)

    def _read(self, frame: Frame, maker: MaskMaker | None) -> tuple[Photo, Trimap]:
        """Return a photo and its trimap: its own, a carried one, or one of a mask that is made. Raises `InputError`."""
        if frame.trimap is not None:
            return read_pair(str(frame.image), str(frame.trimap), self._job, maker)
        if self._keyframes is None:
            raise InputError(
                f"{frame.image}: no matching {self._job.trimap.kind}; add one, remove the photo or, if it lies "
                "between keyframes, set `keyframes`"
            )
        photo = photo_of(frame.image, self._job)
        trimap = self._keyframes.trimap(frame)
        if trimap.shape != photo.network.shape[:2]:
            raise InputError(
                f"{frame.image}: differs in size from its keyframes; all frames between keyframes must have the "
                "same size"
            )
        return photo, Trimap(trimap)

    def _named(self, name: str, kind: Format) -> OutputSpec:
        """Return the files of a frame in the folders of the results."""
        named: dict[str, Any] = {
            result: str(folder / f"{name}{suffix_of(result, kind)}") for result, folder in self._folders.items()
        }
        return replace(self._job.output, **named)
