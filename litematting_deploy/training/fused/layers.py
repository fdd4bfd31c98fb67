"""The parts of the network that use the kernels."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...model import LiteMatting
from ...model.layers import MobileBlock
from ...model.modules import PYRAMID_SCALES, EfficientNonLocalBlock
from ...model.pooling import averaging_matrix
from .functions import BlockMiddle, NormActivation

Block = tuple[
    nn.Conv2d, nn.GroupNorm, nn.Module, nn.Conv2d, nn.GroupNorm, nn.Module, nn.Conv2d, nn.GroupNorm
]  # fmt: skip
"""The layers of a fused block."""

LANES = 16  # as in vectors.h


def fuse(model: LiteMatting) -> None:
    """Make the network compute norms, activations and the middles of its blocks with the kernels.

    Layers, parameters and state-dict names do not change; only the forward passes of their containers do. Without
    autocast to bfloat16, everything is computed as before.
    """
    for module in model.modules():
        # The class is replaced, not the object, because the network holds each part under two names (see
        # `LiteMatting`).
        if type(module) is nn.Sequential:
            module.__class__ = FusedSequential
        elif type(module) is MobileBlock and _is_fusible(module):
            module.__class__ = FusedBlock
        elif type(module) is EfficientNonLocalBlock and module.sampling == "pyramid":
            module.__class__ = FusedNonLocalBlock


class FusedSequential(nn.Sequential):
    """A sequence that computes a group norm and the activation after it together."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, C, H, W) after all layers."""
        layers = list(self)
        while layers:
            layer = layers.pop(0)
            fused = x.dtype == torch.bfloat16 and all(value.dtype == torch.float32 for value in layer.parameters())
            if fused and isinstance(layer, nn.GroupNorm):
                activation = layers.pop(0) if layers and _is_activation(layers[0], x.shape[1]) else None
                x = NormActivation.of(x, layer, activation)
            elif fused and isinstance(layer, nn.PReLU) and _is_activation(layer, x.shape[1]):
                x = NormActivation.of(x, None, layer)
            else:
                x = layer(x)
        return x


class FusedBlock(MobileBlock):
    """A mobile block whose middle is one function."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's result: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
        expand, norm, activation, depthwise, norm_after, _, project, last_norm = cast(Block, tuple(self.conv))
        y: Tensor = expand(functional.pad(x, (1, 1, 1, 1)))
        if y.dtype == torch.bfloat16 and norm.weight.dtype == torch.float32:
            y = BlockMiddle.of(y, norm, activation, depthwise, norm_after)
            y = NormActivation.of(project(y), last_norm, None)
        else:
            for layer in list(self.conv)[1:]:
                y = layer(y)
        return x + y if self.residual else y


class FusedNonLocalBlock(EfficientNonLocalBlock):
    """The ENB, which computes its pyramid of averages as a matrix product over a channels-last map."""

    def _sample(self, x: Tensor) -> Tensor:
        """Return the positions that attention sees: (N, C, h, w) -> (N, C, S)."""
        return pyramid(x, PYRAMID_SCALES) if x.dtype == torch.bfloat16 else super()._sample(x)

    def _sample_value(self, guidance: Tensor) -> Tensor:
        """Return value where attention sees it: the convolution of averages is the average of the convolution."""
        if guidance.dtype != torch.bfloat16:
            return super()._sample_value(guidance)
        return cast(Tensor, self.f_value(self._sample(guidance)[..., None]))[..., 0]


def pyramid(x: Tensor, scales: tuple[int, ...]) -> Tensor:
    """Pool x (N, C, H, W), bfloat16, as `model.pooling.pyramid` does: (N, C, sum of scale²).

    The sums along rows are the only pass over the large map. They are products with ones and zeros, added in float32
    and rounded to bfloat16; everything after them is float32.
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


def _is_activation(layer: nn.Module, channels: int) -> bool:
    """Return whether the kernels know an activation of a map with `channels`."""
    if isinstance(layer, nn.PReLU):
        return layer.num_parameters == channels
    return isinstance(layer, nn.ReLU | nn.ReLU6 | nn.LeakyReLU)


def _is_fusible(block: MobileBlock) -> bool:
    """Return whether a block's middle is what the kernels compute: with group norms, and whole vectors of channels."""
    _, norm, activation, depthwise, norm_after, activation_after, _, _ = cast(Block, tuple(block.conv))
    return (
        isinstance(norm, nn.GroupNorm)
        and (norm.num_groups, norm.eps) == (norm_after.num_groups, norm_after.eps)
        and repr(activation) == repr(activation_after)
        and type(activation) in (nn.ReLU, nn.LeakyReLU)
        and depthwise.out_channels % LANES == 0
    )
