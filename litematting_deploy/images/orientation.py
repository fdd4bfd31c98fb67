"""EXIF's orientation: how the pixels of a file are turned to stand upright."""

import re
from typing import Any

from numpy.typing import NDArray

ORIENTATION_TAG = 0x0112
SIDEWAYS = (5, 6, 7, 8)
"""Orientations of 1 to 8 whose height and width are exchanged."""
_UPSIDE_DOWN, _MIRRORED = (3, 4, 7, 8), (2, 3, 6, 7)  # once rows and columns are exchanged, where they are
_IN_XMP = re.compile(rb'tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>')


def turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W, ...) shown upright, for an EXIF orientation of 1 to 8; others mean nothing."""
    if orientation in SIDEWAYS:
        array = array.swapaxes(0, 1)
    return array[:: -1 if orientation in _UPSIDE_DOWN else 1, :: -1 if orientation in _MIRRORED else 1]


def without_orientation(xmp: bytes) -> bytes:
    """An XMP packet for pixels that are upright."""
    return _IN_XMP.sub(b"", xmp)
