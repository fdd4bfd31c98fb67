"""Recognise masks that hold class ids with the top of the range for what has no class, which look like soft masks."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_IDS = 64
_FLAT_SHARE = 0.25
_DARK_SHARE = 1 / 8
_RAMP_VALUES = 8
_ROWS = 64


def class_ids(levels: NDArray[Any], top: int) -> list[int]:
    """Return the class ids between 0 and `top` that a mask holds; empty where it is a binary or soft mask.

    levels: (H, W) uint8 or uint16, 0..`top`, which segmentation data sets use for void, as 255 of 8 bits. What tells
    ids from opacity: there are few values; most of them fill areas, where antialiasing, blur and the noise of
    compression make ramps and speckles; half of these are darker than an eighth of the range, where nobody puts an
    area's opacity; and neighbours are not mostly the next value, as in a glow. So 0/128/255, painted veils and
    posterised ramps are soft masks. Ids that are all bright are not recognised.
    """
    if not (levels == top).any():
        return []
    counts = _summed(_counted(strip, top) for strip in _strips(levels, overlap=0))
    between = np.flatnonzero(counts[1:top]) + 1
    if not 0 < len(between) <= _MOST_IDS:
        return []
    inside = _summed(_counted(strip[1:-1, 1:-1][_is_inside(strip, top)], top) for strip in _strips(levels, overlap=2))
    flat = between[inside[between] >= _FLAT_SHARE * counts[between]]
    if 2 * len(flat) < len(between) or np.median(flat) > _DARK_SHARE * top or _is_ramp(levels, between, top):
        return []
    return [int(value) for value in between]


def _strips(levels: NDArray[Any], overlap: int) -> Iterator[NDArray[Any]]:
    """Rows of a mask, a few at a time, so that what is computed of them is small."""
    for start in range(0, max(len(levels) - overlap, 1), _ROWS):
        yield levels[start : start + _ROWS + overlap]


def _summed(counts: Iterable[NDArray[np.intp]]) -> NDArray[np.intp]:
    return functools.reduce(np.add, counts)


def _counted(levels: NDArray[Any], top: int) -> NDArray[np.intp]:
    return np.bincount(levels.ravel(), minlength=top + 1)


def _is_inside(strip: NDArray[Any], top: int) -> NDArray[np.bool_]:
    """Which pixels, but for those of the strip's border, are between 0 and `top` and equal their four neighbours."""
    inner = strip[1:-1, 1:-1]
    inside = (inner > 0) & (inner < top)
    for neighbour in (strip[:-2, 1:-1], strip[2:, 1:-1], strip[1:-1, :-2], strip[1:-1, 2:]):
        inside &= neighbour == inner
    return inside


def _is_ramp(levels: NDArray[Any], between: NDArray[np.intp], top: int) -> bool:
    """Whether values below `top` that lie beside each other are, as a rule, the next that the mask holds."""
    if len(between) < _RAMP_VALUES:
        return False
    rank = np.zeros(top + 1, np.intp)
    rank[between] = np.arange(1, len(between) + 1)
    steps = np.zeros(len(between) + 1, np.intp)
    for strip in _strips(levels, overlap=0):
        left, right = strip[:, :-1], strip[:, 1:]
        differ = (left != right) & (left < top) & (right < top)
        steps += np.bincount(np.abs(rank[left[differ]] - rank[right[differ]]), minlength=len(steps))
    return bool(2 * steps[1] > steps.sum())
