"""The kernels as differentiable functions of bfloat16 maps in channels-last order."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .build import kernels

Gradients = tuple[Tensor | None, ...]


def channels_last(value: Tensor) -> Tensor:
    """Return (N, C, H, W) with its memory in the order (N, H, W, C)."""
    return value.contiguous(memory_format=torch.channels_last)


def slopes(activation: nn.Module | None, channels: int) -> Tensor:
    """Return the slope of an activation below zero for each channel: (channels,) float32; 1 stands for none."""
    if isinstance(activation, nn.PReLU):
        return activation.weight
    leak = activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0
    return torch.full((channels,), 1.0 if activation is None else leak)


class NormActivation(torch.autograd.Function):
    """Group norm and activation, or one of them."""

    @classmethod
    def of(cls, x: Tensor, norm: nn.GroupNorm | None, activation: nn.Module | None) -> Tensor:
        """Return x (N, C, H, W), bfloat16, after the norm and the activation; either may be None."""
        slope, cap = slopes(activation, x.shape[1]), 6.0 if isinstance(activation, nn.ReLU6) else math.inf
        if norm is None:
            return _applied(cls, x, torch.ones_like(slope), torch.zeros_like(slope), slope, cap, 0, 0.0)
        return _applied(cls, x, norm.weight, norm.bias, slope, cap, norm.num_groups, norm.eps)

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, slope: Tensor, cap: float, groups: int, epsilon: float
    ) -> Tensor:
        """Return the activated map, as x.

        x: (N, C, H, W), bfloat16. gamma, beta: of the norm, (C,) float32; unused without groups. slope: (C,) float32.
        cap: the largest value after the activation.
        """
        x, parameters = channels_last(x), torch.stack([gamma, beta, slope])
        sizes = (len(x), math.prod(x.shape[2:]), x.shape[1], groups)
        y, statistics = torch.empty_like(x), torch.empty(len(x), 2, groups)
        kernels().call("norm_forward", x, y, parameters, cap, statistics, *sizes, epsilon)
        ctx.save_for_backward(x, parameters, statistics)
        ctx.cap, ctx.sizes = cap, sizes
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        """Return the gradients of x, gamma, beta and slope."""
        x, parameters, statistics = ctx.saved_tensors
        dx, gradients = torch.empty_like(x), torch.zeros(len(x), *parameters.shape)
        kernels().call(
            "norm_backward", channels_last(dy), x, dx, parameters, ctx.cap, statistics, gradients,
            ctx.needs_input_grad[3], *ctx.sizes,
        )  # fmt: skip
        return dx, *gradients.sum(0), None, None, None


class BlockMiddle(torch.autograd.Function):
    """What lies between the 1x1 convolutions of a mobile block: norm, activation, depthwise 3x3, norm, activation."""

    @classmethod
    def of(
        cls, x: Tensor, norm: nn.GroupNorm, activation: nn.Module, depthwise: nn.Conv2d, after: nn.GroupNorm
    ) -> Tensor:
        """Return x (N, C, H, W), bfloat16, after these layers and the activation once more.

        x is padded already, and C a multiple of 16. Both norms have the same groups.
        """
        parameters = (norm.weight, norm.bias, after.weight, after.bias, depthwise.weight)
        slope = slopes(activation, x.shape[1])
        return _applied(cls, x, *parameters, slope, norm.num_groups, depthwise.stride[0], norm.eps)

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, gamma_after: Tensor, beta_after: Tensor, kernel: Tensor,
        slope: Tensor, groups: int, stride: int, epsilon: float,
    ) -> Tensor:  # fmt: skip
        """Return the map after the second activation: (N, C, h, w), bfloat16.

        x: (N, C, H, W), bfloat16. kernel: (C, 1, 3, 3) float32. All others are (C,) float32.
        """
        x = channels_last(x)
        parameters = torch.cat([torch.stack([gamma, beta, gamma_after, beta_after, slope]), kernel.flatten(1).T])
        n, channels, height, width = x.shape
        size = (n, channels, (height - 3) // stride + 1, (width - 3) // stride + 1)
        between, y = (torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last) for _ in range(2))
        statistics, sizes = torch.empty(n, 4, groups), (n, height, width, channels, groups, stride)
        kernels().call("block_forward", x, parameters, between, y, statistics, *sizes, epsilon)
        ctx.save_for_backward(x, between, parameters, statistics)
        ctx.sizes = sizes
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        """Return the gradients of x, of both norms' gamma and beta, and of the kernel."""
        x, between, parameters, statistics = ctx.saved_tensors
        dx, gradients = torch.empty_like(x), torch.zeros(len(x), *parameters.shape)
        kernels().call(
            "block_backward", channels_last(dy), x, between, parameters, statistics, dx, gradients, *ctx.sizes
        )
        *affine, _ = gradients[:, :5].sum(0)
        return dx, *affine, gradients[:, 5:].sum(0).T.reshape(-1, 1, 3, 3), None, None, None, None


def _applied(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """Return what a function makes of its arguments."""
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result
