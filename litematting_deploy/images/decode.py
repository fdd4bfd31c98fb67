"""Decode PNG, JPEG, TIFF, WebP, BMP, AVIF and HEIC to levels, with what else the file says."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import InputError
from .damage import check_tiff
from .metadata import SIDEWAYS, Metadata, loaded
from .opening import opened
from .png import PngHead

_UPSIDE_DOWN, _MIRRORED = (3, 4, 7, 8), (2, 3, 6, 7)  # EXIF orientations, once rows and columns are exchanged
_BITS, _PHOTOMETRIC, _PLANES = 258, 262, 284  # tags of TIFF
_WHITE_IS_ZERO, _SEPARATE = 0, 2
_SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L")
_PALETTES = ("P", "PA")
_DEEP_MODES = ("RGB", "RGBA", "LA")
_DEEP_GREY_ALPHA = "LA;16B"
_NATIVE_ORDER = "L" if sys.byteorder == "little" else "B"


@dataclass(frozen=True)
class Decoded:
    """A picture, turned upright by its EXIF orientation.

    levels: (H, W) grey or (H, W, 3) RGB, uint8 or uint16; grey of 1, 2 and 4 bits is spread over 0..255.
    alpha: (H, W) of the same dtype; None where the picture is opaque.
    top: the largest number that a channel of the file can hold, as 15 of 4 bits.
    has_palette: whether the file's numbers are indices of a palette.
    """

    levels: NDArray[Any]
    alpha: NDArray[Any] | None
    metadata: Metadata
    top: int
    has_palette: bool


def decode(path: str | Path, max_megapixels: float, indices: bool = False) -> Decoded:
    """Decode a whole picture without loss of depth.

    max_megapixels: the largest width times height, in millions of pixels.
    indices: the levels of a picture with a palette are its indices rather than its colours.
    Raises `InputError` naming the file.
    """
    with opened(path, max_megapixels) as (picture, head):
        # Before the picture is loaded, when Pillow forgets its tiles.
        deep, tiles, top = _is_deep_colour(picture), list(picture.tile), _top_of(picture)
        has_palette = picture.mode in _PALETTES
        # Tiles of other codecs are decoded by Pillow itself, which raises where they are damaged.
        if any(tile.codec_name == "libtiff" for tile in tiles):
            check_tiff(path, max_megapixels, picture.tell())
        metadata, orientation = loaded(picture, path)
        if indices and has_palette:
            array = np.asarray(picture)
            # In mode PA an alpha channel lies behind the indices.
            levels = _upright(array if array.ndim == 2 else array[:, :, 0], orientation)
            return Decoded(levels, None, metadata, top, has_palette)
        if head is not None and picture.mode == "P":
            head.check_indices(np.asarray(picture))
        array = _all_bits(picture, tiles, path) if deep else np.asarray(_plain_mode(picture, path, head))
        # A big-endian TIFF comes in its own order of bytes, which OpenCV does not take.
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.dtype == np.uint16 and _is_inverted(picture):
            array = np.iinfo(array.dtype).max - array
    if head is not None:
        array, metadata = head.with_transparency(array), head.with_colour(metadata)
    array = _upright(array, orientation)
    alpha = None
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array, alpha = array[:, :, :-1], array[:, :, -1]
        array = array[:, :, 0] if array.shape[2] == 1 else array
        # An opaque alpha channel says nothing, and pictures with one are taken. Filters leave deep ones a little less.
        top = np.iinfo(alpha.dtype).max
        alpha = None if (alpha >= top - top // 510).all() else alpha
    # Turning and slicing give views, and OpenCV takes whole blocks.
    return Decoded(np.ascontiguousarray(array), alpha, metadata, top, has_palette)


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (H, W, ...) as they stand upright by an EXIF orientation of 1 to 8; other numbers mean nothing."""
    if orientation in SIDEWAYS:
        array = array.swapaxes(0, 1)
    return array[:: -1 if orientation in _UPSIDE_DOWN else 1, :: -1 if orientation in _MIRRORED else 1]


def _tiff_tag(picture: Image.Image, tag: int, default: Any) -> Any:
    """Return what a TIFF says under a tag, or the default that the format has for it; None for other formats."""
    return picture.tag_v2.get(tag, default) if isinstance(picture, TiffImageFile) else None


def _bits_of(picture: Image.Image) -> int:
    """Return the most bits that a channel of a TIFF has; 0 for other formats."""
    return int(max(_tiff_tag(picture, _BITS, (1,)) or (0,)))


def _is_inverted(picture: Image.Image) -> bool:
    """Return whether 0 is white in a 16-bit TIFF; Pillow inverts 8-bit ones by itself."""
    return picture.mode in _SIXTEEN_BIT_GREY and _tiff_tag(picture, _PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO


def _top_of(picture: ImageFile.ImageFile) -> int:
    """Return the largest number that a channel of a picture that is not loaded can hold."""
    if picture.mode == "1":
        return 1
    if picture.mode in _SIXTEEN_BIT_GREY or _is_deep_colour(picture):
        return 65535
    # Pillow names samples of 2 and 4 bits L;2 and L;4, maybe with more letters behind.
    few = [found[1] for tile in picture.tile if (found := re.search(r"L;([24])", str(tile[3])))]
    return 2 ** int(few[0]) - 1 if few else 255


def _plain_mode(picture: Image.Image, path: str | Path, head: PngHead | None) -> Image.Image:
    """Return the picture in mode L, RGB, LA, RGBA or I;16. Raises `InputError` for modes whose meaning is lost there.

    head: of a PNG, whose palette alone is looked at for transparency: Pillow compares a grey or colour that is
    transparent with levels of another depth.
    """
    if head is not None:
        picture.info.pop("transparency", None)
        if picture.mode == "P" and head.transparent is not None:
            picture.info["transparency"] = head.transparent
    if picture.mode in _SIXTEEN_BIT_GREY and _bits_of(picture) not in (0, 16):
        raise InputError(
            f"{path}: has {_bits_of(picture)} bits per channel, which would look too dark; save it with 8 or 16 bits"
        )
    if picture.mode in (*_SIXTEEN_BIT_GREY, "LA", "RGBA"):
        return picture.copy()
    if picture.mode in (*_PALETTES, "1", "L", "RGB"):
        transparent = picture.mode == "PA" or "transparency" in picture.info
        return picture.convert("RGBA" if transparent else "L" if picture.mode in ("1", "L") else "RGB")
    raise InputError(
        f"{path}: its colour mode is {picture.mode}, expected 8- or 16-bit RGB or grey; convert it to sRGB first"
    )


def _is_deep_colour(picture: ImageFile.ImageFile) -> bool:
    """Return whether a picture that is not loaded has 16-bit colours, of which Pillow would keep the upper 8 bits."""
    # BGR;16 of a BMP is a pixel of 16 bits, not a channel.
    modes = [mode for tile in picture.tile if not (mode := _raw_mode(tile)).startswith("BGR")]
    deep = _bits_of(picture) > 8 or any(";16" in mode for mode in modes)
    return deep and picture.mode in _DEEP_MODES


def _all_bits(picture: ImageFile.ImageFile, tiles: list[Any], path: str | Path) -> NDArray[np.uint16]:
    """Return all 16 bits of a loaded picture, (H, W, C).

    Pillow has read the upper 8 bits. It reads the lower ones if it is told that the file has its samples in the other
    order of bytes.

    tiles: of the picture before it was loaded.
    Raises `InputError`.
    """
    raw_modes = {_raw_mode(tile) for tile in tiles}
    separate = _tiff_tag(picture, _PLANES, None) == _SEPARATE
    if separate or len(raw_modes) != 1 or not all(";16" in mode for mode in raw_modes):
        raise InputError(
            f"{path}: its 16-bit colours cannot be read without loss; save it as an RGB PNG, or as a TIFF without "
            "layers and separate planes"
        )
    (raw_mode,) = raw_modes
    if raw_mode == _DEEP_GREY_ALPHA:  # its two samples are four bytes
        return _bytes_of(picture, tiles, path, "RGBA").view(">u2").astype(np.uint16)
    channels, order = raw_mode.split(";16")
    order = _NATIVE_ORDER if order == "N" else order
    straight = channels.replace("a", "A")  # "a" is alpha that colours are multiplied by, which Pillow undoes
    upper = np.asarray(picture) if straight == channels else _bytes_of(picture, tiles, path, f"{straight};16{order}")
    lower = _bytes_of(picture, tiles, path, f"{straight};16{'L' if order == 'B' else 'B'}")
    return upper.astype(np.uint16) << np.uint16(8) | lower


def _raw_mode(tile: Any) -> str:
    """Return how the samples of a part of a picture lie in the file, in Pillow's words."""
    arguments = tile[3]
    return str(arguments if isinstance(arguments, str) or not arguments else arguments[0])


def _bytes_of(picture: ImageFile.ImageFile, tiles: list[Any], path: str | Path, raw_mode: str) -> NDArray[np.uint8]:
    """Read the picture anew, (H, W, C), as if its samples lay in the file as `raw_mode` says.

    tiles: of the picture before it was loaded.
    """
    with open(path, "rb") as file:
        again: ImageFile.ImageFile = type(picture)(file)
        again.seek(picture.tell())
        if again.tile != tiles:
            raise InputError(f"{path}: changed while it was being read; try again")
        again.tile = [
            tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *(tile.args or ())[1:]))
            for tile in again.tile
        ]
        with again:
            return np.array(again)
