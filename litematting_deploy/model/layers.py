"""Layers that the parts of the network share: norms, and the modified mobile block (paper section 3.1, figure 3b)."""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import Norm

EPSILON = 1e-5


def normalisation(channels: int, norm: Norm, groups: int | None = None) -> nn.Module:
    """Return GroupNorm with `groups`, or the first of 32, 16, 8, 4 that divides `channels`; BatchNorm for
    `norm="batch"`."""
    if norm == "batch":
        return nn.BatchNorm2d(channels, eps=EPSILON)
    if groups is None:
        groups = next(count for count in (32, 16, 8, 4) if channels % count == 0)
    return nn.GroupNorm(groups, channels, eps=EPSILON)


class MobileBlock(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1, each normalised; plus the input where the shapes allow.

    Differs from MobileNetV2's block in the norm, in the activation and in padding the block's input rather than the
    depthwise convolution's: the first norm sees the padded (H+2) x (W+2) map.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int, norm: Norm, stride: int = 1, leaky: bool = False
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        activation = partial(nn.LeakyReLU, 0.01) if leaky else nn.ReLU
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=False),
            normalisation(hidden, norm),
            activation(),
            nn.Conv2d(hidden, hidden, 3, stride, groups=hidden, bias=False),
            normalisation(hidden, norm),
            activation(),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            normalisation(out_channels, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, in, H, W) -> (N, out, H / stride, W / stride)."""
        y = cast(Tensor, self.conv(functional.pad(x, (1, 1, 1, 1))))
        return x + y if self.residual else y


def encoder_stage(
    count: int, expansion: int, in_channels: int, out_channels: int, stride: int, norm: Norm
) -> nn.Sequential:
    """Return `count` ReLU blocks of hidden width expansion x in; the first has the stride and changes the channels."""
    blocks = [MobileBlock(in_channels, out_channels, expansion * in_channels, norm, stride)]
    blocks += [MobileBlock(out_channels, out_channels, expansion * out_channels, norm) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


def decoder_stage(in_channels: int, out_channels: int, norm: Norm) -> nn.Sequential:
    """Return three leaky blocks of hidden width 4 x out."""
    widths = (in_channels, out_channels, out_channels)
    return nn.Sequential(*(MobileBlock(width, out_channels, 4 * out_channels, norm, leaky=True) for width in widths))


def upsample_and_join(x: Tensor, skip: Tensor) -> Tensor:
    """Enlarge `x` (N, C, H, W) twice to (N, C, 2H, 2W), nearest, and put the encoder's `skip` (N, D, 2H, 2W) behind
    it."""
    return torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1)
