"""Pixels as the network takes them."""

import numpy as np
from numpy.typing import NDArray

from .trimap import VALUES


def network_image(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 to the network's (3, H, W) float32, 0..1."""
    return np.divide(np.moveaxis(image, -1, 0), 255, dtype=np.float32)


def one_hot(trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(..., H, W) uint8 trimap to (..., 3, H, W) float32: background, unknown, foreground, 0 or 1."""
    return np.stack([trimap == value for value in VALUES], axis=-3).astype(np.float32)
