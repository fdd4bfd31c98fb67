"""A picture that shows at a glance what of a photo will be estimated."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .trimap import BACKGROUND, FOREGROUND, UNKNOWN

_TINT = np.array((255, 0, 170), np.float32)
"""Of the unknown band: magenta, which photos hardly have."""
_OPACITY = 0.4
_DIMMED = 0.55
"""What is left of the background's light."""
_OUTLINES = {FOREGROUND: (255, 255, 255), BACKGROUND: (0, 200, 255)}
_PIXELS_PER_LINE = 900


def trimap_preview(trimap: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its background darkened, the unknown band tinted magenta, the foreground as it is.

    A white line borders the foreground, a blue one the background; they lie on the unknown side, and are thicker in a
    larger picture. trimap: (H, W) uint8 of 0 / 128 / 255. picture: (H, W) or (H, W, 3) uint8. Returns (H, W, 3) uint8.
    """
    colours = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    shown = colours.copy()
    unknown, background = trimap == UNKNOWN, trimap == BACKGROUND
    shown[background] = np.rint(shown[background] * np.float32(_DIMMED))
    shown[unknown] = np.rint(shown[unknown] * np.float32(1 - _OPACITY) + _TINT * np.float32(_OPACITY))
    line = max(1, round(max(trimap.shape) / _PIXELS_PER_LINE))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * line + 1, 2 * line + 1))
    for value, colour in _OUTLINES.items():
        region = (trimap == value).astype(np.uint8)
        outside = region == 0
        shown[(cv2.dilate(region, disk) > 0) & outside & unknown] = colour
    return shown
