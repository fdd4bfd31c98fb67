"""The network's parts with the kernels in them."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...model import LiteMatting
from ...model.layers import MobileBlock
from ...model.modules import PYRAMID_SCALES, EfficientNonLocalBlock
from ...model.pooling import averaging_matrix
from .build import LANES
from .functions import BlockMiddle, NormActivation, slopes

Block = tuple[
    nn.Conv2d, nn.GroupNorm, nn.Module, nn.Conv2d, nn.GroupNorm, nn.Module, nn.Conv2d, nn.GroupNorm
]  # fmt: skip
"""The layers of `MobileBlock.conv`."""

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU)


def fuse(model: LiteMatting) -> None:
    """Let the network compute norms, activations and the middles of its blocks by the kernels.

    Its layers, parameters and their names stay as they are; only what their containers do with them changes. In
    float32, without autocast, everything is computed as before.
    """
    for module in model.modules():
        # The class changes, not the object, because the network knows each part by two names (see `LiteMatting`).
        for plain, fused in ((MobileBlock, FusedBlock), (EfficientNonLocalBlock, FusedNonLocalBlock)):
            if type(module) is plain:
                module.__class__ = fused
        if type(module) is nn.Sequential:
            module.__class__ = FusedSequential


class FusedSequential(nn.Sequential):
    """A sequence in which a group norm and the activation behind it are computed together."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layers make of x (N, C, H, W)."""
        layers = list(self)
        while layers:
            layer = layers.pop(0)
            if isinstance(layer, nn.GroupNorm) and x.dtype == torch.bfloat16:
                activation = layers.pop(0) if layers and isinstance(layers[0], ACTIVATIONS) else None
                x = NormActivation.of(x, layer, activation)
            elif isinstance(layer, nn.PReLU) and x.dtype == torch.bfloat16:
                x = NormActivation.of(x, None, layer)
            else:
                x = layer(x)
        return x


class FusedBlock(MobileBlock):
    """A mobile block whose middle is one function."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, in, H, W) -> (N, out, H / stride, W / stride)."""
        expand, norm, activation, depthwise, norm_after, _, project, last_norm = cast(Block, tuple(self.conv))
        y = expand(functional.pad(x, (1, 1, 1, 1)))
        if y.dtype != torch.bfloat16 or y.shape[1] % LANES or not isinstance(norm, nn.GroupNorm):
            return super().forward(x)
        slope, _ = slopes(activation, y.shape[1])
        y = BlockMiddle.of(y, norm, depthwise, norm_after, slope)
        y = NormActivation.of(project(y), last_norm, None)
        return x + y if self.residual else y


class FusedNonLocalBlock(EfficientNonLocalBlock):
    """The ENB, whose pyramid of averages is a product over a channels-last map."""

    def _sample(self, x: Tensor) -> Tensor:
        """Return the positions that attention sees: (N, C, h, w) -> (N, C, S)."""
        if self.sampling != "pyramid" or x.dtype != torch.bfloat16:
            return super()._sample(x)
        return pyramid(x, PYRAMID_SCALES)

    def _sample_value(self, guidance: Tensor) -> Tensor:
        """Return value where attention sees it: the convolution of averages is the average of the convolution."""
        if self.sampling != "pyramid":
            return super()._sample_value(guidance)
        return cast(Tensor, self.f_value(self._sample(guidance)[..., None]))[..., 0]


def pyramid(x: Tensor, scales: tuple[int, ...]) -> Tensor:
    """Pool x (N, C, H, W), bfloat16, as `model.pooling.pyramid` does: (N, C, sum of scale²).

    The sums along rows, the only ones over many values, are products with ones and zeros, which bfloat16 holds exactly.
    """
    n, channels, height, width = x.shape
    averages = torch.cat([averaging_matrix(scale, width) for scale in scales])
    sums = (averages > 0).to(x.dtype) @ x.permute(0, 2, 3, 1)  # (N, H, sum of scales, C)
    with torch.autocast("cpu", enabled=False):
        parts = torch.split(sums.float() * averages.amax(dim=1)[:, None], list(scales), dim=2)
        cells = [
            (averaging_matrix(scale, height) @ part.reshape(n, height, -1)).reshape(n, scale**2, channels)
            for scale, part in zip(scales, parts, strict=True)
        ]
        return torch.cat(cells, dim=1).transpose(1, 2).to(x.dtype)
