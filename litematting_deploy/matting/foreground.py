"""The colours of the foreground alone, for a cut-out that shows nothing of its old background."""

import numpy as np
from numpy.typing import NDArray

STRIP_PIXELS = 8_000_000
OVERLAP_ROWS = 256


def estimate_foreground(
    image: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    strip_pixels: int = STRIP_PIXELS,
    overlap_rows: int = OVERLAP_ROWS,
) -> NDArray[np.uint8]:
    """Estimated foreground colours by PyMatting's multi-level method (Germer et al. 2020).

    image: (H, W, 3) uint8 RGB. alpha: (H, W) float32, 0..1. Returns (H, W, 3) uint8 RGB; pixels of alpha 1 keep the
    photo's colours. Photos over `strip_pixels` are done in strips of about that size that overlap and fade into each
    other, which bounds the memory.
    """
    # Imported here: its first import on a machine compiles for half a minute.
    from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml

    height, width = image.shape[:2]
    strip_rows = max(strip_pixels // width, overlap_rows)
    foreground = np.empty(image.shape, np.uint8)
    tail: NDArray[np.float32] | None = None  # the previous strip's estimate of the rows both cover
    for start in range(0, max(height - overlap_rows, 1), strip_rows):
        stop = min(start + strip_rows + overlap_rows, height)
        strip = (image[start:stop] / np.float32(255)).astype(np.float32)
        estimate = estimate_foreground_ml(strip, alpha[start:stop]).astype(np.float32)
        if tail is not None:
            fade = ((np.arange(len(tail), dtype=np.float32) + 1) / (len(tail) + 1))[:, None, None]
            estimate[: len(tail)] = tail * (1 - fade) + estimate[: len(tail)] * fade
        tail = estimate[strip_rows:]
        foreground[start:stop] = np.rint(estimate.clip(0, 1) * 255).astype(np.uint8)
    opaque = alpha >= 1
    foreground[opaque] = image[opaque]
    return foreground
