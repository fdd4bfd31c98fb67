"""What the frames of a folder are made from, and what is written of them where."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError, UsageError
from ..files import remove_old_drafts
from ..images.background import is_image
from ..images.photo import Photo
from ..images.results import ResultSizes, check_depth, is_result
from ..images.suffixes import PNG_SUFFIX, RESULT_FORMATS, is_exr_name
from ..matting.trimap import unsure
from ..specs import Format, JobSpec, OutputSpec
from .frames import Frame, means
from .outputs import Results
from .remarks import Remarks
from .trimaps import read_pair


@dataclass(frozen=True)
class LoadedFrame:
    """A frame that can be matted and whose results can be written. trimap: (H, W) uint8 of 0 / 128 / 255."""

    photo: Photo
    trimap: NDArray[np.uint8]
    results: Results

    def write(self, alpha: NDArray[np.float32]) -> None:
        """Write all results; alpha (H, W), 0..1."""
        self.results.write_preview(self.photo, self.trimap)
        self.results.write(self.photo, alpha)


class FolderFiles:
    """The files of every frame: its name below each of the folders of a job.

    remarks: what there is to say of the frames that were loaded, by their names.
    """

    def __init__(self, job: JobSpec) -> None:
        """Make the folders. Raises `UsageError` where results would lie among sources, and `OutputError`."""
        self.remarks: dict[str, Remarks] = {}
        self._job = job
        self._folders = {name: Path(folder) for name, folder in job.output.named.items()}
        for folder in self._folders.values():
            for source in (job.images, job.source):
                if os.path.isdir(source) and folder.resolve().is_relative_to(Path(source).resolve()):
                    raise UsageError(
                        f"{folder}: lies in {source}, a folder of sources; choose another folder for the results"
                    )
            _make_folder(folder)
        kind = job.output.format
        any_frame = replace(self._named("any", kind or "exr"), depth=job.output.depth if kind else None)
        self._results = Results.of(any_frame, (), truncate=job.plan.published, max_megapixels=job.max_megapixels)

    def check(self, frames: Sequence[Frame]) -> None:
        """Raise `UsageError` before any work is done where two results would be one file, or one would be taken for a
        source the next time, and for a depth that no result can have."""
        check_depth([self.results(frame).spec.alpha for frame in frames], self._job.output.depth)
        sources = (self._job.images, self._job.source)
        patterns = [(source, os.path.realpath(Path(source).parent)) for source in sources if not os.path.isdir(source)]
        found = {path.parent for frame in frames for path in (frame.image, frame.trimap) if path is not None}
        searched = {os.path.realpath(folder) for folder in found} - {folder for _, folder in patterns}
        roots = [os.path.realpath(folder) for folder in self._folders.values()]
        taken: dict[str, str] = {}
        for frame in frames:
            for root, path in zip(roots, self.results(frame).files, strict=True):
                place = os.path.join(root, frame.name + os.path.splitext(path)[1])
                folder, name = os.path.split(place)
                if place in taken:
                    raise UsageError(
                        f"{path}: would be a result of {taken[place]} and of {frame.name}; choose two folders apart"
                    )
                taken[place] = frame.name
                of = [source for source, parent in patterns if folder == parent and means(source, name)]
                if of or folder in searched:
                    raise UsageError(f"{path}: would be taken for one of {(of or [folder])[0]}; choose another folder")

    def remove_old_drafts(self, frames: Iterable[Frame]) -> None:
        """Remove what runs that were killed have left beside the results."""
        for folder in {os.path.dirname(path) for frame in frames for path in self.results(frame).files}:
            remove_old_drafts(folder)

    def results(self, frame: Frame) -> Results:
        """Return the files of a frame."""
        kind = self._job.output.format or ("exr" if is_exr_name(frame.image) else "png")
        return replace(self._results, spec=self._named(frame.name, kind))

    def sources(self, frame: Frame) -> list[str]:
        """Return the files that a frame's results are made from."""
        behind = self._job.output.background
        named = (frame.image, frame.trimap, behind if behind is not None and is_image(behind) else None)
        return [str(path) for path in named if path is not None and os.path.isfile(path)]

    def is_done(self, frame: Frame, since_ns: int) -> bool:
        """Return whether all files of a frame are whole, of its photo's size, and newer than what they are made from
        and than `since_ns`, in nanoseconds as files have them."""
        newest = max([since_ns, *(os.stat(path).st_mtime_ns for path in self.sources(frame))])
        results, limit = self.results(frame), self._job.max_megapixels
        if not all(os.path.isfile(path) and os.stat(path).st_mtime_ns >= newest for path in results.files):
            return False
        try:
            sizes = ResultSizes.of(frame.image, limit)
        except InputError:
            return False
        return all(is_result(path, sizes, path != results.spec.alpha, limit) for path in results.files)

    def load(self, frame: Frame) -> LoadedFrame:
        """Read a frame and check all that would keep its results from being written."""
        if frame.trimap is None:
            raise InputError(
                f"{frame.image}: has no {self._job.trimap.kind} of its name; make one, or take the photo out"
            )
        photo, trimap = read_pair(str(frame.image), str(frame.trimap), self._job)
        results = self.results(frame)
        for path in results.files:
            _make_folder(Path(path).parent)
        results.check((str(frame.image), str(frame.trimap), *self.sources(frame)))
        results.check_photo(photo)
        if remarks := Remarks(unsure(trimap), results.clipped_share(photo), results.lost_colour(photo)):
            self.remarks[frame.name] = remarks
        return LoadedFrame(photo, trimap, results)

    def _named(self, name: str, kind: Format) -> OutputSpec:
        named: dict[str, Any] = {
            result: str(folder / f"{name}{PNG_SUFFIX if result == 'preview' else RESULT_FORMATS[kind]}")
            for result, folder in self._folders.items()
        }
        return replace(self._job.output, **named)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {error.strerror}; choose another output") from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path}: cannot be written: the folder is read-only; choose another output")
