"""Efficient Non-Local Block (paper section 3.3, figure 7; equations 4 to 9)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import ModelConfig
from .layers import normalisation
from .pooling import adaptive_average, pyramid

PYRAMID_SCALES = (1, 3, 6, 8)
SINGLE_SCALE = 15


class EfficientNonLocalBlock(nn.Module):
    """Attention from each high-level position to pooled low-level features; attribute names as published."""

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
