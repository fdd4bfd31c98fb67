"""Image files in, image files out. Reading refuses what it would have to guess; writing is all or nothing."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..files import check_writable, replace_file
from ..profiling import stage
from ..specs import MAX_MEGAPIXELS
from .decode import Decoded, decode, decode_indices, own_range, size_upright
from .encode import encode_png, encode_tiff, ends_whole
from .exr import exr_windows, is_exr, read_exr_mask, read_exr_whole, write_exr
from .mask import MaskMeaning
from .metadata import Metadata
from .photo import Photo, read_photo
from .suffixes import PNG_SUFFIX, READ_SUFFIXES, WRITE_SUFFIXES, is_exr_name


def looks_like_image(path: Path) -> bool:
    """Whether a file in a folder is to be read as an image, by its name: one of `READ_SUFFIXES`, not hidden."""
    return path.suffix.lower() in READ_SUFFIXES and not path.name.startswith(".")


def read_image(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """What the network sees of a photo, (H, W, 3) uint8 RGB, sRGB-encoded; see `read_photo`. Raises `InputError`."""
    return read_photo(path, max_megapixels).network


@stage("decode trimap")
def read_trimap(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """A trimap as (H, W) uint8: grey, or colour whose channels are equal.

    16 bits are accepted where every value is 257 times an 8-bit one. Transparent pixels are refused, whether an alpha
    channel, a palette or a PNG's tRNS says so: they might be meant as background or as unknown. Raises `InputError`.
    """
    if is_exr(path):
        raise InputError(f"{path}: is OpenEXR, trimaps are read from PNG or TIFF; save it as 8-bit grey")
    decoded = decode(path, max_megapixels)
    if decoded.alpha is not None:
        raise InputError(f"{path}: has transparent pixels; save the trimap as plain grey, without an alpha channel")
    if decoded.levels.dtype == np.uint16 and (decoded.levels % 257).any():
        raise InputError(f"{path}: has 16-bit values that no 8-bit value stands for; save the trimap as 8-bit grey")
    return _upper_bits(_grey(decoded, path))


@stage("decode trimap")
def read_mask(
    path: str | Path,
    max_megapixels: float = MAX_MEGAPIXELS,
    photo: Photo | None = None,
    meaning: MaskMeaning = MaskMeaning(),
    alone: bool = True,
) -> NDArray[np.uint8]:
    """A mask as (H, W) uint8: grey, or the alpha channel of a cut-out where that is not opaque.

    Of 16 bits the upper 8; of an OpenEXR file channel A, or else Y or equal R, G, B, 0..1. photo: whose pixels it is to
    have, see `Photo.fit`; without, an OpenEXR mask is what its display window shows. meaning: which values are the
    object, where that is not the top of the range; class ids are grey values or a palette's indices, never alpha.
    alone: it is not one of a sequence, of which another mask tells the scale. Raises `InputError`, also for a mask of
    class ids without `meaning`, and `DimMaskError` for one alone whose brightest value is more than 2 % below the top
    of its range and not 0.
    """
    if is_exr(path):
        plane, windows = read_exr_mask(path, max_megapixels)
        mask = meaning.applied(plane, 1.0, str(path), alone)
        mask = _exr_levels(plane) if mask is None else mask
        return windows.show(mask) if photo is None else photo.fit(mask, str(path), placed=windows)
    levels, top = _own_numbers(path, max_megapixels, bool(meaning.labels))
    chosen = meaning.applied(levels, top, str(path), alone)
    mask = _upper_bits(levels if top > 255 else levels * np.uint8(255 // top)) if chosen is None else chosen
    return mask if photo is None else photo.fit(mask, str(path))


def read_alpha(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """A true alpha of a data set as (H, W) uint8, read as a mask is: it may be thin everywhere. Raises `InputError`."""
    if is_exr(path):
        plane, windows = read_exr_mask(path, max_megapixels)
        return windows.show(_exr_levels(plane))
    levels = _mask_levels(path, max_megapixels)
    if levels.dtype == np.uint16 and levels.max() in (1, 255):
        raise InputError(
            f"{path}: its brightest 16-bit value is {levels.max()}, which would all be background; "
            "an alpha of 16 bits goes from 0 to 65535: scale it, or save it as 8 bits"
        )
    return _upper_bits(levels)


def _own_numbers(path: str | Path, max_megapixels: float, labels: bool) -> tuple[NDArray[Any], int]:
    """The levels (H, W) of a mask in its file's own numbers, and the largest that they can be."""
    top, palette = own_range(path, max_megapixels)
    if labels and palette:
        return decode_indices(path, max_megapixels), top
    try:
        levels = _grey(decode(path, max_megapixels), path) if labels else _mask_levels(path, max_megapixels)
    except _ColouredError as error:
        fix = "; where its colours stand for classes, say which is the object: `mask_labels=ID`" if palette else ""
        raise InputError(f"{error}{fix}") from None
    if top < 255:
        return levels // np.uint8(255 // top), top
    return levels, int(np.iinfo(levels.dtype).max)


def _mask_levels(path: str | Path, max_megapixels: float) -> NDArray[Any]:
    decoded = decode(path, max_megapixels)
    return _grey(decoded, path) if decoded.alpha is None else decoded.alpha


def _exr_levels(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(plane.clip(0, 1) * 255), np.uint8)


class _ColouredError(InputError):
    """A picture that is to be grey and is not."""


def _upper_bits(levels: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(levels if levels.dtype == np.uint8 else (levels >> 8).astype(np.uint8))


def _grey(decoded: Decoded, path: str | Path) -> NDArray[Any]:
    levels = decoded.levels
    if levels.ndim == 2:
        return levels
    if (levels != levels[:, :, :1]).any():
        raise _ColouredError(f"{path}: has colours, wanted grey values; save it as a greyscale image")
    return levels[:, :, 0]


@dataclass(frozen=True)
class ResultSizes:
    """Height and width that OpenEXR results of a photo have, and those of PNG and TIFF."""

    exr: tuple[int, int]
    shown: tuple[int, int]

    @classmethod
    def of(cls, photo: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> Self:
        """By the photo's header. Raises `InputError`."""
        if is_exr(photo):
            windows = exr_windows(photo, max_megapixels)
            return cls(windows.data.hw, windows.display.hw)
        size = size_upright(photo, max_megapixels)
        return cls(size, size)


def is_result(path: str | Path, sizes: ResultSizes, in_colour: bool, max_megapixels: float = MAX_MEGAPIXELS) -> bool:
    """Whether a result can be read to its end, and has the size of its photo and channels of its kind."""
    try:
        if is_exr(path):
            planes = read_exr_whole(path, max_megapixels).planes
            return (len(planes) > 1) == in_colour and next(iter(planes.values())).shape == sizes.exr
        if Path(path).suffix.lower() == PNG_SUFFIX and not ends_whole(path):
            return False
        levels = decode(path, max_megapixels).levels
        return (levels.ndim == 3) == in_colour and levels.shape[:2] == sizes.shown
    except InputError:
        return False


def check_output(
    path: str | Path, inputs: tuple[str | Path, ...] = (), suffixes: tuple[str, ...] = WRITE_SUFFIXES
) -> None:
    """Raise before any work is done when `path` cannot be written or is one of the inputs."""
    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: results are written as {', '.join(suffixes)}; choose one of these endings")
    check_writable(target)
    if target.exists() and any(os.path.exists(other) and target.samefile(other) for other in inputs):
        raise UsageError(f"{path}: would overwrite an input; choose another output")


@stage("encode")
def write_image(
    path: str | Path, pixels: NDArray[Any], metadata: Metadata = Metadata(), premultiplied: bool = False
) -> None:
    """Write grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4) by the suffix of `path`.

    pixels: uint8 or uint16 for PNG and TIFF, float16 or float32 for OpenEXR, where grey is alpha. metadata: what of
    it the type of file can hold is kept; grey has no use for a profile of colours. premultiplied: what a TIFF file
    says of its alpha channel. Raises `OutputError`.
    """
    metadata = metadata.for_grey() if pixels.ndim == 2 else metadata
    if is_exr_name(path):
        write_exr(path, pixels, metadata.exr)
    elif Path(path).suffix.lower() == PNG_SUFFIX:
        replace_file(path, encode_png(pixels, metadata))
    else:
        replace_file(path, encode_tiff(pixels, metadata, premultiplied))
