"""sRGB in NumPy and float64, to compare with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def decoded(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """uint8 or uint16 levels as light; float values are light."""
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float64)
    x = pixels / np.iinfo(pixels.dtype).max
    return np.asarray(np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0.04045) + 0.055) / 1.055) ** 2.4))


def encoded(light: NDArray[Any], dtype: type) -> NDArray[Any]:
    """Light as the nearest levels of `dtype`."""
    x = np.nan_to_num(light.astype(np.float64), nan=0).clip(0, 1)
    x = np.where(x <= 0.0031308, x * 12.92, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(x * np.iinfo(dtype).max), dtype)
