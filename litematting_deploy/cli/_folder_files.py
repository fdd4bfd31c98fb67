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
from ..images.depth import check_depth
from ..images.image_io import EXR_SUFFIX, ResultSizes, is_result
from ..images.photo import Photo
from ..jobs.frames import Frame, means
from ..matting.trimap import unsure
from ._results import Results, chosen_results, say_lost, say_share
from ._trimap import read_pair

SUFFIXES = {"png": ".png", "tiff": ".tif", "exr": EXR_SUFFIX}
_PREVIEW_SUFFIX = SUFFIXES["png"]


@dataclass(frozen=True)
class Loaded:
    """A frame that can be matted and whose results can be written."""

    photo: Photo
    trimap: NDArray[np.uint8]
    results: Results

    def write(self, alpha: NDArray[np.float32]) -> None:
        """Write all results; alpha (H, W), 0..1."""
        self.results.write_preview(self.photo, self.trimap)
        self.results.write(self.photo, alpha)


class FolderFiles:
    """The files of every frame: its name below each of the folders that the options say."""

    def __init__(self, sources: tuple[str, str], output: str, options: dict[str, Any]) -> None:
        """Makes the folders; sources: of photos, and of trimaps or masks. Raises `UsageError` where options contradict
        each other or results would lie among sources, and `OutputError`.
        """
        self._options, self._sources = options, sources
        self._clipped: list[float] = []
        self._lost: list[str] = []
        self.unsure: dict[str, str] = {}
        """By the names of frames, what their trimaps lack."""
        named = {"alpha": output} | {name: options[name] for name in ("cutout", "foreground", "preview")}
        self._folders = {name: Path(folder) for name, folder in named.items() if folder is not None}
        for folder in self._folders.values():
            for source in sources:
                if os.path.isdir(source) and folder.resolve().is_relative_to(Path(source).resolve()):
                    raise UsageError(
                        f"{folder}: lies in {source}, a folder of sources; choose another folder for the results"
                    )
            _make_folder(folder)
        kind = options["kind"]
        files = self._named("any", SUFFIXES[kind or "exr"])
        alpha = files.pop("alpha")
        self._results = chosen_results(alpha, (), options | files | {"depth": options["depth"] if kind else None})

    def check(self, frames: Sequence[Frame]) -> None:
        """Raise `UsageError` before any work is done where two results would be one file, or one would be taken for a
        source the next time, and for a depth that no result can have."""
        check_depth([self.results(frame).alpha for frame in frames], self._options["depth"])
        patterns = [
            (source, os.path.realpath(Path(source).parent)) for source in self._sources if not os.path.isdir(source)
        ]
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

    @property
    def clipped(self) -> str | None:
        """In words, in how many of the frames that were loaded PNG and TIFF cut off light."""
        if not self._clipped:
            return None
        return (
            f"frames with light outside 0..1, which PNG and TIFF cut off: {len(self._clipped)}, "
            f"up to {say_share(max(self._clipped))} of a frame; --format exr keeps it"
        )

    @property
    def lost_colour(self) -> str | None:
        """In words, in how many of the frames that were loaded results miss what the photo says of its colours."""
        if not self._lost:
            return None
        chunks = ", ".join(dict.fromkeys(", ".join(self._lost).split(", ")))
        return say_lost(chunks, f"the photo, in {len(self._lost)} frame{'s' if len(self._lost) > 1 else ''},")

    def remove_old_drafts(self, frames: Iterable[Frame]) -> None:
        """Remove what runs that were killed have left beside the results."""
        for folder in {os.path.dirname(path) for frame in frames for path in self.results(frame).files}:
            remove_old_drafts(folder)

    def results(self, frame: Frame) -> Results:
        """The files of a frame."""
        kind = self._options["kind"] or ("exr" if frame.image.suffix.lower() == EXR_SUFFIX else "png")
        return replace(self._results, depth=self._options["depth"], **self._named(frame.name, SUFFIXES[kind]))

    def sources(self, frame: Frame) -> list[str]:
        """The files that a frame's results are made from."""
        behind = self._options["background"]
        named = (frame.image, frame.trimap, behind if behind is not None and is_image(behind) else None)
        return [str(path) for path in named if path is not None and os.path.isfile(path)]

    def is_done(self, frame: Frame, since_ns: int) -> bool:
        """Whether all files of a frame are whole, of its photo's size, and newer than what they are made from and than
        `since_ns`."""
        newest = max([since_ns, *(os.stat(path).st_mtime_ns for path in self.sources(frame))])
        results, limit = self.results(frame), self._options["max_megapixels"]
        if not all(os.path.isfile(path) and os.stat(path).st_mtime_ns >= newest for path in results.files):
            return False
        try:
            sizes = ResultSizes.of(frame.image, limit)
        except InputError:
            return False
        return all(is_result(path, sizes, path != results.alpha, limit) for path in results.files)

    def load(self, frame: Frame) -> Loaded:
        """Read a frame and check all that would keep its results from being written."""
        if frame.trimap is None:
            kind = "trimap" if self._options["mask"] is None else "mask"
            raise InputError(f"{frame.image}: has no {kind} of its name; make one, or take the photo out")
        photo, trimap = read_pair(str(frame.image), str(frame.trimap), self._options)
        if missing := unsure(trimap):
            self.unsure[frame.name] = missing
        results = self.results(frame)
        for path in results.files:
            _make_folder(Path(path).parent)
        results.check((str(frame.image), str(frame.trimap), *self.sources(frame)))
        results.check_photo(photo)
        if clipped := results.clipped_share(photo):
            self._clipped.append(clipped)
        if lost := results.lost_colour(photo):
            self._lost.append(lost)
        return Loaded(photo, trimap, results)

    def _named(self, name: str, suffix: str) -> dict[str, Any]:
        return {
            result: str(folder / f"{name}{_PREVIEW_SUFFIX if result == 'preview' else suffix}")
            for result, folder in self._folders.items()
        }


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {error.strerror}; choose another output") from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path}: cannot be written: the folder is read-only; choose another output")
