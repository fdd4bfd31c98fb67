"""The kernels of `kernels.cu`, one method a step. Addresses are integers; a plan says how large everything is.

Those of `refining.cu` are compiled with them; `refining.py` launches them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...matting.patches import Plan
from .protocol import Argument, Cuda, Kernel, Stream

_BLOCK = (32, 8, 1)  # a warp lies along a row, so that its reads of neighbouring pixels become one

NAMES = (
    *("pad", "unknown_bits", "guide_rows", "guide_columns", "gather", "accumulate"),
    *("halve", "begin_colours", "sweep_colours", "mixed_tiles", "settle_colours"),
    *("finish_float32", "finish_uint8", "finish_uint16", "finish_uint8_truncated", "finish_uint16_truncated"),
    *("halve_level", "unknown_blocks", "affine_slopes", "mean_slopes", "begin_tile", "matting_laplacian"),
    *(
        "laplacian_times",
        "begin_steps",
        "take_step",
        "turn_direction",
        "dot_parts",
        "dot_sums",
        "settle_alpha",
        "level_uint8",
        "level_uint16",
    ),
)


def source() -> str:
    """Return the CUDA C++ of all kernels."""
    return "".join((files(__package__) / name).read_text(encoding="utf-8") for name in ("kernels.cu", "refining.cu"))


def batch_record(batch: int) -> "np.dtype[Any]":
    """Return the `Batch` of kernels.cu with the corners of `batch` patches behind it."""
    pointers = [(name, np.uint64) for name in ("image", "trimap", "squared", "total", "weight", "bad")]
    return np.dtype([*pointers, ("hw", np.int32, 2), ("corners", np.int32, (batch, 2))])


def batch_table(plan: Plan, batch: int, planes: Mapping[str, int], bad: int) -> NDArray[Any]:
    """Return the records of all batches of a plan, (runs,) of `batch_record`; y = -1 where the last one is not full.

    planes: addresses of image (*padded_hw, 3) and trimap (*padded_hw) uint8, squared (2, *padded_hw) uint16, total and
    weight (*padded_hw) float32. bad: that of an int32, which is set to 1 where an alpha that counts is not finite.
    """
    count = len(plan.corners_yx)
    table = np.zeros(-(-count // batch), batch_record(batch))
    for name in ("image", "trimap", "squared", "total", "weight"):
        table[name] = planes[name]
    table["bad"], table["hw"] = bad, plan.padded_hw
    corners = np.full((table.size * batch, 2), -1, np.int32)
    corners[:count] = np.reshape(plan.corners_yx, (-1, 2))
    table["corners"] = corners.reshape(-1, batch, 2)
    return table


@dataclass(frozen=True)
class LevelPart:
    """Rows of a level of an image, for the kernels of foreground colours.

    light, alpha: addresses of the first row, (3, stride, width) and (rows, width) float32. first: this row in the
    level. coarser_height: rows of the next coarser level. bounds: the least and the most light of a colour.
    """

    light: int
    alpha: int
    rows: int
    width: int
    stride: int
    first: int
    coarser_height: int
    sweeps: int
    bounds: tuple[float, float]


class Kernels:
    """The kernels, compiled for a device and loaded there."""

    def __init__(self, cuda: Cuda) -> None:
        module = cuda.module(source())
        self._kernels: dict[str, Kernel] = {name: module.kernel(name) for name in NAMES}

    def pad(self, stream: Stream, source: int, target: int, plan: Plan, *, channels: int, constant: int | None) -> None:
        """Copy (*image_hw, channels) uint8 into (*padded_hw, channels); around it is its edge or `constant`."""
        numbers = (*plan.image_hw, *plan.padded_hw, *plan.offset_yx, channels, -1 if constant is None else constant)
        self.launch("pad", stream, plan.padded_hw, source, target, *map(np.int32, numbers))

    def unknown_bits(self, stream: Stream, trimap: int, bits: int, strange: int, hw: tuple[int, int]) -> None:
        """Write bits (H, ceil(W / 8)) uint8, a `BitMask` of the unknown pixels of a trimap (*hw) uint8.

        strange: an int32, set to 1 where the trimap has other values than 0, 128 and 255.
        """
        bytes_hw = hw[0], -(-hw[1] // 8)
        self.launch("unknown_bits", stream, bytes_hw, trimap, bits, strange, *map(np.int32, hw))

    def guide(self, stream: Stream, trimap: int, rows: int, squared: int, hw: tuple[int, int]) -> None:
        """Compute squared distances (2, *hw) uint16 of a trimap (*hw) uint8 to background and foreground.

        They are 65535 beyond 92 pixels. rows: (2, *hw) uint8, written on the way.
        """
        size = tuple(map(np.int32, hw))
        self.launch("guide_rows", stream, hw, trimap, rows, *size)
        self.launch("guide_columns", stream, hw, rows, squared, *size, layers=2)

    def gather(
        self, stream: Stream, batch: int, inputs: Mapping[str, int], patch_hw: tuple[int, int], count: int
    ) -> None:
        """Cut the first `count` patches of a `batch_record` on the device; zeros where there is none.

        inputs: addresses of image (count, 3, *patch_hw), trimap (count, 3, *patch_hw) and guide (count, 2, *patch_hw),
        float32, which are written.
        """
        targets = (inputs["image"], inputs["trimap"], inputs["guide"])
        self.launch("gather", stream, patch_hw, batch, *targets, *map(np.int32, patch_hw), layers=count)

    def accumulate(self, stream: Stream, batch: int, alpha: int, patch_hw: tuple[int, int], count: int) -> None:
        """Add alpha (count, 1, *patch_hw) float32 of the first patches of a `batch_record` to its total and weight."""
        self.launch("accumulate", stream, patch_hw, batch, alpha, *map(np.int32, patch_hw), layers=count)

    def finish(
        self, stream: Stream, planes: Mapping[str, int], target: int, plan: Plan, dtype: "np.dtype[Any]", truncate: bool
    ) -> None:
        """Write alpha (*image_hw) of dtype float32, uint8 or uint16 from the planes that `accumulate` takes.

        truncate: round levels down instead of to the nearest.
        """
        name = f"finish_{dtype.name}{'_truncated' if truncate and dtype.kind == 'u' else ''}"
        numbers = map(np.int32, (plan.padded_hw[1], *plan.image_hw, *plan.offset_yx))
        places = (planes["total"], planes["weight"], planes["trimap"], target)
        self.launch(name, stream, plan.image_hw, *places, *numbers)

    def halve(self, stream: Stream, source: int, target: int, hw: tuple[int, int], strides: tuple[int, int]) -> None:
        """Write means of 2x2 pixels of four planes (*hw) float32, light and alpha, each `strides` rows behind the one
        before: those of the source, and of the target."""
        halved = -(-hw[0] // 2), -(-hw[1] // 2)
        self.launch("halve", stream, halved, source, target, *map(np.int32, (*hw, *strides)), layers=4)

    def sweep(self, stream: Stream, part: "LevelPart", coarser: int, swept: tuple[int, int]) -> int:
        """Sweep the colours of a part of a level, which begin with those of the coarser one.

        swept: addresses of two buffers (6, rows, width) float32, which are written. Returns the one with the result.
        """
        hw = part.rows, part.width
        begin = map(np.int32, (*hw, part.coarser_height, part.first))
        self.launch("begin_colours", stream, hw, coarser, swept[0], *begin, layers=6)
        numbers: tuple[Argument, ...] = (*map(np.int32, (*hw, part.stride)), *map(np.float32, part.bounds))
        for _ in range(part.sweeps):
            self.launch("sweep_colours", stream, hw, part.light, part.alpha, *swept, *numbers, layers=3)
            swept = swept[1], swept[0]
        return swept[0]

    def mixed_tiles(self, stream: Stream, part: "LevelPart", shown: int, tiles_hw: tuple[int, int], tile: int) -> None:
        """Mark which tiles foreground, and what lies behind it, show in or near: 1 in shown (*tiles_hw, 2) uint8."""
        numbers = map(np.int32, (part.rows, part.width, part.first, *tiles_hw, tile, part.sweeps))
        self.launch("mixed_tiles", stream, (part.rows, tiles_hw[1]), part.alpha, shown, *numbers)

    def settle(
        self,
        stream: Stream,
        part: "LevelPart",
        addresses: tuple[int, int, int, int],
        into: tuple[int, int, int],
        window: tuple[int, int],
        tile: int,
    ) -> None:
        """Write the colours of a part of a level, those of tiles that are not mixed from the coarser level.

        addresses: of the coarser level, of what is swept (6, rows, width), of `mixed_tiles`' marks and of the target.
        into: planes of the target, 3 or 6, rows from one to the next, and its rows. window: the first of those in the
        level, and in the part.
        """
        (planes, stride, rows), (top, skipped) = into, window
        at = skipped * part.width * np.dtype(np.float32).itemsize
        sizes = (rows, part.width, part.stride, part.coarser_height, part.rows, stride, top, skipped, planes, tile)
        numbers: tuple[Argument, ...] = (*map(np.int32, sizes), *map(np.float32, part.bounds))
        places = (part.light + at, part.alpha + at, *addresses)
        self.launch("settle_colours", stream, (rows, part.width), *places, *numbers, layers=3)

    def launch(self, name: str, stream: Stream, hw: tuple[int, int], *arguments: Argument, layers: int = 1) -> None:
        """Launch a kernel with a thread for each of `hw` pixels, in each of `layers`."""
        grid = (-(-hw[1] // _BLOCK[0]), -(-hw[0] // _BLOCK[1]), layers)
        self._kernels[name].launch(stream, grid, _BLOCK, *arguments)
