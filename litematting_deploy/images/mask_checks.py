"""Checks for masks that do not say what the object is: dim ones, and ones that hold class ids."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DimMaskError, InputError

LEAST_SURE = 0.98
"""The share of its range's top that a mask's brightest value reaches at least, so that something is foreground."""
_TOO_BRIGHT = 2
"""How many times the top of the range no value of an OpenEXR mask reaches, though filters overshoot the top."""
_MOST_LISTED = 6
_MOST_IDS = 64
_FLAT_SHARE = 0.25
_DARK_SHARE = 1 / 8
_RAMP_VALUES = 8
_ROWS = 64


def check_clear(levels: NDArray[Any], top: float, name: str, alone: bool, of_alpha: bool) -> None:
    """Raise `InputError` for a mask that does not say by itself what the object is.

    That is an OpenEXR mask whose values go far beyond `top`, as class ids and levels up to 255 do; a mask of class ids,
    see `class_ids`; and, as `DimMaskError`, one whose brightest value is not 0 and below `LEAST_SURE` times `top`.

    levels: (H, W), 0..`top`. name: begins the error.
    alone: no other mask of a sequence tells the scale, so that this one must not be dim.
    of_alpha: the levels are an alpha channel, where class ids are no remedy.
    """
    brightest = levels.max()
    labels = " or `mask_labels=ID` (if the values are class ids), or scale the mask to the full range"
    remedy = f"(foreground from this value on){', or scale the alpha to the full range' if of_alpha else labels}"
    if brightest >= _TOO_BRIGHT * top:
        raise InputError(
            f"{name}: its brightest value is {brightest:g}, but an OpenEXR mask ranges from 0 to {top:g}; set "
            f"`mask_threshold=VALUE` {remedy}"
        )
    if alone and 0 < brightest < LEAST_SURE * top:
        # Rounded up, the threshold in the advice would leave no pixel.
        floored = np.floor(float(brightest) * 100) / 100 if isinstance(brightest, np.floating) else brightest
        raise DimMaskError(
            f"{name}: its brightest {'alpha' if of_alpha else 'value'} is {brightest:g} of {top:g}, so no pixel "
            f"is certainly foreground; it contains {_listed(levels)}; set `mask_threshold={floored:g}` {remedy}"
        )
    if levels.dtype.kind != "f" and class_ids(levels, int(top)):
        soft = "; if it is a soft mask after all, give it as a trimap with `trimap_encoding=between`"
        which = "`mask_threshold=VALUE`" if of_alpha else f"`mask_labels=ID`, or `mask_threshold=VALUE`{soft}"
        raise InputError(
            f"{name}: contains {_listed(levels)} in flat areas, which look like class ids, with {top:g} for pixels "
            f"without a class; select the subject with {which}"
        )


def class_ids(levels: NDArray[Any], top: int) -> list[int]:
    """Return the class ids between 0 and `top` that a mask holds; empty where it is a binary or soft mask.

    What tells ids from opacity: there are few values; most of them fill areas, where antialiasing, blur and the noise
    of compression make ramps and speckles; half of these are darker than an eighth of the range, where nobody puts an
    area's opacity; and neighbours are not mostly the next value, as in a glow. So 0/128/255, painted veils and
    posterised ramps are soft masks. Ids that are all bright are not recognised.

    levels: (H, W) uint8 or uint16, 0..`top`, which segmentation data sets use for void, as 255 of 8 bits.
    """
    if not (levels == top).any():
        return []
    counts = _counts(levels, top)
    between = np.flatnonzero(counts[1:top]) + 1
    if not 0 < len(between) <= _MOST_IDS:
        return []
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inside = cv2.morphologyEx(levels, cv2.MORPH_GRADIENT, cross) == 0  # pixels that equal their four neighbours
    # At the border OpenCV looks at fewer than four neighbours.
    inside[[0, -1]] = inside[:, [0, -1]] = False
    flat = between[_counts(levels, top, inside)[between] >= _FLAT_SHARE * counts[between]]
    if 2 * len(flat) < len(between) or np.median(flat) > _DARK_SHARE * top or _is_ramp(levels, between, top):
        return []
    return [int(value) for value in between]


def _counts(levels: NDArray[Any], top: int, where: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Return how many pixels (H, W) have each value from 0 to `top`, of those `where` says so."""
    # Not by NumPy, which counts with eight bytes a pixel.
    chosen = None if where is None else where.view(np.uint8)
    return np.asarray(cv2.calcHist([levels], [0], chosen, [top + 1], [0, top + 1]), np.float32).ravel()


def _is_ramp(levels: NDArray[Any], between: NDArray[np.intp], top: int) -> bool:
    """Return whether values below `top` that lie side by side are, as a rule, the next that the mask holds."""
    if len(between) < _RAMP_VALUES:
        return False
    rank = np.zeros(top + 1, np.intp)
    rank[between] = np.arange(1, len(between) + 1)
    steps = np.zeros(len(between) + 1, np.intp)
    for start in range(0, len(levels), _ROWS):  # which bounds the memory
        left, right = levels[start : start + _ROWS, :-1], levels[start : start + _ROWS, 1:]
        differ = (left != right) & (left < top) & (right < top)
        steps += np.bincount(np.abs(rank[left[differ]] - rank[right[differ]]), minlength=len(steps))
    return bool(2 * steps[1] > steps.sum())


def _listed(levels: NDArray[Any]) -> str:
    """Return in words which values a mask holds."""
    if levels.dtype.kind == "f":
        return f"values from {levels.min():g} to {levels.max():g}"
    values, counts = np.unique(levels, return_counts=True)
    most = np.sort(np.argsort(-counts, kind="stable")[:_MOST_LISTED])
    listed = ", ".join(f"{values[index]} ({counts[index]} px)" for index in most)
    return listed if len(values) <= _MOST_LISTED else f"{listed} and {len(values) - _MOST_LISTED} more"
