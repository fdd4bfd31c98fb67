"""Small pictures for the page; what is downloaded is made elsewhere, at the photo's size and depth."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..images.colour import SRGB
from ..images.photo import Photo

LONG_SIDE = 1536
"""Pixels of what is shown, and painted on: more than a page has room for, and little enough for any browser."""
_TILE, _DARK, _BRIGHT = 12, 176, 224


def small(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels (H, W) or (H, W, C) with at most `LONG_SIDE` on the long side."""
    scale = LONG_SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def shown(photo: Photo, levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Levels (H, W, 3) of a result of `photo`, which are in its colour space, small and as sRGB (h, w, 3) uint8."""
    light = photo.space.decode(small(levels))
    return np.asarray(SRGB.encode(photo.space.convert(light, SRGB), np.uint8))


def on_checkerboard(colours: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours (h, w, 3) over the grey tiles that stand for nothing; alpha: (h, w), 0..1."""
    rows, columns = np.mgrid[: alpha.shape[0], : alpha.shape[1]] // _TILE
    tiles = np.where((rows + columns) % 2, _DARK, _BRIGHT)[:, :, None]
    weight = alpha[:, :, None]
    return np.asarray(np.rint(colours * weight + tiles * (1 - weight)), np.uint8)
