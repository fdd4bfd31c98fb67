"""Trimaps of a few frames carried to the frames between them, along optical flow.

What is carried is not the trimap's value but how far each pixel lies inside its region: a pixel is known where the
region reaches further around it than flow may be wrong there. Both keyframes are asked; the nearer one, and the one
whose flow is surer, counts more. What they do not agree on is unknown, and so is what neither of them shows.
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from .motion import LOST, Floats, Grey, enlarged, flows, places, sampled
from .trimap import BACKGROUND, FOREGROUND, UNKNOWN

LONGEST = 250
"""The most frames without a trimap on end. Each takes about 1.5 MB while they are carried, however large it is, and
trimaps that are carried further are unknown nearly everywhere."""
_NEAREST, _SPREAD = 1.0, 0.1
"""How far flow may be wrong beside its own error, in pixels of flow: at first, and with every frame of distance."""
_SURE = 0.95
"""The probability from which on a pixel is known."""
_LEVELS, _WEIGHTS = 255, 15
_SIDES = (FOREGROUND, BACKGROUND)


def carried(
    greys: Sequence[Grey], first: NDArray[np.uint8] | None, last: NDArray[np.uint8] | None
) -> "list[PackedTrimap]":
    """Return the trimaps of the frames between two keyframes, in order.

    greys: the frames as `motion.grey_of` returns them, with the keyframes at the ends.
    first, last: the trimap (H, W) uint8 of 0 / 128 / 255 of the first and of the last frame; None where that frame is
    no keyframe, but one to carry a trimap to. One of them is given.
    """
    between = greys if first is None else greys[1:]
    behind = [] if last is None else [_packed(*found) for found in _seen_from(between[::-1], last)]
    if first is None:
        return [_trimap([(*_opened(packed), 1)]) for packed in reversed(behind)]
    trimaps, count = [], len(greys) - 1
    for distance, found in enumerate(_seen_from(greys if last is None else greys[:-1], first), 1):
        views = [(*found, distance)]
        if last is not None:
            views.append((*_opened(behind[count - 1 - distance]), count - distance))
        trimaps.append(_trimap(views))
    return trimaps


def _seen_from(greys: Sequence[Grey], trimap: NDArray[np.uint8]) -> Iterator[tuple[Floats, Floats]]:
    """Yield for each frame beyond the first, whose trimap is given, what that says of it.

    That is how sure it is foreground, and background, (H, W, 2) float32, 0..1, and how much that counts, (h, w)
    float32, 0..1: nothing where the frame shows what the keyframe hides.
    """
    height, width = greys[0].shape
    scale = float(np.sqrt(trimap.size / greys[0].size))
    # In pixels of flow.
    inside = np.dstack(
        [
            cv2.distanceTransform((trimap == side).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / scale
            for side in _SIDES
        ]
    ).clip(0, LOST)
    vectors, error = np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.float32)
    for distance, (near, here) in enumerate(pairwise(greys), 1):
        step = flows(here, near)[0]
        vectors = step.vectors + step.bring(vectors)
        error = (step.error + step.bring(error)).clip(0, LOST)
        wrong = enlarged(_NEAREST + _SPREAD * distance + error, trimap.shape)[:, :, None]
        sure: Floats = (_brought(inside, vectors) / wrong).clip(0, 1)
        yield sure, np.asarray(1 / (1 + np.square(error)), np.float32)


def _brought(plane: Floats, vectors: Floats) -> Floats:
    """Return a plane (H, W, C) of a keyframe as it lies in a frame. vectors: (h, w, 2), in pixels of flow."""
    height, width = plane.shape[:2]
    scale = np.array([width / vectors.shape[1], height / vectors.shape[0]], np.float32)
    return sampled(plane, places(enlarged(vectors, (height, width)) * scale))


def _trimap(views: Sequence[tuple[Floats, Floats, int]]) -> "PackedTrimap":
    """Return the trimap that one or two keyframes agree on.

    views: of each, what `_seen_from` yields and its distance in frames.
    """
    hw = views[0][0].shape[:2]
    weights = [enlarged(weight, hw)[:, :, None] / distance for _, weight, distance in views]
    total = np.maximum(sum(weights), np.finfo(np.float32).tiny)
    sure = sum(inside * weight for (inside, *_), weight in zip(views, weights, strict=True)) / total
    trimap = np.full(hw, UNKNOWN, np.uint8)
    for index, side in enumerate(_SIDES):
        trimap[sure[:, :, index] >= _SURE] = side
    return PackedTrimap.of(trimap, _contested([inside >= _SURE for inside, *_ in views]))


def _contested(sure: Sequence[NDArray[np.bool_]]) -> float:
    """Return the share, 0..1, of what either keyframe is sure to be foreground that the other is sure to be background.

    sure: of each keyframe, (H, W, 2): foreground, and background.
    """
    subject = np.logical_or.reduce([each[:, :, 0] for each in sure])
    background = np.logical_or.reduce([each[:, :, 1] for each in sure])
    return float(np.mean(background[subject])) if subject.any() else 0.0


@dataclass(frozen=True)
class PackedTrimap:
    """A trimap that takes little memory while it waits for its frame.

    contested: the share, 0..1, of the subject about which its two keyframes contradict each other.
    """

    data: bytes
    hw: tuple[int, int]
    contested: float

    @classmethod
    def of(cls, trimap: NDArray[np.uint8], contested: float) -> Self:
        """Pack a trimap (H, W) uint8."""
        return cls(zlib.compress(trimap.tobytes(), 1), (trimap.shape[0], trimap.shape[1]), contested)

    def opened(self) -> NDArray[np.uint8]:
        """Return the trimap (H, W) uint8 of 0 / 128 / 255."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.hw)


def _packed(inside: Floats, weight: Floats) -> bytes:
    """Return what `_seen_from` yields in a few levels and compressed: most of it is flat."""
    content = io.BytesIO()
    levels = [np.rint(plane * top).astype(np.uint8) for plane, top in ((inside, _LEVELS), (weight, _WEIGHTS))]
    np.savez_compressed(content, inside=levels[0], weight=levels[1])
    return content.getvalue()


def _opened(packed: bytes) -> tuple[Floats, Floats]:
    """Return what was packed, within half a level."""
    with np.load(io.BytesIO(packed)) as planes:
        inside, weight = (planes[name].astype(np.float32) for name in ("inside", "weight"))
    return inside / np.float32(_LEVELS), weight / np.float32(_WEIGHTS)
