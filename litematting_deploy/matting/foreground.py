"""The colours of the foreground alone, for a cut-out that shows nothing of its old background."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ForegroundError
from ..images.photo import Photo
from ..profiling import stage
from .unmixing import Bounds, Floats, Window, unmix


@stage("foreground")
def estimate_foreground(photo: Photo, alpha: NDArray[np.float32]) -> NDArray[Any]:
    """Estimate foreground colours in linear light, see `unmixing`.

    Estimates stay within the photo's own range of light, which in OpenEXR and HDR files goes beyond 0..1.

    alpha: (H, W) float32, 0..1.
    Returns (H, W, 3) in the photo's own numbers and depth. Pixels of alpha 1 keep the photo's exactly.
    Raises `InputError` for light that is not finite, `ForegroundError` where memory does not suffice.
    """

    def light_of(window: Window) -> Floats:
        return np.stack(cv2.split(photo.to_light(photo.pixels[window])))

    bounds = _range(photo)
    try:
        foreground = photo.pixels.copy()
        for tile, front in unmix(light_of, alpha, bounds):
            changed = alpha[tile] < 1
            foreground[tile][changed] = photo.to_pixels(front[:, changed].T)
    except MemoryError as error:
        raise ForegroundError(f"{photo.path}: its foreground colours cannot be estimated (out of memory)") from error
    return foreground


def _range(photo: Photo) -> Bounds:
    """Return the least and the most light in a photo, at least 0..1; of levels, all that they can stand for."""
    if not photo.is_linear:
        return np.float32(0), np.float32(photo.space.top)
    low, high = np.float32(photo.pixels.min()), np.float32(photo.pixels.max())
    if not np.isfinite(high - low):
        photo.check_finite()
    return min(low, np.float32(0)), max(high, np.float32(1))
