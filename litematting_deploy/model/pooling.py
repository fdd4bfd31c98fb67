"""Adaptive average pooling in three equal forms.

PyTorch's adaptive pooling averages, for output cell i of s over n inputs, the inputs floor(i n / s) up to
ceil((i + 1) n / s). ONNX has no such operator. With the sizes known, each axis is a product with a constant (s, n)
matrix of averages, which every ONNX consumer runs; strips over a whole axis are plain means. Where there are no matrix
products of float32 (TensorRT for RTX on Turing), the same product is a 1x1 convolution with that axis as its channels.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from .config import PoolingForm

Size: TypeAlias = tuple[int | None, int | None]
"""Output height and width of a pool; None keeps that axis of the input."""

Product: TypeAlias = Callable[[Tensor, int, Tensor], Tensor]
"""A product of x (N, C, H, W), along axis 2 or 3, with a matrix (cells, length)."""


def averaging_matrix(cells: int, length: int, device: torch.device | None = None) -> Tensor:
    """Return the (cells, length) float32 matrix whose product with a line is its adaptive average; rows sum to 1."""
    position = torch.arange(length, device=device)
    cell = torch.arange(cells, device=device)[:, None]
    start = cell * length // cells
    stop = -(-(cell + 1) * length // cells)
    inside = ((position >= start) & (position < stop)).to(torch.float32)
    return inside / inside.sum(dim=1, keepdim=True)


def _multiply(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Return the product as a matrix product."""
    return matrix @ x if axis == 2 else x @ matrix.T


def _convolve(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Return the product as a 1x1 convolution over the axis, which takes the place of the channels."""
    return functional.conv2d(x.transpose(1, axis), matrix[:, :, None, None]).transpose(1, axis)


_PRODUCTS: dict[PoolingForm, Product] = {"matmul": _multiply, "conv": _convolve}


def adaptive_average(x: Tensor, size: Size, form: PoolingForm) -> Tensor:
    """Return adaptive averages of (N, C, H, W) to (N, C, *size), averaged in float32 whatever the type of x."""
    if form == "adaptive":
        return functional.adaptive_avg_pool2d(x.float(), size).to(x.dtype)
    y = x.float()
    for axis, cells in ((3, size[1]), (2, size[0])):  # columns first, so that rows are averaged over fewer
        if cells == 1:
            y = y.mean(dim=axis, keepdim=True)
        elif cells is not None:
            y = _PRODUCTS[form](y, axis, averaging_matrix(cells, x.shape[axis], x.device))
    return y.to(x.dtype)


def pyramid(x: Tensor, scales: tuple[int, ...], form: PoolingForm) -> Tensor:
    """Pool (N, C, H, W) to each scale squared, flatten and join: (N, C, sum of scale²)."""
    if form == "adaptive":
        return torch.cat([adaptive_average(x, (scale, scale), form).flatten(2) for scale in scales], dim=2)
    height, width = x.shape[2:]
    product = _PRODUCTS[form]
    # The columns of all scales in one pass over x, which is large; what is left is small.
    columns = product(x.float(), 3, torch.cat([averaging_matrix(scale, width, x.device) for scale in scales]))
    cells = [
        product(part, 2, averaging_matrix(scale, height, x.device)).flatten(2)
        for scale, part in zip(scales, torch.split(columns, list(scales), dim=3), strict=True)
    ]
    return torch.cat(cells, dim=2).to(x.dtype)
