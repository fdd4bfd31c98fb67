"""Normalisation as the published network chooses it."""

from torch import nn

from .config import Norm

EPSILON = 1e-5


def normalisation(channels: int, norm: Norm, groups: int | None = None) -> nn.Module:
    """GroupNorm with `groups`, or the first of 32, 16, 8, 4 that divides `channels`; BatchNorm for `norm="batch"`."""
    if norm == "batch":
        return nn.BatchNorm2d(channels, eps=EPSILON)
    if groups is None:
        groups = next(count for count in (32, 16, 8, 4) if channels % count == 0)
    return nn.GroupNorm(groups, channels, eps=EPSILON)
