"""A mask from a box around the object, and from strokes: GrabCut at a bounded size, refined at full size at its edge.

C. Rother, V. Kolmogorov, A. Blake: GrabCut, interactive foreground extraction using iterated graph cuts, SIGGRAPH 2004.
"""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..images.photo import shrink
from .pieces import SoftMask

Box: TypeAlias = tuple[int, int, int, int]
"""x, y, width and height, in pixels."""

_LONGEST = 512
"""The longer side, in pixels, that colours are modelled and the first cut is made at."""
_ROUNDS = 5
_CONTEXT = 0.5
"""How much of the box's size is looked at around it: the background's colours are those near the object."""
_LEAST_OUTSIDE = 0.005
_REACH = 3
"""How many pixels of the first cut its edge may be off."""
_TILE, _OVERLAP = 384, 32
_NO_BOX = (0, 0, 0, 0)
"""GrabCut's own, which labels make superfluous."""


def mask_from_box(
    image: NDArray[np.uint8],
    box: Box,
    foreground: NDArray[np.bool_] | None = None,
    background: NDArray[np.bool_] | None = None,
) -> SoftMask:
    """Return the mask of the object in a box, (H, W) of 0 and 1. All outside the box is background.

    image: (H, W, 3) uint8 RGB.
    foreground, background: (H, W) bool, what is sure, as strokes say.
    Raises `UsageError` for a box beyond the image, and where box and strokes leave no background to compare with.
    """
    height, width = image.shape[:2]
    x, y, right, bottom = max(box[0], 0), max(box[1], 0), min(box[0] + box[2], width), min(box[1] + box[3], height)
    if x >= right or y >= bottom:
        raise UsageError(f"`box` must lie inside the photo, which is {width}x{height}; got {','.join(map(str, box))}")
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[y:bottom, x:right] = cv2.GC_PR_FGD
    for stroke, value in ((foreground, cv2.GC_FGD), (background, cv2.GC_BGD)):
        if stroke is not None:
            labels[stroke] = value
    if not _is_foreground(labels).any():
        raise UsageError(
            "`sure_background` covers the whole box, so nothing in it can be the subject; mark less, or draw a "
            "larger `box`"
        )
    if np.mean(labels == cv2.GC_BGD) < _LEAST_OUTSIDE:
        raise UsageError(
            "`box` covers the whole photo, so no background is left to compare with; draw it closer to the subject, "
            "or mark background with `sure_background`"
        )
    around_y, around_x = round((bottom - y) * _CONTEXT) + 8, round((right - x) * _CONTEXT) + 8
    part = (slice(max(y - around_y, 0), bottom + around_y), slice(max(x - around_x, 0), right + around_x))
    mask = np.zeros((height, width), np.float32)
    # Strokes may lie anywhere, but only those near the box can be of help.
    mask[part] = _cut(np.ascontiguousarray(image[part]), np.ascontiguousarray(labels[part]))
    return mask


def say_beyond(box: Box, hw: tuple[int, int]) -> str | None:
    """Return what to say of a box that reaches beyond a photo of a height and width; None where it does not."""
    height, width = hw
    if box[0] + box[2] <= width and box[1] + box[3] <= height:
        return None
    return (
        f"`box={','.join(map(str, box))}` reaches beyond the photo, which is {width}x{height}; it is left, top, width "
        "and height, not two corners"
    )


def _cut(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return what GrabCut finds to be foreground, (H, W) bool. labels: (H, W), OpenCV's."""
    small = shrink(image, _LONGEST)
    small_labels = np.asarray(cv2.resize(labels, small.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    models = np.zeros((1, 65), np.float64), np.zeros((1, 65), np.float64)
    cv2.setRNGSeed(0)  # of this thread: its clusters of colours begin at random
    try:
        cv2.grabCut(small, small_labels, _NO_BOX, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error as error:
        raise InputError(
            "`box`: too few pixels of subject or background are near it to compare their colours; draw a larger "
            "box, or one that leaves some background outside"
        ) from error
    inside = _is_foreground(small_labels)
    if small.shape == image.shape:
        return inside
    return _refined(image, labels, inside, *models)


def _is_foreground(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _refined(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    background: NDArray[np.float64],
    foreground: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return a cut (h, w) at the size of the image, cut anew near its edge with the same models of colours, by tiles.

    What is further from the edge than the first cut may err is fixed, so that tiles agree with each other.
    """
    height, width = image.shape[:2]
    reach = _REACH * max(height / inside.shape[0], width / inside.shape[1])
    found = cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    plane = found.astype(np.uint8)
    near = np.minimum(
        *(cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_5) + 1e3 * (side == 0) for side in (plane, 1 - plane))
    )
    open_ = (near <= reach) & ((labels == cv2.GC_PR_FGD) | (labels == cv2.GC_PR_BGD))
    start = np.where(found, np.uint8(cv2.GC_FGD), np.uint8(cv2.GC_BGD))
    start[open_] = np.where(found[open_], np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
    start = np.where((labels == cv2.GC_FGD) | (labels == cv2.GC_BGD), labels, start)
    result = _is_foreground(start)
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            core = (slice(top, top + _TILE), slice(left, left + _TILE))
            if not open_[core].any():
                continue
            above, before = max(top - _OVERLAP, 0), max(left - _OVERLAP, 0)
            outer = (slice(above, top + _TILE + _OVERLAP), slice(before, left + _TILE + _OVERLAP))
            tile = np.ascontiguousarray(start[outer])
            # It refuses a tile without both sides; then there is no edge to be found there.
            if len({bool(value) for value in np.unique(_is_foreground(tile))}) == 2:
                models = background.copy(), foreground.copy()
                picture = np.ascontiguousarray(image[outer])
                cv2.grabCut(picture, tile, _NO_BOX, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
                inner = (slice(top - above, None), slice(left - before, None))
                result[core] = _is_foreground(tile)[inner][:_TILE, :_TILE]
    return np.asarray(result)
