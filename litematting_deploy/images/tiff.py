"""What is different about TIFF: what is refused before Pillow opens a file, and what its tags say of the pixels."""

import os
from pathlib import Path

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import InputError
from .tags import check_tags

SIGNATURES = (b"II*\0", b"MM\0*")
SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L")
"""Pillow's modes of it."""
_BITS, _PHOTOMETRIC, _PLANES, _TILE_WIDTH, _TILE_LENGTH = 258, 262, 284, 322, 323
_WHITE_IS_ZERO, _SEPARATE = 0, 2
_BIG_ENDIAN_BIGTIFF = b"MM\0+"
_MOST_SAMPLES = 6  # that Pillow opens; of more it writes a line to the standard error


def check_before_opening(path: str | Path) -> None:
    """Raise `InputError` for tags that Pillow would stumble over; other files pass."""
    with open(path, "rb") as file:
        if file.read(4) == _BIG_ENDIAN_BIGTIFF:  # which it takes for a plain one, and libtiff does not
            raise InputError(f"{path}: is a big-endian BigTIFF, which cannot be read; save it as a plain TIFF")
        file.seek(0)
        check_tags(file, os.path.getsize(path), str(path), _MOST_SAMPLES)


def tile_size(picture: Image.Image) -> tuple[int, int] | None:
    """Width and height of a tile, which is decoded whole, however little of it the picture shows; None elsewhere."""
    if not isinstance(picture, TiffImageFile):
        return None
    width, length = (int(picture.tag_v2.get(tag, 1)) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    return width, length


def bits_of(picture: Image.Image) -> int | None:
    """The most bits that a channel has; None of other files."""
    return max(picture.tag_v2.get(_BITS, (1,))) if isinstance(picture, TiffImageFile) else None


def has_separate_planes(picture: Image.Image) -> bool:
    """Whether each channel lies for itself."""
    return isinstance(picture, TiffImageFile) and picture.tag_v2.get(_PLANES) == _SEPARATE


def is_inverted(picture: Image.Image) -> bool:
    """Whether 0 is white, which Pillow sees to in 8 bits and not in 16."""
    return (
        isinstance(picture, TiffImageFile)
        and picture.mode in SIXTEEN_BIT_GREY
        and picture.tag_v2.get(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO
    )
