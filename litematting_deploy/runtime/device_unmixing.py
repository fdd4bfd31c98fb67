"""Foreground colours by the kernels of a CUDA device: `matting.unmixing.unmix` for whoever matted there.

The host reads and writes light, so that every kind of photo comes out as it does without a device. Strips of whole
tiles go up, twice, as the host reads each pixel twice; the coarser levels stay on the device.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..matting.unmixing import SWEEPS, TILE, Bounds, Floats, Source, Window
from .cuda.kernels import Kernels, LevelPart
from .cuda.protocol import Buffer, Cuda

STRIP_BYTES = 1 << 28
"""About what is worked on at a time; one row of tiles at least."""
_ROW_PLANES = 19  # two sets of six colours, light and alpha, and what comes down
_FLOAT = 4


@dataclass(frozen=True)
class _Level:
    """A halved image: light and alpha on the device, (4, height, width) float32."""

    planes: Buffer
    hw: tuple[int, int]


class DeviceUnmixer:
    """Finds foreground colours on a device. Any thread may call; each call has memory and a stream of its own."""

    def __init__(self, cuda: Cuda, kernels: Kernels, strip_bytes: int = STRIP_BYTES) -> None:
        self._cuda, self._kernels, self._strip_bytes = cuda, kernels, strip_bytes

    def __call__(self, light_of: Source, alpha: Floats, bounds: Bounds) -> Iterator[tuple[Window, Floats]]:
        """Yield strips of an image with the light of its foreground, as `unmix` yields tiles; the host's within 1e-5.

        Raises `DeviceError`, also where there is not enough memory.
        """
        work = _Work(self._cuda, self._kernels, self._strip_bytes, light_of, alpha, bounds)
        try:
            work.begin()
            for top in range(0, alpha.shape[0], work.strip_rows(alpha.shape[1])):
                # Not current while the caller has a strip: its own work may be on another device.
                yield work.strip(top)
        finally:
            work.free()


class _Work:
    """One image."""

    def __init__(
        self, cuda: Cuda, kernels: Kernels, strip_bytes: int, light_of: Source, alpha: Floats, bounds: Bounds
    ) -> None:
        self._cuda, self._kernels, self._strip_bytes = cuda, kernels, strip_bytes
        self._light_of, self._alpha, self._bounds = light_of, alpha, (float(bounds[0]), float(bounds[1]))
        self._held: list[Buffer] = []
        self._hw = (alpha.shape[0], alpha.shape[1])
        with cuda.active():
            self._stream = cuda.stream()

    def strip_rows(self, width: int) -> int:
        """Return how many rows of a level are worked on at a time: whole tiles', each of which is swept or not."""
        return TILE * max(1, self._strip_bytes // (_ROW_PLANES * _FLOAT * TILE * width))

    def begin(self) -> None:
        """Halve the image until one pixel is left, and find the colours of all levels but the image itself."""
        with self._cuda.active():
            levels = [self._first_half()]
            while max(levels[-1].hw) > 1:
                levels.append(self._half(levels[-1]))
            last = levels[-1]
            colours = self._room(6 * _FLOAT)
            for half in range(2):
                self._cuda.copy(colours.address + half * 3 * _FLOAT, last.planes.address, 3 * _FLOAT, self._stream)
            self._coarser, self._coarser_height = colours, 1
            while levels:
                self._find(levels.pop(), len(levels) + 1)

    def strip(self, top: int) -> tuple[Window, Floats]:
        """Return rows of the image from `top` on, with the light of their foreground, (3, h, W)."""
        (height, width), sweeps = self._hw, SWEEPS[0]
        rows = slice(top, min(top + self.strip_rows(width), height))
        outer = slice(max(rows.start - sweeps, 0), min(rows.stop + sweeps, height))
        with self._cuda.active():
            source = self._uploaded(outer)
            count = outer.stop - outer.start
            target = self._room(3 * (rows.stop - rows.start) * width * _FLOAT)
            alpha = source.address + 3 * count * width * _FLOAT
            self._colours(source.address, alpha, (count, outer.start), self._hw, rows, target.address, 0)
            front = np.empty((3, rows.stop - rows.start, width), np.float32)
            self._cuda.download(front, target.address, self._stream)
            self._stream.synchronize()
            self._drop(source, target)
        return (rows, slice(0, width)), front

    def free(self) -> None:
        """Wait for the stream, and free all memory."""
        with self._cuda.active():
            self._stream.synchronize()
        self._drop(*self._held)

    def _find(self, level: _Level, number: int) -> None:
        """Find the colours of a level from those of the coarser one, whose place they take."""
        height, width = level.hw
        found, sweeps = self._room(6 * height * width * _FLOAT), SWEEPS[min(number, len(SWEEPS) - 1)]
        for top in range(0, height, self.strip_rows(width)):
            rows = slice(top, min(top + self.strip_rows(width), height))
            outer = slice(max(rows.start - sweeps, 0), min(rows.stop + sweeps, height))
            light = level.planes.address + outer.start * width * _FLOAT
            alpha = light + 3 * height * width * _FLOAT
            self._colours(light, alpha, (height, outer.start), level.hw, rows, found.address, number)
        self._stream.synchronize()
        self._drop(self._coarser, level.planes)
        self._coarser, self._coarser_height = found, height

    def _colours(
        self,
        light: int,
        alpha: int,
        source: tuple[int, int],
        hw: tuple[int, int],
        rows: slice,
        target: int,
        number: int,
    ) -> None:
        """Find the colours of some rows of a level.

        light, alpha: addresses of the first row that is read. source: rows from one plane of light to the next, and
        which row of the level is read first. target: of the planes of the level or, for the image, of these rows.
        """
        (height, width), sweeps = hw, SWEEPS[min(number, len(SWEEPS) - 1)]
        stride, first = source
        count = min(rows.stop + sweeps, height) - first
        part = LevelPart(light, alpha, count, width, stride, first, self._coarser_height, sweeps, self._bounds)
        swept = [self._room(6 * count * width * _FLOAT) for _ in range(2)]
        tiles_hw = -(-height // TILE), -(-width // TILE)
        shown = self._room(2 * tiles_hw[0] * tiles_hw[1])
        self._cuda.zero(shown.address, shown.nbytes, self._stream)
        coarser = self._coarser.address
        result = self._kernels.sweep(self._stream, part, coarser, (swept[0].address, swept[1].address))
        self._kernels.mixed_tiles(self._stream, part, shown.address, tiles_hw, TILE)
        planes, target_stride = (6, height) if number else (3, rows.stop - rows.start)
        into = planes, target_stride, rows.stop - rows.start
        at = target + (rows.start * width * _FLOAT if number else 0)
        addresses = coarser, result, shown.address, at
        self._kernels.settle(self._stream, part, addresses, into, (rows.start, rows.start - first), TILE)
        self._stream.synchronize()
        self._drop(*swept, shown)

    def _first_half(self) -> _Level:
        """Return the image's half, from strips of its light."""
        (height, width), step = self._hw, self.strip_rows(self._hw[1])
        level = self._level((-(-height // 2), -(-width // 2)))
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            source, count = self._uploaded(rows), rows.stop - rows.start
            target = level.planes.address + top // 2 * level.hw[1] * _FLOAT
            self._kernels.halve(self._stream, source.address, target, (count, width), (count, level.hw[0]))
            self._stream.synchronize()
            self._drop(source)
        return level

    def _half(self, level: _Level) -> _Level:
        """Return half of a level."""
        half = self._level((-(-level.hw[0] // 2), -(-level.hw[1] // 2)))
        strides = level.hw[0], half.hw[0]
        self._kernels.halve(self._stream, level.planes.address, half.planes.address, level.hw, strides)
        return half

    def _level(self, hw: tuple[int, int]) -> _Level:
        return _Level(self._room(4 * hw[0] * hw[1] * _FLOAT), hw)

    def _uploaded(self, rows: slice) -> Buffer:
        """Return light and alpha of some rows of the image on the device, (4, h, W)."""
        window = rows, slice(0, self._hw[1])
        light, alpha = (np.ascontiguousarray(part, np.float32) for part in (self._light_of(window), self._alpha[rows]))
        buffer = self._room(light.nbytes + alpha.nbytes)
        self._cuda.upload(buffer.address, light, self._stream)
        self._cuda.upload(buffer.address + light.nbytes, alpha, self._stream)
        self._stream.synchronize()  # the arrays end here
        return buffer

    def _room(self, nbytes: int) -> Buffer:
        """Return new memory for the stream, which `free` gives back at the latest.

        It comes from the pool, where there is one: otherwise the driver would wait for the whole device each time.
        """
        self._held.append(self._cuda.buffer(nbytes, self._stream))
        return self._held[-1]

    def _drop(self, *buffers: Buffer) -> None:
        """Free memory on which nothing works any more."""
        for buffer in buffers:
            buffer.free()
            self._held = [held for held in self._held if held is not buffer]
