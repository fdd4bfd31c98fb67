"""Covering a mask with few rectangles of one size: where an adaptive plan's patches lie."""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CELLS = 32  # of a rectangle's side: finer ones save none, on twelve drawn trimaps, and take longer

Mask = NDArray[np.bool_]
Corner = tuple[int, int]


def cover(mask: Mask, size_hw: tuple[int, int]) -> list[Corner]:
    """Return the top left corners of rectangles inside the mask that cover all that is true in it.

    None of them is superfluous. They are few, not provably the fewest, which is hard to find, and always the same for
    the same mask. Sweeps over a coarser mask from all sides make coverings; in the best of these, groups of neighbours
    are replaced by fewer rectangles for as long as that is possible.

    mask: (H, W) bool.
    size_hw: height and width of each rectangle, at most (H, W).
    """
    cell_hw = max(1, size_hw[0] // CELLS), max(1, size_hw[1] // CELLS)
    cells = _coarse(mask, cell_hw)
    side_hw = size_hw[0] // cell_hw[0], size_hw[1] // cell_hw[1]
    sweeps = sorted(_sweeps(cells, side_hw), key=len)
    corners = min((_merged(cells, corners, side_hw) for corners in sweeps[:3]), key=len)
    exact = [_inside(mask, y * cell_hw[0], x * cell_hw[1], size_hw) for y, x in corners]
    return sorted(_centred(mask, exact, size_hw))


def folded(mask: Mask, margin: int) -> Mask:
    """Return a mask (H, W) without a border of `margin` pixels, whose true pixels move to the nearest one that is left.

    A patch covers what lies `margin` pixels inside it, and at the image's border all that lies there: once the border
    is folded in, a patch covers its inner part, wherever it is.
    """
    for _ in range(2):
        inner = mask[margin : mask.shape[0] - margin].copy()
        inner[0] |= mask[: margin + 1].any(axis=0)
        inner[-1] |= mask[mask.shape[0] - margin - 1 :].any(axis=0)
        mask = inner.T
    return mask


def _coarse(mask: Mask, cell_hw: tuple[int, int]) -> Mask:
    """Return whether any pixel of a cell is true."""
    rows = np.logical_or.reduceat(mask, np.arange(0, mask.shape[0], cell_hw[0]), axis=0)
    return np.logical_or.reduceat(rows, np.arange(0, mask.shape[1], cell_hw[1]), axis=1)


def _sweeps(cells: Mask, side_hw: tuple[int, int]) -> Iterator[list[Corner]]:
    """Yield the coverings that are swept from each side, in both directions along it."""
    for turned, up, back in itertools.product((False, True), repeat=3):
        view, (height, width) = (cells.T, side_hw[::-1]) if turned else (cells, side_hw)
        swept = []
        for y, x in _sweep(view[:: -1 if up else 1, :: -1 if back else 1], height, width):
            y = max(view.shape[0] - height - y, 0) if up else y
            x = max(view.shape[1] - width - x, 0) if back else x
            swept.append((x, y) if turned else (y, x))
        yield swept


def _sweep(cells: Mask, height: int, width: int) -> list[Corner]:
    """Cover, from the top, each first cell that is left by the rectangle at its height that covers most."""
    left: NDArray[np.int32] = np.pad(cells.astype(np.int32), ((0, height), (width, width)))
    rows = np.asarray(left.any(axis=1))
    corners, y = [], 0
    while rows.any():
        y = int(rows.argmax())
        first = int(left[y].argmax())
        below = left[y : y + height, first - width + 1 : first + width].sum(axis=0)
        sums = np.concatenate([[0], below.cumsum()])
        x = first - int((sums[width:] - sums[:-width])[::-1].argmax())
        left[y : y + height, x : x + width] = 0
        rows[y : y + height] = left[y : y + height].any(axis=1)
        corners.append(_inside(cells, y, x - width, (height, width)))
    return corners


def _inside(mask: Mask, y: int, x: int, size_hw: tuple[int, int]) -> Corner:
    """Return the corner of a rectangle, moved so that it lies in the mask (H, W)."""
    return max(min(y, mask.shape[0] - size_hw[0]), 0), max(min(x, mask.shape[1] - size_hw[1]), 0)


def _merged(cells: Mask, corners: list[Corner], side_hw: tuple[int, int]) -> list[Corner]:
    """Replace groups of neighbours by one rectangle fewer, while that covers what only they cover."""
    height, width = side_hw
    padded = np.pad(cells, ((0, height), (0, width)))
    count = np.zeros(padded.shape, np.uint16)
    kept, before = set(corners), 0
    for y, x in kept:
        count[y : y + height, x : x + width] += 1
    while len(kept) != before:
        before = len(kept)
        for group in _groups(sorted(kept), side_hw):
            if not kept.issuperset(group):
                continue
            top, left = min(y for y, _ in group), min(x for _, x in group)
            rows, columns = slice(top, max(y for y, _ in group) + height), slice(left, max(x for _, x in group) + width)
            for y, x in group:
                count[y : y + height, x : x + width] -= 1
            fewer = _few(padded[rows, columns] & (count[rows, columns] == 0), side_hw, len(group) - 1)
            new = group
            if fewer is not None:
                new = tuple(_inside(cells, y + top, x + left, side_hw) for y, x in fewer)
                kept = kept.difference(group).union(new)
            for y, x in new:
                count[y : y + height, x : x + width] += 1
    return sorted(kept)


def _groups(corners: list[Corner], side_hw: tuple[int, int]) -> Iterator[tuple[Corner, ...]]:
    """Yield pairs, then triples, of rectangles that are less than a rectangle apart."""
    height, width = 2 * side_hw[0], 2 * side_hw[1]
    near = {
        (y, x): [other for other in corners[index:] if other[0] - y < height and abs(other[1] - x) < width]
        for index, (y, x) in enumerate(corners, start=1)
    }
    pairs = [(one, other) for one in corners for other in near[one]]
    yield from pairs
    yield from ((one, other, third) for one, other in pairs for third in near[other] if third in near[one])


def _few(wanted: Mask, side_hw: tuple[int, int], most: int) -> list[Corner] | None:
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


def _centred(mask: Mask, corners: list[Corner], size_hw: tuple[int, int]) -> list[Corner]:
    """Drop rectangles that cover nothing alone, and centre the others on what they do, as far as the mask allows."""
    count = np.zeros(mask.shape, np.uint16)
    for corner in corners:
        count[window(corner, size_hw)] += 1
    for move in (True, False):
        kept = []
        for corner in corners:
            place = window(corner, size_hw)
            alone = mask[place] & (count[place] == 1)
            count[place] -= 1
            if not alone.any():
                continue
            if move:
                rows, columns = (np.flatnonzero(alone.any(axis=axis)) for axis in (1, 0))
                y = corner[0] + int(rows[0] + rows[-1] + 1 - size_hw[0]) // 2
                x = corner[1] + int(columns[0] + columns[-1] + 1 - size_hw[1]) // 2
                corner = _inside(mask, y, x, size_hw)
            count[window(corner, size_hw)] += 1
            kept.append(corner)
        corners = kept
    return corners


def window(corner: Corner, size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of a rectangle."""
    return slice(corner[0], corner[0] + size_hw[0]), slice(corner[1], corner[1] + size_hw[1])
