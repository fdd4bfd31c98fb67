"""The colours of the foreground alone, for a cut-out that shows nothing of its old background."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ForegroundError, first_line
from ..images.photo import Photo
from ..profiling import stage
from .foreground_cache import FAILURES, foreground_estimator

STRIP_PIXELS = 8_000_000
OVERLAP_ROWS = 256


@stage("foreground")
def estimate_foreground(
    photo: Photo,
    alpha: NDArray[np.float32],
    strip_pixels: int = STRIP_PIXELS,
    overlap_rows: int = OVERLAP_ROWS,
) -> NDArray[Any]:
    """Estimated foreground colours by PyMatting's multi-level method (Germer et al. 2020), in linear light.

    alpha: (H, W) float32, 0..1. Returns (H, W, 3) in the photo's own numbers and depth; pixels of alpha 1 keep the
    photo's exactly, and so does a photo of a single pixel, which has nothing to tell its colours apart by. Photos over
    `strip_pixels` are done in strips of about that size that overlap and fade into each other, which bounds the memory.
    The method keeps colours in 0..1; light beyond, in OpenEXR and HDR files, is scaled there and back, so that
    estimates stay within the photo's own range. Raises `InputError` for light that is not finite, `ForegroundError`
    where PyMatting cannot be imported, compiled or run, or memory does not suffice.
    """
    try:
        return _estimate(photo, alpha, strip_pixels, overlap_rows)
    except FAILURES as error:
        reason = "out of memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {first_line(error)}"
        raise ForegroundError(f"{photo.path}: its foreground colours cannot be estimated ({reason})") from error


def _estimate(photo: Photo, alpha: NDArray[np.float32], strip_pixels: int, overlap_rows: int) -> NDArray[Any]:
    height, width = alpha.shape
    if alpha.size == 1:  # PyMatting would divide by the logarithm of its side
        return photo.pixels.copy()
    low, high = _range(photo)
    estimate_foreground_ml = foreground_estimator()
    strip_rows = max(strip_pixels // width, overlap_rows)
    foreground = np.empty_like(photo.pixels)
    tail: NDArray[np.float32] | None = None  # the previous strip's estimate of the rows both cover
    for start in range(0, max(height - overlap_rows, 1), strip_rows):
        stop = min(start + strip_rows + overlap_rows, height)
        strip = (photo.linear(slice(start, stop)) - low) / (high - low)
        estimate = estimate_foreground_ml(strip, alpha[start:stop]).astype(np.float32)
        if tail is not None:
            fade = ((np.arange(len(tail), dtype=np.float32) + 1) / (len(tail) + 1))[:, None, None]
            estimate[: len(tail)] = tail * (1 - fade) + estimate[: len(tail)] * fade
        tail = estimate[strip_rows:]
        foreground[start:stop] = photo.to_pixels(estimate * (high - low) + low)
    opaque = alpha >= 1
    foreground[opaque] = photo.pixels[opaque]
    return foreground


def _range(photo: Photo) -> tuple[np.float32, np.float32]:
    """The least and the most light in a photo, at least 0..1; of levels, all that they can stand for."""
    if not photo.is_linear:
        return np.float32(0), np.float32(photo.space.top)
    low, high = np.float32(photo.pixels.min()), np.float32(photo.pixels.max())
    if not np.isfinite(high - low):
        photo.check_finite()
    return min(low, np.float32(0)), max(high, np.float32(1))
