"""The paper's transformable map (section 3.1): how near the known regions are."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .trimap import BACKGROUND, FOREGROUND

SIGMA = 16.0


def transformable_map(trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """exp(-d² / (2 · 16²)) of the exact Euclidean distance d in pixels to the nearest known pixel.

    trimap: (H, W) uint8 of 0 / 128 / 255, the whole padded image: patches are cut from the result. Returns
    (2, H, W) float32, 0..1: channel 0 for background, 1 for foreground; all zero where the image has none.
    """
    guide = np.zeros((2, *trimap.shape), np.float32)
    for channel, value in zip(guide, (BACKGROUND, FOREGROUND), strict=True):
        others = (trimap != value).astype(np.uint8)
        if others.all():
            continue
        distance = cv2.distanceTransform(others, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        np.square(distance, out=channel)
        channel *= -1 / (2 * SIGMA**2)
        np.exp(channel, out=channel)
    return guide
