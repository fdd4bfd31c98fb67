"""The guide: the paper's transformable map (section 3.1), which tells how near the known regions are."""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from ..profiling import stage
from .trimap import BACKGROUND, FOREGROUND

SIGMA = 16.0
_REACH = 256  # pixels: exp(-256² / (2 · 16²)) is 0 in float32, and 256² what uint16 just cannot hold
_FAR = _REACH**2 - 1
_ROWS = 512


class Guide:
    """The map of a whole image, kept as squared distances, which are integers: half the memory, and the same bits.

    trimap: (H, W) uint8 of 0 / 128 / 255, the whole padded image.
    """

    @stage("guide")
    def __init__(self, trimap: NDArray[np.uint8]) -> None:
        # In strips of rows, each with those around it that its pixels can see, which bounds the memory.
        self._squares = np.full((2, *trimap.shape), _FAR, np.uint16)
        for start in range(0, len(trimap), _ROWS):
            above = min(start, _REACH)
            seen = trimap[start - above : start + _ROWS + _REACH]
            for squares, value in zip(self._squares, (BACKGROUND, FOREGROUND), strict=True):
                others = (seen != value).astype(np.uint8)
                # OpenCV has no distance to what is not there; the squares stay as far as they can be.
                if others.all():
                    continue
                # OpenCV's smaller masks give approximations, and the map is defined by exact distances.
                distance = cv2.distanceTransform(others, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[above : above + _ROWS]
                np.square(distance, out=distance)
                np.rint(distance, out=distance)
                squares[start : start + _ROWS] = np.minimum(distance, _FAR, out=distance)

    def window(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """Return the map of these rows and columns, (2, h, w) float32; see `transformable_map`."""
        return _levels()[self._squares[:, rows, columns]]


def transformable_map(trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return exp(-d² / (2 · 16²)) of the exact Euclidean distance d, in pixels, to the nearest known pixel.

    trimap: (H, W) uint8 of 0 / 128 / 255, the whole padded image: patches are cut from the result.
    Returns (2, H, W) float32, 0..1: channel 0 for background, 1 for foreground; all zero where the image has none.
    """
    return Guide(trimap).window()


@functools.cache
def _levels() -> NDArray[np.float32]:
    """Return the map's value for each squared distance."""
    level = np.square(np.sqrt(np.arange(_REACH**2, dtype=np.float32)))
    return np.exp(level * np.float32(-1 / (2 * SIGMA**2)))
