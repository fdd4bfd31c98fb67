"""How the pictures of a sequence move: dense optical flow between two of them, and where it can be trusted.

Flow is OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016). It is computed in both
directions, and these are compared (Sundaram, Brox and Keutzer, "Dense Point Trajectories by GPU-Accelerated Large
Displacement Optical Flow", ECCV 2010, equation 5): a point that does not come back to where it started is hidden in one
of the pictures, or its flow is wrong. Nothing here knows of trimaps, files or containers.
"""

from dataclasses import dataclass
from typing import Self, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Grey = NDArray[np.uint8]
Reals = TypeVar("Reals", NDArray[np.float32], NDArray[np.float64])

FLOW_PIXELS = 1 << 20
"""The most pixels that flow is computed on: beyond that, its time and memory do not grow with the picture."""
LOST = 1e3
"""The error, in pixels, of a point that leaves the other picture."""
_RELATIVE, _ABSOLUTE = 0.01, 0.5
"""Limits of the squared error, in pixels: as a share of the squared motion, and as it is."""
_COMMON = 0.3
"""The share of two pictures that passes the check if they show the same: of neighbours in drawn clips 0.8 and more, of
unrelated pictures 0.2 at most."""
_LEAST_SIDE = 32


def grey_of(image: NDArray[np.uint8]) -> Grey:
    """Return the picture that flow is computed on, (h, w) uint8 with at most `FLOW_PIXELS` pixels.

    image: (H, W, 3) uint8 RGB.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = float(np.sqrt(FLOW_PIXELS / grey.size))
    if scale < 1:
        size = [max(1, int(side * scale)) for side in grey.shape[::-1]]
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


@dataclass(frozen=True, eq=False)
class Flow:
    """Where the points of one picture lie in another.

    vectors: (h, w, 2) float32, the way to the right and down, in pixels.
    error: (h, w) float32, how far from its start a point ends that goes there and back, in pixels; `LOST` where it
    leaves the other picture.
    trusted: (h, w) bool, where the error is small: the point is seen in both pictures.
    """

    vectors: Floats
    error: Floats
    trusted: NDArray[np.bool_]

    def bring(self, plane: Floats) -> Floats:
        """Return a plane, (h, w) or (h, w, C), of the other picture as it lies in this one.

        The border goes on beyond the plane; `trusted` is false there.
        """
        return sampled(plane, places(self.vectors))

    def enlarged(self, hw: tuple[int, int]) -> Self:
        """Return the flow between the same pictures at the size (H, W)."""
        height, width = self.error.shape
        if hw == (height, width):
            return self
        scale = np.array([hw[1] / width, hw[0] / height], np.float32)
        trusted = cv2.resize(self.trusted.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_NEAREST) > 0
        return type(self)(enlarged(self.vectors, hw) * scale, enlarged(self.error, hw) * scale.mean(), trusted)


def flows(first: Grey, second: Grey) -> tuple[Flow, Flow]:
    """Return the flow from the first picture to the second, and that from the second to the first.

    Where hardly anything passes the check, as at a cut, what does is chance, and nothing is trusted.
    first, second: (h, w) uint8, as `grey_of` returns them.
    """
    there, back = _vectors(first, second), _vectors(second, first)
    found = _checked(there, back), _checked(back, there)
    if min(float(flow.trusted.mean()) for flow in found) >= _COMMON:
        return found
    lost, nothing = np.full(first.shape, LOST, np.float32), np.zeros(first.shape, bool)
    return Flow(there, lost, nothing), Flow(back, lost, nothing)


def places(vectors: Floats) -> Floats:
    """Return where points lie in the other picture, (h, w, 2) float32, x and y in pixels."""
    y, x = np.indices(vectors.shape[:2], np.float32)
    return vectors + np.dstack([x, y])


def sampled(plane: Reals, ends: Floats) -> Reals:
    """Return a plane, (h, w) or (h, w, C), at points between its pixels; its border goes on beyond it.

    ends: (H, W, 2) float32, x and y in pixels of the plane.
    """
    # With both coordinates in one map there is no second one, which the stub does not know.
    found = cv2.remap(plane, ends, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(found, plane.dtype)


def enlarged(plane: Floats, hw: tuple[int, int]) -> Floats:
    """Return a plane, (h, w) or (h, w, C), at the size (H, W)."""
    if plane.shape[:2] == hw:
        return plane
    return np.asarray(cv2.resize(plane, hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _vectors(here: Grey, there: Grey) -> Floats:
    """Return the unchecked flow (h, w, 2) from one picture to another."""
    # DIS refuses pictures that are smaller than its patches on its coarsest scale.
    short = max(0, _LEAST_SIDE - min(here.shape))
    if short:
        here, there = (np.pad(grey, (0, short), "edge") for grey in (here, there))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # Without a flow to begin with, which the stub does not know.
    found = search.calc(here, there, None)  # type: ignore[call-overload]
    height, width = (side - short for side in here.shape)
    return np.ascontiguousarray(found[:height, :width], np.float32)


def _checked(there: Floats, back: Floats) -> Flow:
    """Return a flow (h, w, 2) with its error, which the one in the other direction tells."""
    ends = places(there)
    height, width = there.shape[:2]
    # A pixel beyond the border is as the border: otherwise a still picture's border would be lost to rounding.
    inside = (ends >= -1).all(axis=2) & (ends <= (width, height)).all(axis=2)
    returned = sampled(back, ends)
    squared = np.square(there + returned).sum(axis=2)
    limit = _RELATIVE * (np.square(there) + np.square(returned)).sum(axis=2) + _ABSOLUTE
    error = np.where(inside, np.sqrt(squared).clip(0, LOST), np.float32(LOST)).astype(np.float32)
    return Flow(there, error, inside & (squared <= limit))
