"""Maps between the layers of the form for GPUs, and what several of its layers do with them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from .drawing import Tensor, concat

Activation = Callable[[Tensor], Tensor]
F32 = np.dtype(np.float32)


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return x.apply("Relu")


def activation(layer: Any) -> Activation:
    """Return what an activation of the model is in the graph."""
    if isinstance(layer, nn.ReLU):
        return relu
    if isinstance(layer, nn.ReLU6):
        return lambda x: x.clip(0, 6)
    assert isinstance(layer, nn.LeakyReLU)
    slope = layer.negative_slope
    return lambda x: x.apply("LeakyRelu", alpha=slope)


@dataclass(frozen=True)
class Affine:
    """Values that are still to be scaled and shifted: y (N, C, H, W) times scale plus shift, (N, C, 1, 1) float32.

    mean: of the result's channels, (N, C, 1, 1) float32.
    """

    y: Tensor
    scale: Tensor
    shift: Tensor
    mean: Tensor

    def values(self, offset: Tensor | None = None) -> Tensor:
        """Return (N, C, H, W) float32, less `offset` (N, C, 1, 1)."""
        return scaled(self.y, self.scale, self.shift if offset is None else self.shift - offset)


@dataclass(frozen=True)
class Centred:
    """A map x (N, C, H, W) as `values`, x less `centre`, with one pixel of padding around or none.

    centre: (N, C, 1, 1) float32, the mean of the padded x. mean: that of x itself.
    """

    values: Tensor
    centre: Tensor
    mean: Tensor
    padded: bool = True

    def plain(self) -> Tensor:
        """Return x, float32."""
        height, width = self.values.hw
        inner = self.values.crop(1, 1, height - 2, width - 2) if self.padded else self.values
        return inner.cast(F32) + self.centre


@dataclass(frozen=True)
class Joined:
    """A map (N, C, H, W) float32 that was enlarged, and what is to be joined behind it. mean: of the former."""

    large: Tensor
    skip: "Map"
    mean: Tensor


Map = Tensor | Affine | Centred | Joined
"""A map between stages. As a tensor, in the graph's own precision."""


def size_of(x: Map) -> tuple[int, int]:
    """Return height and width of a map."""
    if isinstance(x, Joined):
        return x.large.hw
    return x.hw if isinstance(x, Tensor) else (x.y if isinstance(x, Affine) else x.values).hw


def scaled(y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return y * scale + shift in float32.

    -y, for TensorRT would join the cast with that of the statistics, and keep its float32 result in memory between.
    """
    return shift - (-y).cast(F32) * scale


def padded_share(height: int, width: int) -> float:
    """Pixels of a map over those of the map with its padding."""
    return height * width / ((height + 2) * (width + 2))


def bordered(x: Tensor, centre: Tensor) -> Tensor:
    """Return x (N, C, H, W), from which `centre` was taken, with one pixel of 0 - centre around."""
    height, width = x.hw
    zero = -centre
    side, row = zero.expand(1, 1, height, 1), zero.expand(1, 1, 1, width + 2)
    return concat([row, concat([side, x, side], 3), row], 2)


def mean_of_parts(x: Tensor) -> Tensor:
    """Return the mean of x (N, G, parts) over its parts, (N, G, 1), as additions, which go into whatever kernel needs
    it."""
    parts = x.shape[2]
    assert parts is not None
    total = x.window(2, 0, 1)
    for index in range(1, parts):
        total = total + x.window(2, index, index + 1)
    return total * (1 / parts)


def of_groups(
    means: Tensor, variances: Tensor, groups: int, parts: int, unrolled: bool = False
) -> tuple[Tensor, Tensor]:
    """Return mean and variance (N, G, 1) of groups, from those of `parts` equal parts of each.

    unrolled: as additions, which go into the kernel that needs them, in place of a reduction, which is one.
    """
    means, variances = (part.reshape(-1, groups, parts) for part in (means, variances))
    if parts == 1:
        return means, variances

    average = mean_of_parts if unrolled else lambda x: x.mean(2)
    mean = average(means)
    apart = means - mean
    return mean, average(variances + apart * apart)
