"""The files of a folder's frames: where results lie, which are done, and what is read for each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, UsageError
from ..files import make_folder
from ..images.background import is_image
from ..images.photo import Photo
from ..images.results import ResultSizes, check_depth, is_result
from ..images.suffixes import JPEG_SUFFIXES, RESULT_SUFFIXES, is_exr_name
from ..matting.trimap import unsure
from ..matting.unknown_band import Widths
from ..segmentation.maker import MaskMaker
from ..specs import Format, JobSpec, OutputSpec
from .frames import Frame, means
from .keyframes import FolderKeyframes
from .outputs import Remarks, Results, suffix_of
from .trimaps import Trimap, photo_of, read_pair


@dataclass(frozen=True)
class LoadedFrame:
    """A frame that can be matted and whose results can be written."""

    name: str
    photo: Photo
    trimap: Trimap
    results: Results


class FolderFiles:
    """The files of every frame: its name below each of the folders of a job.

    remarks: what may surprise about the frames that were loaded, by their names. widths: of the unknown bands of their
    masks.
    """

    def __init__(self, job: JobSpec, keyframes: FolderKeyframes | None = None) -> None:
        """Make the folders. keyframes: have trimaps for frames without one.

        Raises `UsageError` where results would lie among sources, and `OutputError`.
        """
        self.remarks: dict[str, Remarks] = {}
        self.widths: set[Widths] = set()
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
        for folder in self._folders.values():
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
        if remarks := Remarks(unsure(trimap.values), results.clipped_share(photo), lost, trimap.pieces, trimap.beyond):
            self.remarks[frame.name] = remarks
        if trimap.band_px is not None:
            self.widths.add(trimap.band_px)
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
