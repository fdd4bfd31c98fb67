"""16-bit colours of PNG and TIFF, of which Pillow keeps the upper 8 bits."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from ..errors import InputError
from .opening import open_picture
from .tiff import bits_of, has_separate_planes

_COLOUR_MODES = ("RGB", "RGBA", "LA")
_GREY_ALPHA = "LA;16B"
_NATIVE_ORDER = "L" if sys.byteorder == "little" else "B"


def is_deep_colour(picture: ImageFile.ImageFile) -> bool:
    """Whether Pillow would read 16-bit colour of a picture that is not loaded yet."""
    if (bits_of(picture) or 0) > 8:
        return picture.mode in _COLOUR_MODES
    return picture.mode in _COLOUR_MODES and any(";16" in _raw_mode(tile) for tile in picture.tile)


def all_bits(picture: ImageFile.ImageFile, tiles: list[Any], path: str | Path) -> NDArray[np.uint16]:
    """(H, W, C) of a loaded picture: the upper 8 bits as Pillow has read them, and the lower ones read by telling its
    decoder of samples in the other order of bytes.

    tiles: of the picture before it was loaded. Raises `InputError`.
    """
    raw_modes = {_raw_mode(tile) for tile in tiles}
    if has_separate_planes(picture) or len(raw_modes) != 1 or not all(";16" in mode for mode in raw_modes):
        raise InputError(
            f"{path}: its 16-bit colours cannot be read without loss; save it as an RGB PNG, or as a TIFF without "
            "layers and separate planes"
        )
    (raw_mode,) = raw_modes
    if raw_mode == _GREY_ALPHA:  # its two samples are four bytes
        return _bytes_of(tiles, path, "RGBA").view(">u2").astype(np.uint16)
    channels, order = raw_mode.split(";16")
    order = _NATIVE_ORDER if order == "N" else order
    straight = channels.replace("a", "A")  # "a" is alpha that colours are multiplied by, which Pillow undoes
    upper = np.asarray(picture) if straight == channels else _bytes_of(tiles, path, f"{straight};16{order}")
    lower = _bytes_of(tiles, path, f"{straight};16{'L' if order == 'B' else 'B'}")
    return upper.astype(np.uint16) << np.uint16(8) | lower


def _raw_mode(tile: Any) -> str:
    """How the samples of a part of a picture lie in the file, in Pillow's words."""
    arguments = tile[3]
    return str(arguments if isinstance(arguments, str) or not arguments else arguments[0])


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
