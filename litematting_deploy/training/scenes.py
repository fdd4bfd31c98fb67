"""Composing training scenes in batches, on the device that trains: colours, composition, trimaps, guide."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .degrade import jpeg, sensor_noise
from .distance import guide
from .procedural import Cut
from .recipe import Augment
from .trimaps import known_regions

_SURE = 0.5 / 255


class Scenes(NamedTuple):
    """What the network and the losses take; float32, 0..1, (N, C, H, W).

    image, foreground, background: C = 3. trimap: C = 3, one-hot (background, unknown, foreground). guide: C = 2.
    alpha: C = 1.
    """

    image: Tensor
    trimap: Tensor
    guide: Tensor
    alpha: Tensor
    foreground: Tensor
    background: Tensor


def compose(cut: Cut, augment: Augment, rng: np.random.Generator) -> Scenes:
    """Scenes from cut foregrounds over backgrounds, with the paper's augmentations (section 4.2) but for geometry.

    H and W are multiples of 32. Random numbers that decide anything but noise are drawn from `rng` on the CPU.
    """
    n, device = len(cut.alpha), cut.alpha.device
    second = _choose(rng, augment.combine if n > 1 else 0, n, device)
    alpha, foreground = combine(_snap(cut.alpha), cut.foreground, second)
    alpha = _snap(alpha)
    for_foreground, for_background = (_colour_draws(augment, rng, n, device) for _ in range(2))
    # What resembles its background goes on to.
    shared = [torch.where(cut.alike > 0, a, b) for a, b in zip(for_foreground, for_background, strict=True)]
    foreground, background = recolour(foreground, *for_foreground), recolour(cut.background, *shared)
    background = defocus(background, rng, augment.defocused_background)
    image = alpha * foreground + (1 - alpha) * background
    background_known, foreground_known = known_regions(alpha[:, 0], augment, rng)
    unknown = ~(background_known | foreground_known)
    trimap = torch.stack([background_known, unknown, foreground_known], dim=1).float()
    near = guide(background_known, foreground_known)
    return Scenes(degrade(image, augment, rng), trimap, near, alpha, foreground, background)


def _snap(alpha: Tensor) -> Tensor:
    """Fully transparent and fully opaque pixels, which resampling left a rounding error away from 0 and 1."""
    return torch.where(alpha < _SURE, 0.0, torch.where(alpha > 1 - _SURE, 1.0, alpha))


def combine(alpha: Tensor, foreground: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Random foreground composition: put the next sample's foreground behind each chosen one.

    alpha (N, 1, H, W), foreground (N, 3, H, W), chosen (N, 1, 1, 1) 0 or 1. The union covers 1 - (1-a)(1-b).
    """
    behind = alpha.roll(1, 0) * chosen * (1 - alpha)
    union = alpha + behind
    mixed = (alpha * foreground + behind * foreground.roll(1, 0)) / union.clamp(min=1e-4)
    return union, torch.where(behind > 0, mixed, foreground)


def recolour(image: Tensor, contrast: Tensor, brightness: Tensor, saturation: Tensor) -> Tensor:
    """Contrast about the mean, added brightness, saturation about the grey. image (N, 3, H, W); others (N, 1, 1, 1)."""
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    image = (image - mean) * contrast + mean + brightness
    grey = image.mean(dim=1, keepdim=True)
    return ((image - grey) * saturation + grey).clamp(0, 1)


def defocus(image: Tensor, rng: np.random.Generator, probability: float) -> Tensor:
    """Blur some of the images with a Gaussian of 1 to 12 pixels, as backgrounds out of focus are."""
    blurred = []
    for i in range(len(image)):
        one = image[i : i + 1]
        soft = rng.random() < probability
        blurred.append(_gaussian_blur(one, math.exp(rng.uniform(0, math.log(12)))) if soft else one)
    return torch.cat(blurred)


def degrade(image: Tensor, augment: Augment, rng: np.random.Generator) -> Tensor:
    """Sensor noise on some images and JPEG compression on some, at random strengths."""
    n, device = len(image), image.device
    noisy = _choose(rng, augment.noise, n, device)
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    read, shot = (_uniform(rng, 0, top, n, device) * noisy for top in (0.02, 0.03))
    image = sensor_noise(image, read, shot, generator)
    compressed = _choose(rng, augment.jpeg, n, device) > 0
    quality = _uniform(rng, 50, 98, n, device).flatten()
    return torch.where(compressed, jpeg(image, quality), image)


def _colour_draws(
    augment: Augment, rng: np.random.Generator, n: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        _uniform(rng, *augment.contrast, n, device),
        _uniform(rng, -augment.brightness, augment.brightness, n, device),
        _uniform(rng, *augment.saturation, n, device),
    )


def _uniform(rng: np.random.Generator, low: float, high: float, n: int, device: torch.device) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, (n, 1, 1, 1))).float().to(device)


def _choose(rng: np.random.Generator, probability: float, n: int, device: torch.device) -> Tensor:
    return torch.from_numpy(rng.random((n, 1, 1, 1)) < probability).float().to(device)


def _gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Separable; strong blurs are done at a fraction of the size, where they cost the same as weak ones."""
    factor = 2 ** max(0, math.floor(math.log2(sigma / 1.5)))
    size = image.shape[2:]
    small = functional.avg_pool2d(image, factor) if factor > 1 else image
    radius = min(math.ceil(3 * sigma / factor), min(small.shape[2:]) - 1)
    x = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
    kernel = torch.softmax(-x.square() / (2 * (sigma / factor) ** 2), dim=0)
    planes = functional.pad(small, (radius,) * 4, mode="reflect").transpose(0, 1)
    planes = functional.conv2d(functional.conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).transpose(
        0, 1
    )
    return functional.interpolate(planes, size, mode="bilinear") if factor > 1 else planes
