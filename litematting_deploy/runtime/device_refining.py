"""Refinement by the kernels of a CUDA device: `matting.refine.refine` for whoever matted there.

Levels, priors and weights are the host's for a photo at full size. Tiles are larger, since one of them is work enough
for a device, and are solved one after the other in the same memory. No pixels come to the host, only which blocks have
unknown ones, and how far from solved a tile is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..matting.refine import (
    COARSEST_WEIGHT,
    CONTEXT,
    HALVINGS,
    MOST_STEPS,
    OVERLAP,
    RESIDUAL,
    RING,
    Progress,
    Window,
    tiles_of,
)
from ..profiling import stage
from .cuda.kernels import Kernels
from .cuda.protocol import Buffer, Cuda
from .cuda.refining import DOUBLE, FLOAT, SUMS_BYTES, TILE_PLANES, Level, TileKernels

TILE = 2048
"""With `OVERLAP` around it, a tile takes 380 MB."""
_BLOCK = 32
_STEPS = 5
"""Steps until the host looks at the residual, as without a device."""


@dataclass(frozen=True)
class Matte:
    """A photo on the device with its alpha: addresses of image (*hw, 3) and trimap (*hw) uint8, and of alpha (*hw)
    float32, 0..1, whose known pixels are 0 or 1."""

    image: int
    trimap: int
    alpha: int
    hw: tuple[int, int]


class DeviceRefiner:
    """Refines alphas on a device. Any thread may call; each call has memory and a stream of its own."""

    def __init__(self, cuda: Cuda, kernels: Kernels, tile: int = TILE) -> None:
        """tile: the side of tiles, in pixels."""
        self._cuda, self._kernels, self._tile = cuda, kernels, tile

    @stage("refine")
    def __call__(self, matte: Matte, dtype: "np.dtype[Any]", progress: Progress | None = None) -> Buffer:
        """Return a refined alpha (*hw) on the device: float32, 0..1, or the nearest levels in uint8 or uint16.

        What made the matte is done. progress: called after each tile. Raises `DeviceError`, also where there is not
        enough memory.
        """
        with self._cuda.active():
            work = _Work(self._cuda, self._kernels, self._tile)
            try:
                return work.refined(matte, dtype, progress)
            finally:
                work.free()

    def most_bytes(self, hw: tuple[int, int]) -> int:
        """Return the bytes that a photo of this size takes at most, with those of a float32 alpha that comes out."""
        sizes = _sizes(hw)
        height, width = (min(side, self._tile + 2 * OVERLAP) for side in hw)
        slopes = 8 * (height // 2 + 2 + 2 * CONTEXT) * (width // 2 + 2 + 2 * CONTEXT)
        blocks = sum(-(-h // _BLOCK) * -(-w // _BLOCK) for h, w in sizes)
        halves = (3 + 1 + 2 * FLOAT) * sum(h * w for h, w in sizes[1:])
        floats = hw[0] * hw[1] + TILE_PLANES * height * width + slopes
        return FLOAT * floats + blocks + halves + SUMS_BYTES + 6 * DOUBLE


class _Work:
    """One photo."""

    def __init__(self, cuda: Cuda, kernels: Kernels, tile: int) -> None:
        self._cuda, self._kernels, self._tile, self._stream = cuda, kernels, tile, cuda.stream()
        self._held: list[Buffer] = []

    def refined(self, matte: Matte, dtype: "np.dtype[Any]", progress: Progress | None) -> Buffer:
        """Return the refined alpha, as `DeviceRefiner` does."""
        count = matte.hw[0] * matte.hw[1]
        result = self._room(count * FLOAT)
        levels = [Level(matte.image, matte.trimap, matte.alpha, result.address, matte.hw)]
        for hw in _sizes(matte.hw)[1:]:
            levels.append(self._half(levels[-1], hw))
        unknown = zip(levels, self._unknown(levels), strict=True)
        windows = [_windows(level.hw, blocks, self._tile) for level, blocks in unknown]
        self._make_room(levels, windows)
        done, total, coarser = 0, sum(map(len, windows)), None
        while levels:
            level = levels.pop()
            self._cuda.copy(level.refined, level.alpha, level.hw[0] * level.hw[1] * FLOAT, self._stream)
            weight = COARSEST_WEIGHT * 4 ** len(levels)
            for tile, window in windows.pop():
                self._solve(level, coarser, weight, tile, window)
                done += 1
                if progress is not None:
                    self._stream.synchronize()
                    progress(done, total)
            coarser = level
        if dtype.kind == "u":
            floats, result = result, self._room(count * dtype.itemsize)
            places = floats.address, result.address
            self._kernels.launch(f"level_{dtype.name}", self._stream, matte.hw, *places, *map(np.int32, matte.hw))
        self._stream.synchronize()
        self._held.remove(result)  # it is the caller's
        return result

    def _half(self, level: Level, hw: tuple[int, int]) -> Level:
        """Return half of a level, whose size is `hw`."""
        count = hw[0] * hw[1]
        image, unknown = self._room(3 * count).address, self._room(count).address
        alpha, refined = self._room(FLOAT * count).address, self._room(FLOAT * count).address
        places = level.image, level.unknown, level.alpha, image, unknown, alpha
        self._kernels.launch("halve_level", self._stream, hw, *places, *map(np.int32, level.hw))
        return Level(image, unknown, alpha, refined, hw)

    def _unknown(self, levels: list[Level]) -> list[NDArray[np.uint8]]:
        """Return which blocks of each level have unknown pixels."""
        found = []
        for level in levels:
            height, width = level.hw
            blocks = np.empty((-(-height // _BLOCK), -(-width // _BLOCK)), np.uint8)
            at, hw = self._room(blocks.size).address, (blocks.shape[0], blocks.shape[1])
            sizes = map(np.int32, (*level.hw, _BLOCK))
            self._kernels.launch("unknown_blocks", self._stream, hw, level.unknown, at, *sizes)
            self._cuda.download(blocks, at, self._stream)
            found.append(blocks)
        self._stream.synchronize()
        return found

    def _make_room(self, levels: list[Level], windows: list[list[tuple[Window, Window]]]) -> None:
        """Allocate what all tiles are solved in, one after the other."""
        pixels = max((_count(window) for tiles in windows for _, window in tiles), default=0)
        halves = zip(windows, levels[1:], strict=False)
        parts = max((_count(_part(window, half.hw)) for tiles, half in halves for _, window in tiles), default=0)
        self._planes = self._room(TILE_PLANES * pixels * FLOAT).address
        slopes = 4 * parts * FLOAT
        self._slopes = self._room(slopes).address, self._room(slopes).address
        self._sums, self._pairs = self._room(SUMS_BYTES).address, self._room(6 * DOUBLE).address

    def _solve(self, level: Level, coarser: Level | None, weight: float, tile: Window, window: Window) -> None:
        """Refine the pixels of a tile. coarser: the refined level of half the size; None for the coarsest."""
        kernels = TileKernels(self._kernels, self._stream, level, window, self._planes)
        if coarser is None:
            kernels.begin_by(weight)
        else:
            kernels.begin_from(coarser, _part(window, coarser.hw), self._slopes)
        curved, size, before = (self._pairs + 2 * DOUBLE * number for number in range(3))
        kernels.begin_steps(self._sums, size)
        for step in range(MOST_STEPS):
            if step % _STEPS == 0 and self._largest_change(size) <= RESIDUAL:
                break
            before, size = size, before
            kernels.step(self._sums, curved, before, size)
        rows, columns = (slice(max(t.start, w.start), min(t.stop, w.stop)) for t, w in zip(tile, window, strict=True))
        kernels.settle((rows, columns))

    def _largest_change(self, size: int) -> float:
        """Wait for the last step, and return how much the pixel changes alone that is farthest from solved."""
        pair = np.empty(2, np.float64)
        self._cuda.download(pair, size, self._stream)
        self._stream.synchronize()
        return float(pair[1])

    def free(self) -> None:
        """Wait for the stream, and free all memory that is not the caller's."""
        self._stream.synchronize()
        for buffer in self._held:
            buffer.free()

    def _room(self, nbytes: int) -> Buffer:
        """Return new memory for the stream, which `free` gives back."""
        try:
            self._held.append(self._cuda.buffer(nbytes, self._stream))
        except DeviceError as error:
            raise DeviceError(
                f"{error}; to refine an alpha takes {nbytes / 1e6:.0f} MB more; use a smaller `batch`, leave `refine` "
                "out, or use `device=cpu`"
            ) from error
        return self._held[-1]


def _sizes(hw: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the sizes of all levels, the photo's first."""
    sizes = [hw]
    while len(sizes) <= HALVINGS and min(sizes[-1]) >= 2 * CONTEXT:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def _windows(hw: tuple[int, int], blocks: NDArray[np.uint8], tile: int) -> list[tuple[Window, Window]]:
    """Return the tiles of a level that have unknown pixels, each with what it is solved on: it and `OVERLAP` around it,
    less what is beyond the blocks of its unknown pixels."""
    found = []
    for sides in tiles_of(hw, tile):
        if not blocks[tuple(map(_blocks, sides))].any():
            continue
        wide = [
            slice(max(s.start - OVERLAP, 0), min(s.stop + OVERLAP, most)) for s, most in zip(sides, hw, strict=True)
        ]
        part, window = blocks[tuple(map(_blocks, wide))], []
        for axis, side in enumerate(wide):
            (where,) = np.nonzero(part.any(axis=1 - axis))
            first, last = (_BLOCK * (_blocks(side).start + int(where[n])) for n in (0, -1))
            window.append(slice(max(side.start, first - RING), min(side.stop, last + _BLOCK + RING)))
        found.append((sides, (window[0], window[1])))
    return found


def _blocks(side: slice) -> slice:
    """Return the blocks that pixels lie in, along one side."""
    return slice(side.start // _BLOCK, -(-side.stop // _BLOCK))


def _part(window: Window, hw: tuple[int, int]) -> Window:
    """Return what of the half of a level, of size `hw`, a window's alpha is carried over from."""
    rows, columns = (
        slice(max(side.start // 2 - CONTEXT, 0), min((side.stop + 1) // 2 + CONTEXT, most))
        for side, most in zip(window, hw, strict=True)
    )
    return rows, columns


def _count(window: Window) -> int:
    """Return the pixels of a window."""
    rows, columns = window
    return int((rows.stop - rows.start) * (columns.stop - columns.start))
