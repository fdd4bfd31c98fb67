"""The kernels of `refining.cu`, one method a step. Addresses are integers."""

from dataclasses import dataclass

import numpy as np

from ...matting.laplacian import EPSILON
from ...matting.refine import APART, OWN_WEIGHT, RING, SLOPE_EPSILON, SURE_POWER, SURE_WEIGHT, WEIGHT, Window
from .kernels import Kernels
from .protocol import Stream

FLOAT, DOUBLE = 4, 8
TILE_PLANES = 18
"""Planes of a tile: 13 of the matrix, weights, solution, residual, direction and product."""
THREADS = 1 << 14, 1 << 7, 1
"""How many threads sum the pixels of a tile, these sums, and so on."""
SUMS_BYTES = 2 * DOUBLE * sum(THREADS[:2])


@dataclass(frozen=True)
class Level:
    """A photo on the device, or its half, with its alpha: addresses.

    image: (*hw, 3) uint8. unknown: (*hw) uint8, 128 where a pixel is unknown. alpha, refined: (*hw) float32.
    """

    image: int
    unknown: int
    alpha: int
    refined: int
    hw: tuple[int, int]


class TileKernels:
    """A tile of a level: a window, and the address of its planes (TILE_PLANES, h, w) float32, which it writes."""

    def __init__(self, kernels: Kernels, stream: Stream, level: Level, window: Window, planes: int) -> None:
        self._kernels, self._stream, self._level, self._window = kernels, stream, level, window
        self.hw = window[0].stop - window[0].start, window[1].stop - window[1].start
        self._size = tuple(map(np.int32, self.hw))
        self._place = tuple(map(np.int32, (*self.hw, *level.hw, window[0].start, window[1].start)))
        self._planes, step = planes, FLOAT * self.hw[0] * self.hw[1]
        after = (planes + number * step for number in range(13, TILE_PLANES))
        self._weights, self._solution, self._residual, self._direction, self._product = after

    def begin_by(self, weight: float) -> None:
        """Begin with the level's own alpha, which has a weight."""
        self._begin(0, (0, 0, 0, 0), weight)

    def begin_from(self, coarser: Level, part: Window, slopes: tuple[int, int]) -> None:
        """Begin with what is carried over from a part of the half of the level.

        slopes: addresses of two buffers (4, h, w) float32 of the part's size, which are written.
        """
        hw, at = (part[0].stop - part[0].start, part[1].stop - part[1].start), (part[0].start, part[1].start)
        place = map(np.int32, (*hw, *coarser.hw, *at))
        sources = coarser.image, coarser.refined, slopes[0]
        self._launch("affine_slopes", hw, *sources, *place, np.float32(SLOPE_EPSILON))
        self._launch("mean_slopes", hw, *slopes, *map(np.int32, hw), layers=4)
        self._begin(slopes[1], (*hw, *at), WEIGHT)

    def _begin(self, slopes: int, part: tuple[int, int, int, int], weight: float) -> None:
        level, numbers = self._level, (*self._place, *map(np.int32, (*part, RING)))
        places = level.image, level.unknown, level.alpha, slopes, self._solution, self._weights
        weights = map(np.float32, (weight, OWN_WEIGHT, SURE_WEIGHT, APART))
        self._launch("begin_tile", self.hw, *places, *numbers, *weights, np.int32(SURE_POWER))

    def begin_steps(self, sums: int, size: int) -> None:
        """Compute the matrix and the first direction. sums, size: as in `step`, which goes on from `size`."""
        image, weights, planes, product = self._level.image, self._weights, self._planes, self._product
        self._launch("matting_laplacian", self.hw, image, weights, planes, *self._place, np.float32(EPSILON))
        self._times(self._solution, alone=True)
        self._launch("begin_steps", self.hw, planes, weights, self._direction, self._residual, product, *self._size)
        self._dot(self._residual, sums, size)

    def step(self, sums: int, curved: int, before: int, size: int) -> None:
        """Take a step of conjugate gradients.

        sums: address of SUMS_BYTES. curved: that of two float64, which are written. before: of those that the last step
        wrote. size: of the sum of residual * change of all pixels and the largest change, float64, which are written.
        """
        self._times(self._direction, alone=False)
        self._dot(self._direction, sums, curved)
        places = self._planes, self._weights, self._direction, self._solution, self._residual, self._product
        self._launch("take_step", self.hw, *places, before, curved, *self._size)
        self._dot(self._residual, sums, size)
        self._launch("turn_direction", self.hw, self._direction, self._product, size, before, *self._size)

    def settle(self, inner: Window) -> None:
        """Write a part of the level that lies in the tile to `refined`."""
        skipped = inner[0].start - self._window[0].start, inner[1].start - self._window[1].start
        hw, at = (inner[0].stop - inner[0].start, inner[1].stop - inner[1].start), (inner[0].start, inner[1].start)
        numbers = map(np.int32, (*hw, self._level.hw[1], *at, self.hw[1], *skipped))
        self._launch("settle_alpha", hw, self._solution, self._level.refined, *numbers)

    def _times(self, vector: int, *, alone: bool) -> None:
        places = self._planes, self._weights, vector, self._product
        self._launch("laplacian_times", self.hw, *places, *self._size, np.int32(alone))

    def _dot(self, vector: int, sums: int, target: int) -> None:
        """Write the sum of vector * product, and the largest |product|."""
        parts, few = sums, sums + 2 * DOUBLE * THREADS[0]
        many = np.int32(self.hw[0] * self.hw[1])
        counts = tuple(map(np.int32, THREADS))
        self._launch("dot_parts", (THREADS[0] // 32, 32), vector, self._product, parts, many, counts[0])
        self._launch("dot_sums", (THREADS[1] // 32, 32), parts, few, *counts[:2])
        self._launch("dot_sums", (1, 32), few, target, *counts[1:])

    def _launch(self, name: str, hw: tuple[int, int], *arguments: int | np.int32 | np.float32, layers: int = 1) -> None:
        self._kernels.launch(name, self._stream, hw, *arguments, layers=layers)
