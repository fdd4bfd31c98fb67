"""What Pillow reads: PNG, JPEG, TIFF, WebP and BMP to levels, with what else the file says."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import InputError
from .heif import container_formats
from .jpeg import SIGNATURE, check_exif, check_jpeg
from .metadata import DECODER_ERRORS, ORIENTATION_TAG, Metadata, metadata_of
from .opening import READ_FORMATS, open_picture
from .png import PngHead
from .suffixes import conversion, kind_of
from .tags import check_tags

_BITS, _PLANES, _PHOTOMETRIC, _TILE_WIDTH, _TILE_LENGTH = 258, 284, 262, 322, 323  # of TIFF
_WHITE_IS_ZERO = 0
_SIDEWAYS = (5, 6, 7, 8)  # of EXIF orientations
_BIG_ENDIAN_BIGTIFF = b"MM\0+"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
_SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L")
_RAW_EXIF = "Raw profile type exif"  # as ImageMagick writes it to PNG
_COLOUR_MODES = ("RGB", "RGBA", "LA")
_DEEP_GREY_ALPHA = "LA;16B"
_NATIVE_ORDER = "L" if sys.byteorder == "little" else "B"


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
    with _opened(path, max_megapixels) as picture:
        head = PngHead.read(path) if picture.format == "PNG" else None
        deep, tiles = _is_deep_colour(picture), list(picture.tile)
        _check_exif(picture, path)
        orientation = _orientation(picture)
        picture.load()
        metadata = metadata_of(picture, orientation)
        # Pillow turns a TIFF itself, and then forgets its orientation.
        turn = _orientation(picture)
        array = _deep(picture, tiles, path) if deep else np.asarray(_plain_mode(picture, path, head))
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if _is_inverted(picture):
            array = np.iinfo(array.dtype).max - array
    if head is not None:
        array, metadata = _with_key(array, head), _with_colour(metadata, head)
    array = turned(array, turn)
    alpha = None
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array, alpha = array[:, :, :-1], array[:, :, -1]
        array = array[:, :, 0] if array.shape[2] == 1 else array
        alpha = None if (alpha == np.iinfo(alpha.dtype).max).all() else alpha
    return Decoded(np.ascontiguousarray(array), alpha, metadata)


def decode_indices(path: str | Path, max_megapixels: float) -> NDArray[np.uint8]:
    """The indices (H, W) of a picture with a palette, turned as its EXIF orientation says. Raises `InputError`."""
    with _opened(path, max_megapixels) as picture:
        _check_exif(picture, path)
        picture.load()
        indices = np.asarray(picture)
        return turned(indices if indices.ndim == 2 else indices[:, :, 0], _orientation(picture))


def own_range(path: str | Path, max_megapixels: float) -> tuple[int, bool]:
    """The largest number that a channel of a file can hold, and whether its numbers are indices of a palette.

    Pillow spreads grey of 1, 2 and 4 bits over 0..255. Raises `InputError`.
    """
    with _opened(path, max_megapixels) as picture:
        few = {found[1] for tile in picture.tile if (found := re.search(r"L;([24])", str(tile[3])))}
        if picture.mode in ("P", "PA"):
            return 255, True
        if picture.mode == "1":
            return 1, False
        deep = picture.mode in _SIXTEEN_BIT_GREY or _is_deep_colour(picture)
        return 65535 if deep else 2 ** int(few.pop()) - 1 if few else 255, False


def _with_key(array: NDArray[Any], head: PngHead) -> NDArray[Any]:
    """Levels (H, W) or (H, W, 3), with an alpha channel where one grey or colour of a PNG is transparent."""
    level = head.transparent_level()
    if level is None:
        return array
    planes = array[:, :, None] if array.ndim == 2 else array
    top = array.dtype.type(np.iinfo(array.dtype).max)
    return np.dstack([planes, np.where((planes == level).all(axis=2), array.dtype.type(0), top)])


def _with_colour(metadata: Metadata, head: PngHead) -> Metadata:
    """What a PNG says of its colours besides. An ICC profile counts before sRGB; one that cannot be decompressed is
    an empty one, which photos are refused for."""
    icc = b"" if head.has_profile and metadata.icc is None else metadata.icc
    colour = tuple((name, content) for name, content in head.colour if icc is None or name != b"sRGB")
    return replace(metadata, icc=icc, colour=colour)


def size_upright(path: str | Path, max_megapixels: float) -> tuple[int, int]:
    """Height and width, turned as the EXIF orientation says, but for one that stands behind a PNG's pixels.

    Raises `InputError` as `decode`.
    """
    with _opened(path, max_megapixels) as picture:
        width, height = picture.size
        # Pillow's size of a TIFF is upright, and it would read all of a PNG to look for EXIF.
        if isinstance(picture, TiffImageFile) or (
            picture.format == "PNG" and not {"exif", _RAW_EXIF} & set(picture.info)
        ):
            return height, width
        _check_exif(picture, path)
        return (width, height) if _orientation(picture) in _SIDEWAYS else (height, width)


@contextlib.contextmanager
def _opened(path: str | Path, max_megapixels: float) -> Iterator[ImageFile.ImageFile]:
    """A picture whose header is checked. What goes wrong with it is an `InputError` naming the file."""
    try:
        check_is_file(path)
        _check_before_opening(path)
        # A file rather than its name, which Pillow would map into memory, and garble TIFFs that lie on their side.
        with open(path, "rb") as file:
            picture = open_picture(file, (*READ_FORMATS, *container_formats(path)))
            if picture is None:
                raise _unknown(path)
            with picture:
                _check_header(picture, path, max_megapixels)
                yield picture
    except (*DECODER_ERRORS, Warning) as error:  # of warnings where the program makes errors of them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: damaged or truncated image ({reason}); save or fetch it again") from error


def check_is_file(path: str | Path) -> None:
    """Raise `InputError` for a path that is no file."""
    if not Path(path).is_file():
        kind = "a folder" if Path(path).is_dir() else "no such file"
        raise InputError(f"{path}: {kind}; give the path of an image file")


def check_size(width: int, height: int, path: str | Path, max_megapixels: float) -> None:
    """Raise `InputError` for a picture over the limit."""
    if not width * height <= max_megapixels * 1e6:
        raise InputError(
            f"{path}: {width}x{height} is {width * height / 1e6:.4g} megapixels, over the limit of "
            f"{max_megapixels:g}; raise it with --max-megapixels"
        )


def turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W, ...) shown upright, for an EXIF orientation of 1 to 8; others mean nothing."""
    if orientation in _SIDEWAYS:
        array = array.swapaxes(0, 1)
    vertical, horizontal = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return array[:: -1 if vertical else 1, :: -1 if horizontal else 1]


def _check_before_opening(path: str | Path) -> None:
    """For what Pillow reads already where it opens a file."""
    PngHead.read(path)
    with open(path, "rb") as file:
        start = file.read(4)
        if start == _BIG_ENDIAN_BIGTIFF:  # which it takes for a plain one, and libtiff does not
            raise InputError(f"{path}: is a big-endian BigTIFF, which cannot be read; save it as a plain TIFF")
        file.seek(0)
        check_tags(file, os.path.getsize(path), str(path))
    if start.startswith(SIGNATURE):
        check_jpeg(path)


def _unknown(path: str | Path) -> InputError:
    """What to say of a file that Pillow does not know."""
    with open(path, "rb") as file:
        if file.read(4) in _TIFF_SIGNATURES:
            return InputError(
                f"{path}: a TIFF that is damaged, or of a kind that is not read (as floating-point, 32-bit, Lab, or "
                "16-bit grey with alpha); wanted 8- or 16-bit RGB or grey"
            )
    kind = kind_of(path)
    if kind is not None and kind.upper() not in READ_FORMATS:
        return InputError(f"{path}: is a picture of kind {kind}, which is not read; {conversion(kind)}")
    return InputError(
        f"{path}: not an image that can be read ({os.path.getsize(path)} bytes); "
        f"wanted {', '.join(READ_FORMATS)} or OpenEXR; it may be empty, damaged or misnamed"
    )


def _check_exif(picture: Image.Image, path: str | Path) -> None:
    if isinstance(picture, TiffImageFile):
        return
    if picture.format == "PNG" and "exif" not in picture.info:
        picture.load()  # it may stand behind the pixels
    exif = picture.info.get("exif")
    if exif is None:
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(picture.info.get(_RAW_EXIF, "").split("\n")[3:]))
    if isinstance(exif, bytes):
        check_exif(exif, path)


def _check_header(picture: Image.Image, path: str | Path, max_megapixels: float) -> None:
    check_size(*picture.size, path, max_megapixels)
    # `n_frames` would read every frame of a TIFF, which takes time by the square of their number.
    if (
        getattr(picture, "is_animated", False) and picture.format != "MPO"
    ):  # cameras keep previews behind an MPO's photo
        raise InputError(f"{path}: holds several frames, wanted a single image; save the one you mean")
    if isinstance(picture, TiffImageFile):  # a tile is decoded whole, however little of it the picture shows
        width, length = (int(picture.tag_v2.get(tag, 1)) for tag in (_TILE_WIDTH, _TILE_LENGTH))
        check_size(width, length, path, max_megapixels)


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or none that can be read."""
    try:
        return int(picture.getexif().get(ORIENTATION_TAG, 1))
    except DECODER_ERRORS:
        return 1


def _is_deep_colour(picture: ImageFile.ImageFile) -> bool:
    """Whether Pillow would read 16-bit colour, of which it keeps 8 bits."""
    if (_tiff_bits(picture) or 0) > 8:
        return picture.mode in _COLOUR_MODES
    return picture.mode in _COLOUR_MODES and any(";16" in _raw_mode(tile) for tile in picture.tile)


def _raw_mode(tile: Any) -> str:
    """How the samples of a part of a picture lie in the file, in Pillow's words."""
    arguments = tile[3]
    return str(arguments if isinstance(arguments, str) or not arguments else arguments[0])


def _tiff_bits(picture: Image.Image) -> int | None:
    """The most bits that a channel has; None of other files."""
    return max(picture.tag_v2.get(_BITS, (1,))) if isinstance(picture, TiffImageFile) else None


def _is_inverted(picture: Image.Image) -> bool:
    """Whether 0 is white, which Pillow sees to in 8 bits and not in 16."""
    return (
        isinstance(picture, TiffImageFile)
        and picture.mode in _SIXTEEN_BIT_GREY
        and picture.tag_v2.get(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO
    )


def _plain_mode(picture: Image.Image, path: str | Path, head: PngHead | None) -> Image.Image:
    """The picture in mode L, RGB, LA, RGBA or I;16. head: of a PNG, whose palette alone is looked at for transparency:
    Pillow compares a grey or colour that is transparent with levels of another depth."""
    if head is not None:
        picture.info.pop("transparency", None)
        if picture.mode == "P" and head.transparent is not None:
            picture.info["transparency"] = head.transparent
    transparent = picture.mode == "PA" or "transparency" in picture.info
    if picture.mode in _SIXTEEN_BIT_GREY and _tiff_bits(picture) not in (None, 16):
        raise InputError(
            f"{path}: has {_tiff_bits(picture)} bits a pixel, which would be taken for a dark 16; save it with 8 or 16"
        )
    if picture.mode in _SIXTEEN_BIT_GREY:
        return picture.copy()
    if picture.mode in ("P", "PA", "1", "L", "RGB"):
        grey = picture.mode in ("1", "L")
        return picture.convert("RGBA" if transparent else "L" if grey else "RGB")
    if picture.mode in ("LA", "RGBA"):
        return picture.copy()
    raise InputError(
        f"{path}: its colour mode is {picture.mode}, wanted 8- or 16-bit RGB or grey; convert it to sRGB first"
    )


def _deep(picture: ImageFile.ImageFile, tiles: list[Any], path: str | Path) -> NDArray[np.uint16]:
    """All 16 bits of colours, of which Pillow keeps 8: the upper ones as it has read them, and the lower ones read by
    telling its decoder of samples in the other order of bytes.

    tiles: of the picture before it was loaded.
    """
    raw_modes = {_raw_mode(tile) for tile in tiles}
    planar = isinstance(picture, TiffImageFile) and picture.tag_v2.get(_PLANES) == 2
    if planar or len(raw_modes) != 1 or not all(";16" in mode for mode in raw_modes):
        raise InputError(
            f"{path}: its 16-bit colours cannot be read without loss; save it as an RGB PNG, or as a TIFF without "
            "layers and separate planes"
        )
    (raw_mode,) = raw_modes
    if raw_mode == _DEEP_GREY_ALPHA:  # its two samples are four bytes
        return _bytes_of(tiles, path, "RGBA").view(">u2").astype(np.uint16)
    channels, order = raw_mode.split(";16")
    order = _NATIVE_ORDER if order == "N" else order
    straight = channels.replace("a", "A")  # "a" is alpha that colours are multiplied by, which Pillow undoes
    upper = np.asarray(picture) if straight == channels else _bytes_of(tiles, path, f"{straight};16{order}")
    lower = _bytes_of(tiles, path, f"{straight};16{'L' if order == 'B' else 'B'}")
    return upper.astype(np.uint16) << np.uint16(8) | lower


def _bytes_of(tiles: list[Any], path: str | Path, raw_mode: str) -> NDArray[np.uint8]:
    """The picture read anew, (H, W, C), as if its samples lay in the file as `raw_mode` says."""
    with open(path, "rb") as file:
        again = open_picture(file)
        if again is None or again.tile != tiles:
            raise InputError(f"{path}: has changed while it was read; read it again")
        again.tile = [
            tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *(tile.args or ())[1:]))
            for tile in again.tile
        ]
        with again:
            return np.array(again)
