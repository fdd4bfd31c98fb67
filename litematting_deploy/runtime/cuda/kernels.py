"""The kernels of `kernels.cu`, one method a step. Addresses are integers; sizes are (height, width) in pixels."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from .protocol import Argument, Cuda, Kernel, Stream

_BLOCK = (32, 8, 1)

NAMES = (
    *("pad", "guide_rows", "guide_columns", "gather", "accumulate"),
    *("finish_float32", "finish_uint8", "finish_uint16", "finish_uint8_truncated", "finish_uint16_truncated"),
)


def source() -> str:
    """The CUDA C++ of all kernels."""
    return (files(__package__) / "kernels.cu").read_text()


class Kernels:
    """The kernels, compiled for a device and loaded there."""

    def __init__(self, cuda: Cuda) -> None:
        module = cuda.module(source())
        self._kernels: dict[str, Kernel] = {name: module.kernel(name) for name in NAMES}

    def pad(
        self,
        stream: Stream,
        source: int,
        target: int,
        *,
        image_hw: tuple[int, int],
        padded_hw: tuple[int, int],
        offset_yx: tuple[int, int],
        channels: int,
        constant: int | None,
    ) -> None:
        """(*image_hw, channels) uint8 into (*padded_hw, channels), around it its edge or `constant`."""
        numbers = (*image_hw, *padded_hw, *offset_yx, channels, -1 if constant is None else constant)
        self._launch("pad", stream, padded_hw, source, target, *map(np.int32, numbers))

    def guide(self, stream: Stream, trimap: int, rows: int, squared: int, hw: tuple[int, int]) -> None:
        """Squared distances (2, *hw) uint16 of a trimap (*hw) uint8 to background and foreground; 65535 beyond 92
        pixels. rows: (2, *hw) uint8, written on the way."""
        size = tuple(map(np.int32, hw))
        self._launch("guide_rows", stream, hw, trimap, rows, *size)
        self._launch("guide_columns", stream, hw, rows, squared, *size, layers=2)

    def gather(
        self,
        stream: Stream,
        image: int,
        trimap: int,
        squared: int,
        corners: int,
        inputs: Mapping[str, int],
        *,
        hw: tuple[int, int],
        patch_hw: tuple[int, int],
        batch: int,
    ) -> None:
        """A batch of engine inputs, cut at `corners` (batch, 2) int32 y and x; zeros where y is negative.

        inputs: addresses of image (batch, 3, *patch_hw), trimap (batch, 3, *patch_hw) and guide (batch, 2, *patch_hw),
        float32.
        """
        targets = (inputs["image"], inputs["trimap"], inputs["guide"])
        numbers = map(np.int32, (*hw, *patch_hw))
        self._launch("gather", stream, patch_hw, image, trimap, squared, corners, *targets, *numbers, layers=batch)

    def accumulate(
        self,
        stream: Stream,
        alpha: int,
        corners: int,
        index: int,
        trimap: int,
        total: int,
        weight: int,
        bad: int,
        *,
        hw: tuple[int, int],
        patch_hw: tuple[int, int],
    ) -> None:
        """Add the patch at `index` of alpha (batch, 1, *patch_hw) to total and weight (*hw) float32.

        bad: an int32, set to 1 where alpha is not finite.
        """
        places = (alpha, corners, np.int32(index), trimap, total, weight, bad)
        self._launch("accumulate", stream, patch_hw, *places, *map(np.int32, (hw[1], *patch_hw)))

    def finish(
        self,
        stream: Stream,
        total: int,
        weight: int,
        trimap: int,
        target: int,
        *,
        hw: tuple[int, int],
        image_hw: tuple[int, int],
        offset_yx: tuple[int, int],
        dtype: "np.dtype[Any]",
        truncate: bool = False,
    ) -> None:
        """Alpha (*image_hw) of dtype float32, uint8 or uint16 from planes (*hw); levels rounded or truncated."""
        name = f"finish_{dtype.name}{'_truncated' if truncate and dtype.kind == 'u' else ''}"
        numbers = map(np.int32, (hw[1], *image_hw, *offset_yx))
        self._launch(name, stream, image_hw, total, weight, trimap, target, *numbers)

    def _launch(self, name: str, stream: Stream, hw: tuple[int, int], *arguments: Argument, layers: int = 1) -> None:
        grid = (-(-hw[1] // _BLOCK[0]), -(-hw[0] // _BLOCK[1]), layers)
        self._kernels[name].launch(stream, grid, _BLOCK, *arguments)
