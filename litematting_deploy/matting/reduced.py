"""A smaller photo for the network, which then runs fewer patches; `refine` takes its alpha back to full size."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ..profiling import stage
from .trimap import BACKGROUND, FOREGROUND, UNKNOWN


@stage("reduce")
def reduced_image(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) uint8 with its sides multiplied by `scale`, 0 to 1, and rounded up."""
    return _reduced(image, scale)


def reduced_trimap(trimap: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return a trimap (H, W) uint8 of 0 / 128 / 255 in the size of `reduced_image`.

    A pixel is unknown where any of the pixels that it covers is.
    """
    unknown, foreground = (_reduced((trimap == value) * np.uint8(255), scale) for value in (UNKNOWN, FOREGROUND))
    known = np.where(foreground > 127, np.uint8(FOREGROUND), np.uint8(BACKGROUND))
    return np.where(unknown > 0, np.uint8(UNKNOWN), known)


def enlarged(alpha: NDArray[np.float32], hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return an alpha (h, w) float32, 0..1, enlarged to `hw`."""
    large = cv2.resize(alpha, hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(large.clip(0, 1), np.float32)  # a cubic overshoots at edges


def _reduced(plane: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return the mean of the pixels that each pixel of the smaller image covers."""
    height, width = (math.ceil(side * scale) for side in plane.shape[:2])
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
