"""Where a photo is hairy: many edges in a small window, more than its surroundings have."""

import cv2
import numpy as np
from numpy.typing import NDArray

_SOFTEN = 1.0
"""Standard deviation in pixels of the blur that takes a sensor's noise away and leaves a strand of one pixel."""
_DENSE = 0.1
"""Part of a window that edges fill where it is hairy. One strand, 3 or 4 pixels wide with its two edges, fills 0.2 to
0.4 of a window of 9 to 15 pixels."""
_FAINT = 6.0
"""Grey levels within 3x3 pixels that are no edge anywhere: JPEG's blocks and gradients of light."""
_DEVIATIONS = 3.0
_ENOUGH = 500
_SAMPLES = 1_000_000
"""Fewest pixels that say what is usual, and most, about, that are asked."""


def contrast(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Largest less smallest value within 3x3 pixels of a photo (H, W, 3) uint8, in the channel where that is most:
    (H, W), in grey levels."""
    soft = cv2.GaussianBlur(photo, (0, 0), _SOFTEN)
    ranges = cv2.morphologyEx(soft, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return np.asarray(ranges.max(axis=2))


def hairy(
    contrasts: NDArray[np.uint8], where: NDArray[np.bool_], plain: NDArray[np.bool_], width: float
) -> NDArray[np.bool_]:
    """Pixels (H, W) of `where` with many edges around them.

    An edge is a pixel whose contrast exceeds the median of `plain` by three standard deviations (of the median absolute
    deviation): over grass, hair must stand out from grass. A pixel is hairy where edges fill a tenth of the window of
    2/3 `width` around it, at least 9 pixels; only pixels of `where` count, so that an outline outside it is no edge.
    contrasts: of `contrast`. plain: pixels beyond; where these are few, all of `where`. width: of the band, in pixels.
    """
    usual = contrasts[plain] if np.count_nonzero(plain) >= _ENOUGH else contrasts[where]
    if not usual.size:
        return where
    usual = usual[:: max(1, usual.size // _SAMPLES)]
    median = float(np.median(usual))
    deviation = 1.4826 * float(np.median(np.abs(usual - median)))
    edges = where & (contrasts > max(median + _DEVIATIONS * deviation, _FAINT))
    side = max(9, round(width * 2 / 3) | 1)
    found, there = (
        cv2.boxFilter(part.astype(np.float32), -1, (side, side), borderType=cv2.BORDER_REFLECT)
        for part in (edges, where)
    )
    return np.asarray(where & (found > _DENSE * there))
