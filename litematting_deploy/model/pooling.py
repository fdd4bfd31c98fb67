"""Adaptive average pooling in two equal forms.

PyTorch's adaptive pooling averages, for output cell i of s over n inputs, the inputs floor(i n / s) up to
ceil((i + 1) n / s). ONNX has no such operator. With the sizes known, each axis is a product with a constant (s, n)
matrix of averages, which every ONNX consumer runs; strips over a whole axis are plain means.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from .config import PoolingForm

Size: TypeAlias = tuple[int | None, int | None]
"""Output height and width of a pool; None keeps that axis of the input."""


def averaging_matrix(cells: int, length: int, device: torch.device | None = None) -> Tensor:
    """The (cells, length) float32 matrix whose product with a line is its adaptive average; rows sum to 1."""
    position = torch.arange(length, device=device)
    cell = torch.arange(cells, device=device)[:, None]
    start = cell * length // cells
    stop = -(-(cell + 1) * length // cells)
    inside = ((position >= start) & (position < stop)).to(torch.float32)
    return inside / inside.sum(dim=1, keepdim=True)


def _pool_rows(x: Tensor, cells: int) -> Tensor:
    if cells == 1:
        return x.mean(dim=2, keepdim=True)
    return averaging_matrix(cells, x.shape[2], x.device) @ x


def _pool_columns(x: Tensor, cells: int) -> Tensor:
    if cells == 1:
        return x.mean(dim=3, keepdim=True)
    return x @ averaging_matrix(cells, x.shape[3], x.device).T


def _matmul_pool(x: Tensor, size: Size) -> Tensor:
    height, width = size
    y = x.float()
    if width is not None:
        y = _pool_columns(y, width)
    if height is not None:
        y = _pool_rows(y, height)
    return y.to(x.dtype)


def _adaptive_pool(x: Tensor, size: Size) -> Tensor:
    return functional.adaptive_avg_pool2d(x.float(), size).to(x.dtype)


_FORMS: dict[PoolingForm, Callable[[Tensor, Size], Tensor]] = {"adaptive": _adaptive_pool, "matmul": _matmul_pool}


def adaptive_average(x: Tensor, size: Size, form: PoolingForm) -> Tensor:
    """Adaptive average pooling of (N, C, H, W) to (N, C, *size), averaged in float32 whatever the type of x."""
    return _FORMS[form](x, size)


def pyramid(x: Tensor, scales: tuple[int, ...], form: PoolingForm) -> Tensor:
    """Pool (N, C, H, W) to each scale squared, flatten and join: (N, C, sum of scale²)."""
    return torch.cat([adaptive_average(x, (scale, scale), form).flatten(2) for scale in scales], dim=2)
