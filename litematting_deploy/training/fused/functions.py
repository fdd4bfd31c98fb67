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


def slopes(activation: nn.Module | None, channels: int) -> tuple[Tensor, float]:
    """Return the form of an activation that the kernels know: slopes (channels,) below zero, and the largest value."""
    if activation is None:
        return torch.ones(channels), math.inf
    if isinstance(activation, nn.PReLU):
        return activation.weight, math.inf
    slope = activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0
    return torch.full((channels,), slope), 6.0 if isinstance(activation, nn.ReLU6) else math.inf


class NormActivation(torch.autograd.Function):
    """Group norm and activation of x (N, C, H, W); the activation alone if there are no groups."""

    @classmethod
    def of(cls, x: Tensor, norm: nn.GroupNorm | None, activation: nn.Module | None) -> Tensor:
        """Return what a norm and an activation, or one of them, make of x (N, C, H, W), bfloat16."""
        slope, cap = slopes(activation, x.shape[1])
        if norm is None:
            return _applied(cls, x, None, None, slope, cap, 0, 0.0)
        return _applied(cls, x, norm.weight, norm.bias, slope, cap, norm.num_groups, norm.eps)

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor | None, beta: Tensor | None, slope: Tensor, cap: float, groups: int,
        epsilon: float,
    ) -> Tensor:  # fmt: skip
        """Return the activated map. gamma, beta: (C,), None without groups. slope, cap: as `slopes` returns them."""
        x = channels_last(x)
        sizes = (len(x), math.prod(x.shape[2:]), x.shape[1], groups)
        y, statistics = torch.empty_like(x), torch.empty(2, len(x) * groups)
        kernels().call("norm_forward", x, y, gamma, beta, slope, cap, *statistics, *sizes, epsilon)
        ctx.save_for_backward(x, gamma, beta, slope, statistics)
        ctx.cap, ctx.sizes = cap, sizes
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        """Return the gradients of x, gamma, beta and slope."""
        x, gamma, beta, slope, statistics = ctx.saved_tensors
        dx = torch.empty_like(x)
        dgamma, dbeta = (None, None) if gamma is None else torch.zeros(2, len(gamma))
        dslope = torch.zeros_like(slope) if ctx.needs_input_grad[3] else None
        kernels().call(
            "norm_backward", channels_last(dy), x, dx, gamma, beta, slope, ctx.cap, *statistics, dgamma, dbeta, dslope,
            *ctx.sizes,
        )  # fmt: skip
        return dx, dgamma, dbeta, dslope, None, None, None


class BlockMiddle(torch.autograd.Function):
    """What lies between the 1x1 convolutions of a mobile block: norm, activation, depthwise 3x3, norm, activation."""

    @classmethod
    def of(cls, x: Tensor, norm: nn.GroupNorm, depthwise: nn.Conv2d, after: nn.GroupNorm, slope: Tensor) -> Tensor:
        """Return what these layers make of x (N, C, H, W), bfloat16, with both activations' slope (C,) below zero."""
        parameters = (depthwise.weight, norm.weight, norm.bias, after.weight, after.bias)
        rest = (slope, norm.num_groups, depthwise.stride[0], norm.eps)
        return _applied(cls, x, *parameters, *rest)

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, gamma: Tensor, beta: Tensor, gamma_after: Tensor, beta_after: Tensor,
        slope: Tensor, groups: int, stride: int, epsilon: float,
    ) -> Tensor:  # fmt: skip
        """Return (N, C, h, w).

        x: (N, C, H, W), already padded; C is a multiple of 16. kernel: (C, 1, 3, 3). slope: (C,). gamma and beta of
        the norm before and of the one after the convolution: (C,) each.
        """
        x, taps = channels_last(x), kernel.detach().flatten(1).T.contiguous()
        n, channels, height, width = x.shape
        size = (n, channels, (height - 3) // stride + 1, (width - 3) // stride + 1)
        between, y = (torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last) for _ in range(2))
        affine, statistics = (gamma, beta, gamma_after, beta_after), torch.empty(4, n * groups)
        sizes = (n, height, width, channels, groups, stride)
        kernels().call("block_forward", x, taps, affine, between, y, tuple(statistics), slope, *sizes, epsilon)
        ctx.save_for_backward(x, between, taps, *affine, slope, statistics)
        ctx.sizes = sizes
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        """Return the gradients of x, of the kernel, and of gamma and beta before and after it."""
        x, between, taps, *affine, slope, statistics = ctx.saved_tensors
        dx, dtaps, gradients = torch.empty_like(x), torch.zeros_like(taps), torch.zeros(4, x.shape[1])
        kernels().call(
            "block_backward", channels_last(dy), x, between, taps, affine, tuple(statistics), slope, dx, dtaps,
            tuple(gradients), *ctx.sizes,
        )  # fmt: skip
        return dx, dtaps.T.reshape(-1, 1, 3, 3), *gradients, None, None, None, None


def _applied(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """Return what a function makes of its arguments."""
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result
