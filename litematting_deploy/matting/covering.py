"""Covering a mask with few rectangles of one size: where an adaptive plan's patches lie."""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .bit_mask import BitMask, Corner, Window

CELLS = 32  # of a rectangle's side: finer ones save none, on twelve drawn trimaps, and take longer
_NONE = 1 << 30  # more than any row or column

Cells = NDArray[np.uint8]  # 0 and 1


@dataclass(frozen=True)
class _Reach:
    """What a rectangle reaches: `size_hw` pixels at its corner, and `margin` more where it lies at the mask's border.

    Corners lie in `inner_hw`, the mask without a border of `margin` pixels, each of which counts as the nearest pixel
    that is left: a patch covers what lies `margin` pixels inside it, and at the image's border all that lies there.
    """

    hw: tuple[int, int]
    size_hw: tuple[int, int]
    margin: int

    @property
    def inner_hw(self) -> tuple[int, int]:
        return self.hw[0] - 2 * self.margin, self.hw[1] - 2 * self.margin

    def of(self, corner: Corner) -> Window:
        """Return the rows and columns of the mask that a rectangle reaches."""
        rows, columns = (
            slice(start + self.margin if start else 0, length if start == inner - size else start + self.margin + size)
            for start, length, inner, size in zip(corner, self.hw, self.inner_hw, self.size_hw, strict=True)
        )
        return rows, columns


def cover(mask: BitMask, size_hw: tuple[int, int], margin: int = 0) -> list[Corner]:
    """Return the top left corners of rectangles that cover all that is true in the mask.

    None of them is superfluous. They are few, not provably the fewest, which is hard to find, and always the same for
    the same mask. Sweeps over a coarser mask from all sides make coverings; in the best of these, groups of neighbours
    are replaced by fewer rectangles for as long as that is possible.

    size_hw: height and width of each rectangle, at most (H, W) less twice the margin.
    margin: pixels around a rectangle in which nothing is covered, except at the mask's border.
    Corners include the margin: the first is (0, 0).
    """
    cell_hw = max(1, size_hw[0] // CELLS), max(1, size_hw[1] // CELLS)
    rows = np.unpackbits(_coarse(mask.bits, margin, cell_hw[0]), axis=1, count=mask.hw[1])
    cells = _coarse(rows.T, margin, cell_hw[1]).T
    side_hw = size_hw[0] // cell_hw[0], size_hw[1] // cell_hw[1]
    sweeps = sorted(_sweeps(cells, side_hw), key=len)
    corners = min((_merged(cells, corners, side_hw) for corners in sweeps[:3]), key=len)
    reach = _Reach(mask.hw, size_hw, margin)
    exact = [_inside(reach.inner_hw, y * cell_hw[0], x * cell_hw[1], size_hw) for y, x in corners]
    return sorted(_centred(mask, exact, reach))


def _coarse(rows: Cells, margin: int, count: int) -> Cells:
    """Return the bitwise or of every `count` rows, the first `margin` and the last counting as the next inner one."""
    length = len(rows) - 2 * margin
    inner = np.zeros((-(-length // count) * count, rows.shape[1]), np.uint8)
    inner[:length] = rows[margin : margin + length]
    inner[0] |= np.bitwise_or.reduce(rows[: margin + 1], axis=0)
    inner[length - 1] |= np.bitwise_or.reduce(rows[margin + length - 1 :], axis=0)
    return np.asarray(np.bitwise_or.reduce(inner.reshape(-1, count, rows.shape[1]), axis=1))


def _sweeps(cells: Cells, side_hw: tuple[int, int]) -> Iterator[list[Corner]]:
    """Yield the coverings that are swept from each side, in both directions along it."""
    for turned, up, back in itertools.product((False, True), repeat=3):
        view, (height, width) = (cells.T, side_hw[::-1]) if turned else (cells, side_hw)
        swept = []
        for y, x in _sweep(view[:: -1 if up else 1, :: -1 if back else 1], height, width):
            y = max(view.shape[0] - height - y, 0) if up else y
            x = max(view.shape[1] - width - x, 0) if back else x
            swept.append((x, y) if turned else (y, x))
        yield swept


def _sweep(cells: Cells, height: int, width: int) -> list[Corner]:
    """Cover, from the top, each first cell that is left by the rectangle at its height that covers most."""
    hw = cells.shape[0] + height, cells.shape[1] + 2 * width
    left = bytearray(hw[0] * hw[1])  # whose next cell is found at once
    grid = np.frombuffer(left, np.uint8).reshape(hw)
    # With zeros around it, windows at the edges need no case of their own.
    grid[:-height, width:-width] = cells
    corners = []
    at = left.find(1)
    while at >= 0:
        y, first = divmod(at, hw[1])
        near = grid[y : y + height, first - width + 1 : first + width]
        # The sums of `width` columns, from the last ones on.
        x = first - int(np.convolve(near.sum(axis=0), np.ones(width), "valid")[::-1].argmax())
        grid[y : y + height, x : x + width] = 0
        corners.append(_inside(cells.shape, y, x - width, (height, width)))
        at = left.find(1, at)
    return corners


def _inside(hw: tuple[int, ...], y: int, x: int, size_hw: tuple[int, int]) -> Corner:
    """Return the corner of a rectangle, moved so that it lies in a mask of `hw`."""
    return max(min(y, hw[0] - size_hw[0]), 0), max(min(x, hw[1] - size_hw[1]), 0)


def _merged(cells: Cells, corners: list[Corner], side_hw: tuple[int, int]) -> list[Corner]:
    """Replace groups of neighbours by one rectangle fewer, while that covers what only they cover."""
    height, width = side_hw
    padded = np.pad(cells, ((0, height), (0, width)))
    count = np.zeros(padded.shape, np.uint16)
    kept, before = set(corners), 0
    for corner in kept:
        count[_window(corner, side_hw)] += 1
    alone: dict[Corner, _Extent] = {}  # of rectangles, and groups without fewer, since what lies there last changed
    settled: set[tuple[Corner, ...]] = set()
    while len(kept) != before:
        before = len(kept)
        for group in _groups(sorted(kept), side_hw):
            if group in settled or not kept.issuperset(group):
                continue
            for corner in group:
                if corner not in alone:
                    window = _window(corner, side_hw)
                    alone[corner] = _Extent.of(padded[window] & (count[window] == 1), corner)
            settled.add(group)
            if not functools.reduce(_Extent.with_, [alone[corner] for corner in group]).fits(side_hw, len(group) - 1):
                continue
            top, left = min(y for y, _ in group), min(x for _, x in group)
            rows, columns = slice(top, max(y for y, _ in group) + height), slice(left, max(x for _, x in group) + width)
            for corner in group:
                count[_window(corner, side_hw)] -= 1
            fewer = _few(padded[rows, columns] & (count[rows, columns] == 0), side_hw, len(group) - 1)
            new = group
            if fewer is not None:
                new = tuple(_inside(cells.shape, y + top, x + left, side_hw) for y, x in fewer)
                kept = kept.difference(group).union(new)
                stale = {one for one in alone if any(_meet(one, other, side_hw) for other in group + new)}
                alone = {corner: extent for corner, extent in alone.items() if corner not in stale}
                settled = {group for group in settled if stale.isdisjoint(group)}
            for corner in new:
                count[_window(corner, side_hw)] += 1
    return sorted(kept)


class _Extent(NamedTuple):
    """The cells that a rectangle covers alone, as far as they lie outermost: the ends of these rows and columns."""

    top: int
    bottom: int
    left: int
    right: int
    points: tuple[Corner, ...]

    @classmethod
    def of(cls, alone: Cells, corner: Corner) -> "_Extent":
        """Return the extent of cells (h, w) that begin at a corner, of which there may be none."""
        left, top, width, height = cv2.boundingRect(alone)
        if not width:
            return cls(_NONE, -1, _NONE, -1, ())
        right, bottom = left + width - 1, top + height - 1
        points: list[Corner] = []
        for y in (top, bottom):
            row = alone[y].tobytes()
            points += (y, row.find(1)), (y, row.rfind(1))
        for x in (left, right):
            column = alone[:, x].tobytes()
            points += (column.find(1), x), (column.rfind(1), x)
        dy, dx = corner
        return cls(top + dy, bottom + dy, left + dx, right + dx, tuple((y + dy, x + dx) for y, x in points))

    def with_(self, other: "_Extent") -> "_Extent":
        """Return the extent of both."""
        return _Extent(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
            self.points + other.points,
        )

    def fits(self, side_hw: tuple[int, int], most: int) -> bool:
        """Return False where the points show that one or two rectangles, `most`, do not cover the cells."""
        top, bottom, left, right, points = self
        height, width = side_hw
        if bottom - top < height and right - left < width:
            return True
        if most < 2:
            return False
        above, before, below, behind = top + height, left + width, bottom - height, right - width
        return all((y < above and x < before) or (y > below and x > behind) for y, x in points) or all(
            (y < above and x > behind) or (y > below and x < before) for y, x in points
        )


def _meet(one: Corner, other: Corner, side_hw: tuple[int, int]) -> bool:
    """Return whether two rectangles overlap."""
    return abs(one[0] - other[0]) < side_hw[0] and abs(one[1] - other[1]) < side_hw[1]


def _groups(corners: list[Corner], side_hw: tuple[int, int]) -> Iterator[tuple[Corner, ...]]:
    """Yield pairs, then triples, of rectangles that are less than a rectangle apart."""
    double = 2 * side_hw[0], 2 * side_hw[1]
    near = {
        corner: [other for other in corners[index:] if _meet(corner, other, double)]
        for index, corner in enumerate(corners, start=1)
    }
    pairs = [(one, other) for one in corners for other in near[one]]
    yield from pairs
    yield from ((one, other, third) for one, other in pairs for third in near[other] if third in near[one])


def _few(wanted: NDArray[np.bool_], side_hw: tuple[int, int], most: int) -> list[Corner] | None:
    """Return up to `most` rectangles, one or two, that cover `wanted`; None where that is impossible.

    Two can lie in opposite corners of what they cover, so that none are overlooked.
    """
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    if not len(rows):
        return []
    height, width = side_hw
    (top, bottom), (left, right) = rows[[0, -1]].tolist(), columns[[0, -1]].tolist()
    if bottom - top < height and right - left < width:
        return [(top, left)] if most else None
    if most < 2 or np.count_nonzero(wanted) > most * height * width:
        return None
    for y in {top, max(bottom - height + 1, top)}:
        for x in {left, max(right - width + 1, left)}:
            rest = wanted.copy()
            rest[y : y + height, x : x + width] = False
            found = _few(rest, side_hw, most - 1)
            if found is not None:
                return [(y, x), *found]
    return None


def _centred(mask: BitMask, corners: list[Corner], reach: _Reach) -> list[Corner]:
    """Drop rectangles that cover nothing alone, and centre the others on what they do, as far as the mask allows."""
    # Where one was centred, another may have become superfluous: the second pass drops it and moves none.
    for move in (True, False):
        kept: list[Corner] = []
        for index, corner in enumerate(corners, start=1):
            others = [other for other in kept + corners[index:] if _meet(corner, other, reach.size_hw)]
            bounds = mask.bounds(reach.of(corner), list(map(reach.of, others)))
            if bounds is None:
                continue
            if move:
                # Both pixels as they count in the inner mask.
                ends = np.clip(np.subtract(bounds, reach.margin), 0, np.subtract(reach.inner_hw, 1)).sum(axis=0)
                y, x = ((ends + 1 - reach.size_hw) // 2).tolist()
                corner = _inside(reach.inner_hw, y, x, reach.size_hw)
            kept.append(corner)
        corners = kept
    return corners


def _window(corner: Corner, size_hw: tuple[int, int]) -> Window:
    """Return the rows and columns of a rectangle."""
    return slice(corner[0], corner[0] + size_hw[0]), slice(corner[1], corner[1] + size_hw[1])
