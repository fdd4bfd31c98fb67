"""The paper's two modules: LSRPPM (section 3.2, figures 3c, 4, 5) and ENB (section 3.3, figure 7, equations 4 to 9)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import ModelConfig
from .layers import normalisation
from .pooling import Size, adaptive_average, pyramid

PYRAMID_SCALES = (1, 3, 6, 8)
SINGLE_SCALE = 15
# name: (pool size, kernel), height first; None spans the whole axis
BRANCHES: dict[str, tuple[Size, tuple[int, int]]] = {
    "conv1": ((5, 5), (3, 3)),
    "conv2": ((13, 13), (3, 3)),
    "conv3": ((1, None), (1, 3)),
    "conv4": ((None, 1), (3, 1)),
    "conv5": ((15, 7), (5, 3)),
    "conv6": ((7, 15), (3, 5)),
    "conv7": ((23, 11), (7, 3)),
    "conv8": ((11, 23), (3, 7)),
}
PAIRS = (("conv1", "conv2"), ("conv5", "conv6"), ("conv7", "conv8"), ("conv3", "conv4"))


def _conv_norm_relu(
    in_channels: int, out_channels: int, kernel: tuple[int, int], config: ModelConfig
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return a convolution padded by half its kernel, its norm and the activation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=(kernel[0] // 2, kernel[1] // 2), bias=False)
    return conv, normalisation(out_channels, config.norm), nn.ReLU()


class LongShortRangePyramidPooling(nn.Module):
    """LSRPPM: eight pools of differing reach, merged in pairs; attribute names as published."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.form = config.pooling
        inner = 40
        self.trans = nn.Sequential(
            *_conv_norm_relu(320, 160, (1, 1), config), *_conv_norm_relu(160, inner, (1, 1), config)
        )
        for name, (_, kernel) in BRANCHES.items():
            self.add_module(name, nn.Sequential(*_conv_norm_relu(inner, inner, kernel, config)))
        self.conv = nn.Sequential(*_conv_norm_relu(inner, inner, (3, 3), config))

    def _branch(self, x: Tensor, name: str) -> Tensor:
        """Return what one pool makes of (N, C, h, w), enlarged to the same shape again."""
        pooled = self.get_submodule(name)(adaptive_average(x, BRANCHES[name][0], self.form))
        return functional.interpolate(pooled, size=x.shape[2:], mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 320, h, w) at 1/32 -> (N, 160, h, w)."""
        x = self.trans(x)
        merged = [self.conv(functional.relu(self._branch(x, a) + self._branch(x, b))) for a, b in PAIRS]
        return torch.cat(merged, dim=1)


class EfficientNonLocalBlock(nn.Module):
    """ENB: attention from each high-level position to pooled low-level features; attribute names as published."""

    def __init__(self, config: ModelConfig, high: int = 160, low: int = 64, inner: int = 80) -> None:
        super().__init__()
        self.form = config.pooling
        self.sampling = config.enb_pooling
        self.scale = inner**-0.5  # as in scaled dot-product attention, so that the softmax does not saturate
        self.f_query = nn.Sequential(nn.Conv2d(high, inner, 1), normalisation(inner, config.norm), nn.LeakyReLU(0.01))
        self.f_key = nn.Sequential(nn.Conv2d(low, inner, 1), normalisation(inner, config.norm), nn.LeakyReLU(0.01))
        self.f_value = nn.Conv2d(low, inner, 1)
        self.W = nn.Conv2d(inner, inner, 1)
        self.conv_bn_dropout = nn.Sequential(nn.Conv2d(inner + high, inner, 1), normalisation(inner, config.norm))

    def _sample(self, x: Tensor) -> Tensor:
        """Return the positions that attention sees: (N, C, h, w) -> (N, C, S)."""
        if self.sampling == "pyramid":
            return pyramid(x, PYRAMID_SCALES, self.form)
        if self.sampling == "average":
            return adaptive_average(x, (SINGLE_SCALE, SINGLE_SCALE), self.form).flatten(2)
        if self.sampling == "max":
            return functional.adaptive_max_pool2d(x, SINGLE_SCALE).flatten(2)
        return x.flatten(2)

    def _sample_value(self, guidance: Tensor) -> Tensor:
        """Return value where attention sees it. A 1x1 convolution of averages is the average of the convolution, and
        cheaper.

        Pooling's `adaptive` form keeps the published order, whose operations the paper counts.
        """
        if self.form == "adaptive" or self.sampling == "max":
            return self._sample(cast(Tensor, self.f_value(guidance)))
        return cast(Tensor, self.f_value(self._sample(guidance)[..., None]))[..., 0]

    def forward(self, high: Tensor, guidance: Tensor, foreground_or_unknown: Tensor) -> Tensor:
        """Refine `high` by the guidance.

        high: (N, 160, h, w), En-6 at 1/32. guidance: (N, 64, 16h, 16w), low-level features at 1/2.
        foreground_or_unknown: (N, 1, h, w), 1 where the trimap is not background. Returns (N, 80, h, w).
        """
        high = high * foreground_or_unknown
        query = self.f_query(high).flatten(2).transpose(1, 2)
        key = self._sample(self.f_key(guidance))
        value = self._sample_value(guidance).transpose(1, 2)
        scores = (query @ key * self.scale).float()  # softmax stays float32 in a half-precision model
        context = scores.softmax(dim=-1).to(value.dtype) @ value
        context = context.transpose(1, 2).reshape(high.shape[0], -1, high.shape[2], high.shape[3])
        return cast(Tensor, self.conv_bn_dropout(torch.cat([self.W(context), high], dim=1)))
