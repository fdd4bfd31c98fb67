"""Blur: backgrounds and whole scenes out of focus, for batches on any device."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .draws import chosen, log_uniform

Blur = Callable[[Tensor], Tensor]


def defocus(image: Tensor, rng: np.random.Generator, probability: float, always: list[int]) -> Tensor:
    """Blur some of the images (N, 3, H, W) as backgrounds out of focus are, and slightly the `always` ones.

    A Gaussian of 1 to 12 pixels, or a lens's disc of twice that radius.
    """
    soft, image = set(chosen(rng, probability, len(image))), image.clone()
    for i in sorted(soft.union(always)):
        one, size = image[i : i + 1], log_uniform(rng, 1, 12 if i in soft else 2.5)
        # Bright points stay bright only in light, which is about the square of what files hold.
        image[i : i + 1] = disc_blur(one.square(), 2 * size).sqrt() if rng.random() < 0.5 else gaussian(one, size)
    return image


def blur_scene(
    alpha: Tensor, foreground: Tensor, background: Tensor, rng: np.random.Generator, probability: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Put some whole scenes out of focus: the composite of what is returned is the blurred composite of what is given.

    alpha: (N, 1, H, W). foreground, background: (N, 3, H, W). Alpha is blurred, and so is what each layer adds.
    """
    made = [alpha.clone(), foreground.clone(), background.clone()]
    for i in chosen(rng, probability, len(alpha)):
        size, disc = log_uniform(rng, 0.5, 3), rng.random() < 0.5
        a, f, b = (layer[i : i + 1] for layer in (alpha, foreground, background))
        added = torch.cat([a, a * f, (1 - a) * b], dim=1)
        blurred = disc_blur(added, 2 * size) if disc else gaussian(added, size)
        soft, of_foreground, of_background = blurred[:, :1], blurred[:, 1:4], blurred[:, 4:]
        made[0][i] = soft[0]
        for layer, share, sharp, part in ((made[1], soft, f, of_foreground), (made[2], 1 - soft, b, of_background)):
            layer[i] = torch.where(share > 1e-4, part / share.clamp(min=1e-4), sharp)[0].clamp(0, 1)
    return made[0].clamp(0, 1), made[1], made[2]


def gaussian(image: Tensor, sigma: float) -> Tensor:
    """Separable; strong blurs are done at a fraction of the size, where they cost the same as weak ones."""
    factor = 2 ** max(0, math.floor(math.log2(sigma / 1.5)))

    def convolve(small: Tensor) -> Tensor:
        radius = min(math.ceil(3 * sigma / factor), min(small.shape[2:]) - 1)
        x = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
        kernel = torch.softmax(-x.square() / (2 * (sigma / factor) ** 2), dim=0)
        padded = functional.pad(small, (radius,) * 4, mode="reflect")
        return functional.conv2d(functional.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))

    return _at_a_fraction(image, factor, convolve)


def disc_blur(image: Tensor, radius: float) -> Tensor:
    """What a lens with a round aperture makes of a point: a disc of `radius` pixels. image: (N, C, H, W)."""
    factor = 2 ** max(0, math.floor(math.log2(radius / 2)))

    def convolve(small: Tensor) -> Tensor:
        reach = min(math.ceil(radius / factor), min(small.shape[2:]) - 1)
        x = torch.arange(-reach, reach + 1, device=image.device, dtype=torch.float32)
        kernel = (radius / factor + 0.5 - torch.hypot(x[:, None], x)).clamp(0, 1)
        padded = functional.pad(small, (reach,) * 4, mode="reflect")
        return functional.conv2d(padded, (kernel / kernel.sum())[None, None])

    return _at_a_fraction(image, factor, convolve)


def _at_a_fraction(image: Tensor, factor: int, blur: Blur) -> Tensor:
    """Blur (N, C, H, W), each plane alike, at 1/factor of the size."""
    planes = image.flatten(0, 1)[:, None]
    small = functional.avg_pool2d(planes, factor) if factor > 1 else planes
    soft = blur(small)
    if factor > 1:
        soft = functional.interpolate(soft, image.shape[2:], mode="bilinear")
    return soft.view(image.shape)
