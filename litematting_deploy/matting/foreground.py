"""The colours of the foreground alone, for a cut-out that shows nothing of its old background."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, ForegroundError, first_line
from ..images.photo import Photo
from ..profiling import stage
from .unmixing import Bounds, Floats, Unmix, Window, unmix

_SUMMED_EXPONENT = 100
"""Light up to 2 to this power is summed as it is; float32 ends at 128."""


@stage("foreground")
def estimate_foreground(photo: Photo, alpha: NDArray[np.float32], unmixed: Unmix = unmix) -> NDArray[Any]:
    """Estimate foreground colours in linear light, see `unmixing`.

    Estimates stay within the photo's own range of light, which in OpenEXR and HDR files goes beyond 0..1.

    alpha: (H, W) float32, 0..1.
    unmixed: what finds the colours, such as `Matter.unmix` of the matter that found the alpha.
    Returns (H, W, 3) in the photo's own numbers and depth. Pixels of alpha 1 keep the photo's exactly.
    Raises `InputError` for light that is not finite, `ForegroundError` where memory does not suffice, or where OpenCV
    or the device fails.
    """
    low, high = _range(photo)
    # Sums of light near the end of float32 would overflow. A power of two changes no digit.
    unit = np.float32(2.0 ** max(0, math.frexp(max(-low, high))[1] - _SUMMED_EXPONENT))

    def light_of(window: Window) -> Floats:
        return np.stack(cv2.split(photo.to_light(photo.pixels[window]) / unit))

    try:
        foreground = photo.pixels.copy()
        for tile, front in unmixed(light_of, alpha, (low / unit, high / unit)):
            changed = alpha[tile] < 1
            foreground[tile][changed] = photo.to_pixels(front[:, changed].T * unit)
    except (MemoryError, cv2.error, DeviceError) as error:  # OpenCV says in its own words that memory does not suffice
        reason = "out of memory" if isinstance(error, MemoryError) else first_line(error)
        raise ForegroundError(f"{photo.path}: its foreground colours cannot be estimated ({reason})") from error
    return foreground


def _range(photo: Photo) -> Bounds:
    """Return the least and the most light in a photo, at least 0..1; of levels, all that they can stand for."""
    if not photo.is_linear:
        return np.float32(0), np.float32(photo.space.top)
    low, high = np.float32(photo.pixels.min()), np.float32(photo.pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        photo.check_finite()
    return min(low, np.float32(0)), max(high, np.float32(1))
