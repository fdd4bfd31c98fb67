"""What result files may be: whether they can be written, how deep they are, and whether they are whole."""

import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import InputError, UsageError
from ..files import check_writable
from ..specs import MAX_MEGAPIXELS, Depth
from .decode import decode
from .exr import is_exr, read_exr_header, read_exr_planes
from .metadata import is_sideways
from .opening import opened
from .photo import Photo
from .suffixes import PNG_SUFFIX, WRITE_SUFFIXES, is_exr_name, is_jpeg_name

_PNG_END = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
_DTYPES: dict[Depth, type[Any]] = {"8": np.uint8, "16": np.uint16, "half": np.float16, "float": np.float32}


def check_outputs(named: Mapping[str, str], inputs: Iterable[str | Path]) -> None:
    """Raise, before any work is done, where a result cannot be written, or is one of the inputs or another result.

    named: the files of the results, by their parameters. inputs: what they are made from; what does not exist is left
    aside, such as the colour of a background.

    Raises `UsageError`, `OutputError`.
    """
    sources = [path for path in inputs if os.path.exists(path)]
    taken: set[str] = set()
    for name, path in named.items():
        # Not by name: links and other spellings lead to the same file.
        place = os.path.realpath(path)
        if place in taken:
            raise UsageError(f"{path}: two results would have this name; choose another", parameter=name)
        taken.add(place)
        check_writable(path)
        if os.path.exists(path) and any(os.path.samefile(path, source) for source in sources):
            raise UsageError(f"{path}: would overwrite an input; choose another output", parameter=name)


def check_suffix(path: str | Path, suffixes: tuple[str, ...] = WRITE_SUFFIXES) -> None:
    """Raise `UsageError` for the name of a result without one of the extensions `suffixes`."""
    if Path(path).suffix.lower() not in suffixes:
        raise UsageError(f"{path}: results must end in {', '.join(suffixes)}; choose one of these endings")


def check_depth(paths: Iterable[str | Path], depth: Depth | None) -> None:
    """Raise `UsageError` for a depth that the type of none of these files can hold."""
    paths = list(paths)
    if depth is not None and paths and not any(depth in _held(path) for path in paths):
        kind = "OpenEXR" if is_exr_name(paths[0]) else Path(paths[0]).suffix.lower().removeprefix(".").upper()
        raise UsageError(
            f"{paths[0]}: `depth` of {kind} files must be {' or '.join(_held(paths[0]))}; got {depth}",
            parameter="depth",
        )


def result_dtype(path: str | Path, photo: Photo, depth: Depth | None = None) -> type[Any]:
    """Return uint8 or uint16 for a PNG or TIFF, float16 or float32 for an OpenEXR file, uint8 for a JPEG.

    By default nothing of the photo is lost: PNG and TIFF from OpenEXR have 16 bits; OpenEXR from 8 bits is half, and
    from 16 bits float, which half would round.

    depth: what is asked for; one that this type of file cannot hold is meant for other files.
    """
    if depth is not None and depth in _held(path):
        return _DTYPES[depth]
    # The dtype says enough: linear photos are float16 or float32, all others levels.
    source = photo.pixels.dtype
    if is_exr_name(path):
        return np.float16 if source in (np.uint8, np.float16) else np.float32
    return np.uint8 if source == np.uint8 or is_jpeg_name(path) else np.uint16


def _held(path: str | Path) -> tuple[Depth, ...]:
    """Return the depths that a file can have by its ending."""
    return ("half", "float") if is_exr_name(path) else ("8",) if is_jpeg_name(path) else ("8", "16")


@dataclass(frozen=True)
class ResultSizes:
    """Height and width that OpenEXR results of a photo have, and those of PNG and TIFF."""

    exr: tuple[int, int]
    shown: tuple[int, int]

    @classmethod
    def of(cls, photo: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> Self:
        """Return the sizes by the photo's header, but for an orientation that stands behind a PNG's pixels.

        Raises `InputError`.
        """
        if is_exr(photo):
            windows = read_exr_header(photo, max_megapixels).windows
            return cls(windows.data.hw, windows.display.hw)
        with opened(photo, max_megapixels) as (picture, _):
            size = picture.size if is_sideways(picture, photo) else picture.size[::-1]
        return cls(size, size)


def is_result(path: str | Path, sizes: ResultSizes, in_colour: bool, max_megapixels: float = MAX_MEGAPIXELS) -> bool:
    """Return whether a result can be read to its end, and has the size of its photo and channels of its kind.

    in_colour: whether it is a cut-out or a composite rather than a matte, which decodes as one plane. A format without
    grey needs a case of its own here: otherwise `resume` makes each of its mattes again.
    """
    try:
        if is_exr(path):
            planes = read_exr_planes(path, max_megapixels)
            return (len(planes) > 1) == in_colour and planes[0].shape == sizes.exr
        if Path(path).suffix.lower() == PNG_SUFFIX and not _ends_whole(path):
            return False
        levels = decode(path, max_megapixels).levels
        return (levels.ndim == 3) == in_colour and levels.shape[:2] == sizes.shown
    except InputError:
        return False


def _ends_whole(path: str | Path) -> bool:
    """Return whether a PNG file has its end, without which decoders still give the pixels. Raises `OSError`."""
    with Path(path).open("rb") as file:
        file.seek(-min(len(_PNG_END), file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read() == _PNG_END
