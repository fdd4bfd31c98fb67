"""A mask of one bit a pixel, which patches are planned on."""

import itertools
from dataclasses import dataclass
from typing import Self, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Bits: TypeAlias = NDArray[np.uint8]
Corner: TypeAlias = tuple[int, int]
"""A row and a column."""
Window: TypeAlias = tuple[slice, slice]
"""Rows and columns."""
_ROWS = 256


@dataclass(frozen=True)
class BitMask:
    """A mask of one bit a pixel, which is what plans are made from, and small enough to come from a device.

    bits: (H, ceil(W / 8)) uint8, each row as `numpy.packbits` packs it. hw: H and W.
    """

    bits: Bits
    hw: tuple[int, int]

    @classmethod
    def equal(cls, plane: NDArray[np.uint8], value: int) -> Self:
        """Return where a plane (H, W) uint8 has this value."""
        bits = np.empty((len(plane), -(-plane.shape[1] // 8)), np.uint8)
        for start in range(0, len(plane), _ROWS):  # in strips that fit the processor's cache
            rows = slice(start, start + _ROWS)
            bits[rows] = np.packbits(plane[rows] == value, axis=1)
        return cls(bits, (plane.shape[0], plane.shape[1]))

    def padded(self, added: tuple[tuple[int, int], tuple[int, int]]) -> Self:
        """Return the mask with false pixels added above and below, and on the left and on the right."""
        if not any(itertools.chain(*added)):
            return self
        whole = np.pad(np.unpackbits(self.bits, axis=1, count=self.hw[1]), added)
        return type(self)(np.packbits(whole, axis=1), (whole.shape[0], whole.shape[1]))

    def bounds(self, window: Window, holes: list[Window]) -> tuple[Corner, Corner] | None:
        """Return the first and the last row and column (y, x) of what is true in a window and in no hole; or None."""
        rows, columns = window
        before = columns.start % 8  # columns of the byte that holds the first one
        packed = self.bits[rows, columns.start // 8 : -(-columns.stop // 8)]
        left = np.unpackbits(packed, axis=1, count=before + columns.stop - columns.start)
        left[:, :before] = 0
        top, first = rows.start, columns.start - before
        for hole_rows, hole_columns in holes:
            covered = left[max(hole_rows.start - top, 0) : max(hole_rows.stop - top, 0)]
            covered[:, max(hole_columns.start - first, 0) : max(hole_columns.stop - first, 0)] = 0
        x, y, width, height = cv2.boundingRect(left)
        if not width:
            return None
        return (top + y, first + x), (top + y + height - 1, first + x + width - 1)

    def any_column(self, rows: slice) -> Bits:
        """Return (W,) uint8, 1 where any of these rows is true."""
        return np.unpackbits(np.bitwise_or.reduce(self.bits[rows], axis=0), count=self.hw[1])
