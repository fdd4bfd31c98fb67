"""The matting Laplacian of Levin, Lischinski and Weiss 2008 (A Closed-Form Solution to Natural Image Matting).

An alpha that is an affine function of the colours in every 3x3 window costs nothing (equation 12). A pixel meets the 24
others of its 5x5 surroundings; the matrix is symmetric, so that 13 planes hold all of it.
"""

from typing import NamedTuple, Self, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

EPSILON = 1e-7
"""How much the slopes of the affine functions cost, for colours of 0..1: equation 3."""
_WINDOW = tuple((y, x) for y in range(3) for x in range(3))
_OFFSETS = tuple((y, x) for y in range(3) for x in range(-2, 3) if y > 0 or x >= 0)
_NUMBERS = {offset: number for number, offset in enumerate(_OFFSETS)}
_UNIT = 9 * 255
"""Differences from a window's mean times this are integers in an 8-bit image, and so exact."""
_ROWS = 64
"""Rows that are worked on together, so that they stay in the processor's cache."""


class Laplacian(NamedTuple):
    """The matrix of an image, without windows that reach beyond its border.

    planes: (13, H, W) float32; the first is the diagonal, the others join each pixel with the one at `_OFFSETS`.
    """

    planes: Floats

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> Self:
        """Return the matrix of an image (H, W, 3) uint8; all zero for one that is smaller than a window."""
        height, width, _ = image.shape
        planes = np.zeros((len(_OFFSETS), height, width), np.float32)
        if width < 3:
            return cls(planes)
        channels = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
        for top in range(0, height - 2, _ROWS):
            rows = min(_ROWS, height - 2 - top)
            whitened = _whitened(channels[:, top : top + rows + 2])
            negative = -whitened
            for i, (y, x) in enumerate(_WINDOW):
                for j in range(i, 9):
                    number = _NUMBERS[_WINDOW[j][0] - y, _WINDOW[j][1] - x]
                    target = planes[number, top + y : top + y + rows, x : x + width - 2]
                    target += np.float32((i == j) - 1 / 9)
                    for first, second in zip(negative[i], whitened[j], strict=True):
                        cv2.accumulateProduct(first, second, target)
        return cls(planes)

    @property
    def diagonal(self) -> Floats:
        """The diagonal of the matrix, (H, W)."""
        diagonal: Floats = self.planes[0]
        return diagonal

    def times(self, vector: Floats, product: Floats) -> None:
        """Write the matrix times a vector (H, W) to `product` (H, W), which is another array."""
        height, width = vector.shape
        np.multiply(self.planes[0], vector, out=product)
        for top in range(0, height, _ROWS):
            for (y, x), plane in zip(_OFFSETS[1:], self.planes[1:], strict=True):
                bottom = min(top + _ROWS, height - y)
                if bottom <= top:
                    continue
                here = slice(top, bottom), slice(max(0, -x), width - max(0, x))
                there = slice(top + y, bottom + y), slice(max(0, x), width - max(0, -x))
                cv2.accumulateProduct(plane[here], vector[there], product[here])
                cv2.accumulateProduct(plane[here], vector[here], product[there])


def _whitened(channels: Floats) -> Floats:
    """Return the colours of every 3x3 window less their mean, times the root of the inverse of their covariance, / 3.

    The products of two of them are then those of equation 12. The covariance is factored by Cholesky, in float64,
    since that of a grey image is all but singular.

    channels: (3, h, w), 0..255. Returns (9, 3, h - 2, w - 2).
    """
    _, height, width = channels.shape
    seen = [channels[:, y : y + height - 2, x : x + width - 2] for y, x in _WINDOW]
    total = np.sum(seen, axis=0, dtype=np.float32)
    apart = [(np.float32(9) * each - total).astype(np.float64) for each in seen]
    least = EPSILON / 9 * _UNIT**2

    def covariance(i: int, j: int) -> NDArray[np.float64]:
        return np.asarray(sum(each[i] * each[j] for each in apart) / 9)

    d0 = 1 / np.sqrt(covariance(0, 0) + least)
    l10, l20 = covariance(1, 0) * d0, covariance(2, 0) * d0
    d1 = 1 / np.sqrt(np.maximum(covariance(1, 1) + least - l10 * l10, least))
    l21 = (covariance(2, 1) - l20 * l10) * d1
    d2 = 1 / np.sqrt(np.maximum(covariance(2, 2) + least - l20 * l20 - l21 * l21, least))
    result = np.empty((9, 3, height - 2, width - 2), np.float32)
    for target, (r, g, b) in zip(result, apart, strict=True):
        first = r * (d0 / 3)
        second = (g / 3 - l10 * first) * d1
        target[:] = first, second, (b / 3 - l20 * first - l21 * second) * d2
    return result
