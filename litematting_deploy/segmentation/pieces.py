"""The pieces of a soft mask: how many there are, the largest of them, and crumbs that are noise."""

import cv2
import numpy as np
from numpy.typing import NDArray

SoftMask = NDArray[np.float32]
"""(H, W), 0 background to 1 foreground."""

MANY = 4
"""From how many pieces on people are told."""
_COUNTED_SHARE = 1e-3
"""The least share of the object's area that makes a piece worth counting."""


def count_pieces(mask: SoftMask) -> int:
    """Return how many pieces a mask is in, without those that are tiny beside the whole."""
    _, areas = _pieces(mask > 0.5)
    return int(np.count_nonzero(areas >= _COUNTED_SHARE * areas.sum()))


def largest_pieces(mask: SoftMask, count: int) -> SoftMask:
    """Return a mask with its `count` largest pieces alone; what is soft around a piece belongs to it."""
    labels, areas = _pieces(mask > 0.5)
    kept = np.zeros(len(areas) + 1, bool)
    kept[1 + np.argsort(-areas, kind="stable")[:count]] = True
    _, soft = cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=8)
    # A haze that joins all pieces would keep them all: each soft pixel goes with the nearest piece.
    nearest = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    piece_of = np.zeros(nearest.max() + 1, np.intp)
    piece_of[nearest[labels > 0]] = labels[labels > 0]
    touched = np.unique(soft[kept[labels]])
    return np.where(kept[piece_of[nearest]] & np.isin(soft, touched), mask, np.float32(0))


def without_crumbs(mask: SoftMask, least: float = 0.5) -> SoftMask:
    """Return a mask without soft pieces that reach `least` nowhere: noise is faint, and an object is not."""
    count, labels = cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=8)
    strong = np.zeros(count, bool)
    strong[np.unique(labels[mask >= least])] = True
    strong[0] = False
    return np.where(strong[labels], mask, np.float32(0))


def with_doubtful_holes(mask: SoftMask, share: float) -> SoftMask:
    """Return a mask that is 0.5 in holes smaller than a share of the object: these may be gaps, or look like them."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask < 0.5).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < share * np.count_nonzero(mask >= 0.5)
    small[0] = False
    return np.where(small[labels] & (count > 1), np.float32(0.5), mask)


def _pieces(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the label of each pixel, 0 for outside, and the areas of the labels from 1 on."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    return np.asarray(labels, np.int32), np.asarray(stats[1:, cv2.CC_STAT_AREA], np.int32)
