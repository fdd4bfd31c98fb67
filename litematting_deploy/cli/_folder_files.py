"""What the frames of a folder are made from, and what is written of them where."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError, UsageError
from ..matting.image_io import EXR_SUFFIX, is_whole
from ..matting.photo import Photo
from ..sequence.frames import Frame
from ._results import Results, chosen_results
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
        self._options = options
        named = {"alpha": output} | {name: options[name] for name in ("cutout", "foreground", "preview")}
        self._folders = {name: Path(folder) for name, folder in named.items() if folder is not None}
        for folder in self._folders.values():
            _refuse_among(sources, folder)
            _make_folder(folder)
        kind = options["kind"]
        files = self._named("any", SUFFIXES[kind or "exr"])
        alpha = files.pop("alpha")
        self._results = chosen_results(alpha, (), options | files | {"depth": options["depth"] if kind else None})

    def results(self, frame: Frame) -> Results:
        """The files of a frame."""
        kind = self._options["kind"] or ("exr" if frame.image.suffix.lower() == EXR_SUFFIX else "png")
        return replace(self._results, depth=self._options["depth"], **self._named(frame.name, SUFFIXES[kind]))

    def sources(self, frame: Frame) -> list[str]:
        """The files that a frame's results are made from."""
        named = (frame.image, frame.trimap, self._options["background"])
        return [str(path) for path in named if path is not None and os.path.isfile(path)]

    def is_done(self, frame: Frame, since_ns: int) -> bool:
        """Whether all files of a frame are whole, and newer than what they are made from and than `since_ns`."""
        newest = max(since_ns, *(os.stat(path).st_mtime_ns for path in self.sources(frame)))
        return all(
            os.path.isfile(path)
            and os.stat(path).st_mtime_ns >= newest
            and is_whole(path, self._options["max_megapixels"])
            for path in self.results(frame).files
        )

    def load(self, frame: Frame) -> Loaded:
        """Read a frame and check all that would keep its results from being written."""
        if frame.trimap is None:
            kind = "trimap" if self._options["mask"] is None else "mask"
            raise InputError(f"{frame.image}: has no {kind} of its name; make one, or take the photo out")
        photo, trimap = read_pair(str(frame.image), str(frame.trimap), self._options)
        results = self.results(frame)
        for path in results.files:
            _make_folder(Path(path).parent)
        results.check((str(frame.image), str(frame.trimap)))
        results.check_photo(photo)
        return Loaded(photo, trimap, results)

    def _named(self, name: str, suffix: str) -> dict[str, Any]:
        return {
            result: str(folder / f"{name}{_PREVIEW_SUFFIX if result == 'preview' else suffix}")
            for result, folder in self._folders.items()
        }


def _refuse_among(sources: tuple[str, str], folder: Path) -> None:
    """Results in a folder of sources would be taken for sources the next time."""
    for source in sources:
        if os.path.isdir(source) and folder.resolve().is_relative_to(Path(source).resolve()):
            raise UsageError(f"{folder}: lies in {source}, a folder of sources; choose another folder for the results")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {error.strerror}; choose another output") from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path}: cannot be written: the folder is read-only; choose another output")
