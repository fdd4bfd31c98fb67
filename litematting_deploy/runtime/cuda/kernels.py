"""The kernels of `kernels.cu`, one method a step. Addresses are integers; a plan says how large everything is."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from ...matting.patches import Plan
from .protocol import Argument, Cuda, Kernel, Stream

_BLOCK = (32, 8, 1)  # a warp lies along a row, so that its reads of neighbouring pixels become one

NAMES = (
    *("pad", "unknown_bits", "guide_rows", "guide_columns", "gather", "accumulate"),
    *("finish_float32", "finish_uint8", "finish_uint16", "finish_uint8_truncated", "finish_uint16_truncated"),
)


def source() -> str:
    """Return the CUDA C++ of all kernels."""
    return (files(__package__) / "kernels.cu").read_text()


class Kernels:
    """The kernels, compiled for a device and loaded there."""

    def __init__(self, cuda: Cuda) -> None:
        module = cuda.module(source())
        self._kernels: dict[str, Kernel] = {name: module.kernel(name) for name in NAMES}

    def pad(self, stream: Stream, source: int, target: int, plan: Plan, *, channels: int, constant: int | None) -> None:
        """Copy (*image_hw, channels) uint8 into (*padded_hw, channels); around it is its edge or `constant`."""
        numbers = (*plan.image_hw, *plan.padded_hw, *plan.offset_yx, channels, -1 if constant is None else constant)
        self._launch("pad", stream, plan.padded_hw, source, target, *map(np.int32, numbers))

    def unknown_bits(self, stream: Stream, trimap: int, bits: int, strange: int, hw: tuple[int, int]) -> None:
        """Write bits (H, ceil(W / 8)) uint8, a `BitMask` of the unknown pixels of a trimap (*hw) uint8.

        strange: an int32, set to 1 where the trimap has other values than 0, 128 and 255.
        """
        bytes_hw = hw[0], -(-hw[1] // 8)
        self._launch("unknown_bits", stream, bytes_hw, trimap, bits, strange, *map(np.int32, hw))

    def guide(self, stream: Stream, trimap: int, rows: int, squared: int, hw: tuple[int, int]) -> None:
        """Compute squared distances (2, *hw) uint16 of a trimap (*hw) uint8 to background and foreground.

        They are 65535 beyond 92 pixels. rows: (2, *hw) uint8, written on the way.
        """
        size = tuple(map(np.int32, hw))
        self._launch("guide_rows", stream, hw, trimap, rows, *size)
        self._launch("guide_columns", stream, hw, rows, squared, *size, layers=2)

    def gather(
        self, stream: Stream, planes: Mapping[str, int], corners: int, inputs: Mapping[str, int], plan: Plan, batch: int
    ) -> None:
        """Cut a batch of engine inputs at `corners` (batch, 2) int32 y and x; zeros where y is negative.

        planes: addresses of image (*padded_hw, 3) uint8, trimap (*padded_hw) uint8 and squared (2, *padded_hw) uint16.
        inputs: addresses of image (batch, 3, *patch_hw), trimap (batch, 3, *patch_hw) and guide (batch, 2, *patch_hw),
        float32.
        """
        sources = (planes["image"], planes["trimap"], planes["squared"])
        targets = (inputs["image"], inputs["trimap"], inputs["guide"])
        numbers = map(np.int32, (*plan.padded_hw, *plan.patch_hw))
        self._launch("gather", stream, plan.patch_hw, *sources, corners, *targets, *numbers, layers=batch)

    def accumulate(
        self, stream: Stream, alpha: int, corners: int, index: int, planes: Mapping[str, int], bad: int, plan: Plan
    ) -> None:
        """Add the patch at `index` of alpha (batch, 1, *patch_hw) float32 to the planes total and weight.

        planes: addresses of trimap (*padded_hw) uint8, total and weight (*padded_hw) float32. bad: an int32, set to 1
        where an alpha that counts is not finite.
        """
        places = (alpha, corners, np.int32(index), planes["trimap"], planes["total"], planes["weight"], bad)
        numbers = map(np.int32, (plan.padded_hw[1], *plan.patch_hw))
        self._launch("accumulate", stream, plan.patch_hw, *places, *numbers)

    def finish(
        self, stream: Stream, planes: Mapping[str, int], target: int, plan: Plan, dtype: "np.dtype[Any]", truncate: bool
    ) -> None:
        """Write alpha (*image_hw) of dtype float32, uint8 or uint16 from the planes that `accumulate` takes.

        truncate: round levels down instead of to the nearest.
        """
        name = f"finish_{dtype.name}{'_truncated' if truncate and dtype.kind == 'u' else ''}"
        numbers = map(np.int32, (plan.padded_hw[1], *plan.image_hw, *plan.offset_yx))
        places = (planes["total"], planes["weight"], planes["trimap"], target)
        self._launch(name, stream, plan.image_hw, *places, *numbers)

    def _launch(self, name: str, stream: Stream, hw: tuple[int, int], *arguments: Argument, layers: int = 1) -> None:
        """Launch a kernel with a thread for each of `hw` pixels, in each of `layers`."""
        grid = (-(-hw[1] // _BLOCK[0]), -(-hw[0] // _BLOCK[1]), layers)
        self._kernels[name].launch(stream, grid, _BLOCK, *arguments)
