"""PNG, JPEG, TIFF, WebP, BMP, AVIF and HEIC to levels, with what else the file says."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ..errors import InputError
from .damage import check_tiff
from .metadata import Metadata, metadata_of
from .opening import check_exif_of, is_upright, opened, orientation_of
from .orientation import SIDEWAYS, turned
from .png import PngHead
from .sixteen_bits import all_bits, is_deep_colour
from .tiff import SIXTEEN_BIT_GREY, bits_of, is_inverted

_PALETTES = ("P", "PA")


@dataclass(frozen=True)
class Decoded:
    """A picture, turned as its EXIF orientation says.

    levels: (H, W) grey or (H, W, 3) RGB, uint8 or uint16. alpha: (H, W) of the same dtype, None where it is opaque.
    """

    levels: NDArray[Any]
    alpha: NDArray[Any] | None
    metadata: Metadata


def decode(path: str | Path, max_megapixels: float) -> Decoded:
    """Read a whole picture without loss of depth. Every way to fail is an `InputError` naming the file."""
    head = None
    with opened(path, max_megapixels) as picture:
        head = PngHead.read(path) if picture.format == "PNG" else None
        deep, tiles = is_deep_colour(picture), list(picture.tile)
        check_exif_of(picture, path)
        orientation = orientation_of(picture)
        _load(picture, path)
        metadata = metadata_of(picture, orientation)
        # Pillow turns a TIFF itself, and then forgets its orientation.
        turn = orientation_of(picture)
        if head is not None and picture.mode == "P":
            head.check_indices(np.asarray(picture), path)
        array = all_bits(picture, tiles, path) if deep else np.asarray(_plain_mode(picture, path, head))
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if is_inverted(picture):
            array = np.iinfo(array.dtype).max - array
    if head is not None:
        array, metadata = head.with_transparency(array), head.with_colour(metadata)
    array = turned(array, turn)
    alpha = None
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array, alpha = array[:, :, :-1], array[:, :, -1]
        array = array[:, :, 0] if array.shape[2] == 1 else array
        alpha = None if (alpha == np.iinfo(alpha.dtype).max).all() else alpha
    return Decoded(np.ascontiguousarray(array), alpha, metadata)


def decode_indices(path: str | Path, max_megapixels: float) -> NDArray[np.uint8]:
    """The indices (H, W) of a picture with a palette, turned as its EXIF orientation says. Raises `InputError`."""
    with opened(path, max_megapixels) as picture:
        check_exif_of(picture, path)
        _load(picture, path)
        indices = np.asarray(picture)
        return turned(indices if indices.ndim == 2 else indices[:, :, 0], orientation_of(picture))


def own_range(path: str | Path, max_megapixels: float) -> tuple[int, bool]:
    """The largest number that a channel of a file can hold, and whether its numbers are indices of a palette.

    Pillow spreads grey of 1, 2 and 4 bits over 0..255. Raises `InputError`.
    """
    with opened(path, max_megapixels) as picture:
        few = {found[1] for tile in picture.tile if (found := re.search(r"L;([24])", str(tile[3])))}
        if picture.mode in _PALETTES:
            return 255, True
        if picture.mode == "1":
            return 1, False
        deep = picture.mode in SIXTEEN_BIT_GREY or is_deep_colour(picture)
        return 65535 if deep else 2 ** int(few.pop()) - 1 if few else 255, False


def size_upright(path: str | Path, max_megapixels: float) -> tuple[int, int]:
    """Height and width, turned as the EXIF orientation says, but for one that stands behind a PNG's pixels.

    Raises `InputError` as `decode`.
    """
    with opened(path, max_megapixels) as picture:
        width, height = picture.size
        if is_upright(picture):
            return height, width
        check_exif_of(picture, path)
        return (width, height) if orientation_of(picture) in SIDEWAYS else (height, width)


def _load(picture: ImageFile.ImageFile, path: str | Path) -> None:
    if any(tile.codec_name == "libtiff" for tile in picture.tile):
        check_tiff(path)
    picture.load()


def _plain_mode(picture: Image.Image, path: str | Path, head: PngHead | None) -> Image.Image:
    """The picture in mode L, RGB, LA, RGBA or I;16. head: of a PNG, whose palette alone is looked at for transparency:
    Pillow compares a grey or colour that is transparent with levels of another depth."""
    if head is not None:
        picture.info.pop("transparency", None)
        if picture.mode == "P" and head.transparent is not None:
            picture.info["transparency"] = head.transparent
    transparent = picture.mode == "PA" or "transparency" in picture.info
    if picture.mode in SIXTEEN_BIT_GREY and bits_of(picture) not in (None, 16):
        raise InputError(
            f"{path}: has {bits_of(picture)} bits a pixel, which would be taken for a dark 16; save it with 8 or 16"
        )
    if picture.mode in SIXTEEN_BIT_GREY:
        return picture.copy()
    if picture.mode in (*_PALETTES, "1", "L", "RGB"):
        grey = picture.mode in ("1", "L")
        return picture.convert("RGBA" if transparent else "L" if grey else "RGB")
    if picture.mode in ("LA", "RGBA"):
        return picture.copy()
    raise InputError(
        f"{path}: its colour mode is {picture.mode}, wanted 8- or 16-bit RGB or grey; convert it to sRGB first"
    )
