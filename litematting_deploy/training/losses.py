"""The paper's losses, equations (10) to (13), over the unknown pixels."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

PYRAMID_LEVELS = 5


class Losses(NamedTuple):
    """Scalars: the three losses and their sum (13), with lambda 1 each."""

    total: Tensor
    alpha: Tensor
    composition: Tensor
    laplacian: Tensor


def matting_losses(
    prediction: Tensor, alpha: Tensor, unknown: Tensor, image: Tensor, foreground: Tensor, background: Tensor
) -> Losses:
    """Return equation (13) with every lambda 1, in float32.

    prediction: (N, 1, H, W), unclamped.
    alpha: (N, 1, H, W), 0..1.
    unknown: (N, 1, H, W), 0 or 1.
    image, foreground, background: (N, 3, H, W), 0..1.

    As printed, (11) and (12) are sums over pixels, which would dwarf the mean (10). All three are divided by the
    number of unknown pixels in the batch. Known pixels, which inference overwrites, take part in none of them: the
    prediction there is replaced by the truth.
    """
    prediction = torch.where(unknown > 0, prediction.float(), alpha)
    count = unknown.sum().clamp(min=1)
    by_alpha = unknown_l1(prediction, alpha, unknown)
    by_composition = composition(prediction, image, foreground, background, unknown)
    by_laplacian = laplacian(prediction, alpha) / count
    return Losses(by_alpha + by_composition + by_laplacian, by_alpha, by_composition, by_laplacian)


def unknown_l1(prediction: Tensor, alpha: Tensor, unknown: Tensor) -> Tensor:
    """Return equation (10): the mean of |prediction - alpha| over unknown pixels. All (N, 1, H, W)."""
    return ((prediction - alpha).abs() * unknown).sum() / unknown.sum().clamp(min=1)


def composition(prediction: Tensor, image: Tensor, foreground: Tensor, background: Tensor, unknown: Tensor) -> Tensor:
    """Return equation (11) divided by the number of unknown pixels; the three channels of a pixel are summed.

    prediction, unknown: (N, 1, H, W); image, foreground, background: (N, 3, H, W), 0..1.
    """
    difference = image - background - prediction * (foreground - background)
    return (difference.abs() * unknown).sum() / unknown.sum().clamp(min=1)


def laplacian(prediction: Tensor, alpha: Tensor) -> Tensor:
    """Return equation (12), a sum: five levels of the Laplacian pyramid, level s weighed by 2^(s-1).

    Both (N, 1, H, W), H and W multiples of 32.
    """
    # The pyramid is linear, so that of the difference is the difference of the two.
    levels = laplacian_pyramid(prediction - alpha)
    return torch.stack([2.0**s * level.abs().sum() for s, level in enumerate(levels)]).sum()


def laplacian_pyramid(image: Tensor, levels: int = PYRAMID_LEVELS) -> list[Tensor]:
    """Return the band-pass levels of (N, 1, H, W), finest first: each is the image less its blurred half, enlarged
    again."""
    weights = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=image.device) / 16
    kernel = torch.outer(weights, weights)[None, None]
    pyramid = []
    for _ in range(levels):
        smaller = _blur(image, kernel)[..., ::2, ::2]
        enlarged = image.new_zeros(image.shape)
        enlarged[..., ::2, ::2] = smaller * 4
        pyramid.append(image - _blur(enlarged, kernel, mode="constant"))
        image = smaller
    return pyramid


def _blur(image: Tensor, kernel: Tensor, mode: str = "reflect") -> Tensor:
    return functional.conv2d(functional.pad(image, (2, 2, 2, 2), mode=mode), kernel)
