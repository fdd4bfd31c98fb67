"""Trimaps: background 0, unknown 128, foreground 255."""

from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
VALUES = (BACKGROUND, UNKNOWN, FOREGROUND)

Encoding: TypeAlias = Literal["exact", "between", "labels"]
"""How grey values mean background, unknown, foreground.

exact: 0, 128, 255 and nothing else. between: 0, anything from 1 to 254, 255. labels: 0, 1, 2.
"""

# A soft mask is sure within 2 % of its ends; compressed masks are never exactly 0 and 255.
SURE_BACKGROUND, SURE_FOREGROUND = 5, 250


def decode(grey: NDArray[np.uint8], encoding: Encoding = "exact", name: str = "trimap") -> NDArray[np.uint8]:
    """A checked trimap (H, W) uint8 of 0 / 128 / 255 from grey values (H, W) uint8.

    Raises `InputError` naming `name` and the values that have no meaning in `encoding`.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise InputError(f"{name}: a trimap is (H, W) uint8, this is {grey.shape} {grey.dtype}")
    if encoding == "between":
        return np.where((grey > 0) & (grey < 255), np.uint8(UNKNOWN), grey)
    wanted = VALUES if encoding == "exact" else (0, 1, 2)
    counts = np.bincount(grey.ravel(), minlength=256)
    strange = [value for value in np.flatnonzero(counts) if value not in wanted]
    if strange:
        seen = ", ".join(f"{value} ({counts[value]} px)" for value in strange[:4])
        raise InputError(
            f"{name}: a trimap holds {', '.join(map(str, wanted))}; this also holds {seen}"
            f"{' and more' if len(strange) > 4 else ''}. "
            "Save it without antialiasing or compression, or choose the rule that fits: --trimap-encoding "
            "between (all but 0 and 255 is unknown) or labels (0, 1, 2)."
        )
    return grey if encoding == "exact" else np.array(VALUES, np.uint8)[grey]


def from_mask(mask: NDArray[np.uint8], unknown_px: int, name: str = "mask") -> NDArray[np.uint8]:
    """A trimap from a binary or soft mask.

    mask: (H, W) uint8, 0 background to 255 foreground. Values from 6 to 249 are unknown, and so is every pixel
    within `unknown_px` pixels (Euclidean) of one that is not as sure: a binary edge gets a band of `unknown_px` on
    each side. Raises `InputError` naming `name` for a mask whose brightest value is too dark to mean foreground.
    """
    if unknown_px < 1:
        raise UsageError(f"the unknown band must be at least 1 pixel wide on each side, not {unknown_px}")
    if 0 < mask.max() <= SURE_BACKGROUND:
        raise InputError(
            f"{name}: its brightest value is {mask.max()}, which would all be background; "
            "a mask goes from 0 to 255: scale it (a mask of 0 and 1 by 255)"
        )
    trimap = np.full(mask.shape, UNKNOWN, np.uint8)
    for sure, value in ((mask <= SURE_BACKGROUND, BACKGROUND), (mask >= SURE_FOREGROUND, FOREGROUND)):
        trimap[_inner(sure, unknown_px)] = value
    return trimap


def _inner(region: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """Pixels of `region` further than `margin` from every pixel outside it."""
    if region.all():
        return region
    distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance > margin)
