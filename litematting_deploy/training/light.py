"""Light on the layers of a scene: colours, shadows, reflections; and the backgrounds of studios. For any device."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .camera import chosen, gaussian, on, uniform
from .families.layout import log_uniform
from .recipe import Augment

# Shadows and reflections are soft: they are computed at a fraction of the size.
_FRACTION = 4


class Look(NamedTuple):
    """How images are recoloured. contrast, brightness, saturation: (N, 1, 1, 1). tint: (N, 3, 1, 1), a factor.

    light: (N, 1, 3, 3), a factor that changes over the image.
    """

    contrast: Tensor
    brightness: Tensor
    saturation: Tensor
    tint: Tensor
    light: Tensor


def draw_look(augment: Augment, rng: np.random.Generator, n: int, device: torch.device) -> Look:
    """Return a random look for each image, within the recipe's limits.

    augment: limits of contrast, brightness, saturation and tint. device: of the images.
    """
    # From candles to shade, red and blue change against each other; green, from tubes, changes less.
    warm, green = rng.uniform(-1, 1, (2, n)) * augment.tint
    tint = np.stack([1 + warm, 1 + green / 3, 1 - warm], axis=1)[..., None, None]
    light = 1 + rng.uniform(-2, 2, (n, 1, 3, 3)) * augment.brightness
    ranges = augment.contrast, (-augment.brightness, augment.brightness), augment.saturation
    contrast, brightness, saturation = (uniform(rng, *limits, n, device) for limits in ranges)
    return Look(contrast, brightness, saturation, on(device, tint), on(device, light))


def recolour(image: Tensor, look: Look) -> Tensor:
    """Change contrast about the mean, brightness, saturation about the grey, white balance and light.

    image: (N, 3, H, W), 0..1. Returns the same shape and range.
    """
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    image = (image - mean) * look.contrast + (mean + look.brightness)
    grey = image.mean(dim=1, keepdim=True)
    light = functional.interpolate(look.light, image.shape[2:], mode="bilinear")
    return (((image - grey) * look.saturation + grey) * (light * look.tint)).clamp(0, 1)


def cast_shadows(background: Tensor, alpha: Tensor, rng: np.random.Generator, probability: float) -> Tensor:
    """Darken some of the backgrounds (N, 3, H, W) where the foreground, alpha (N, 1, H, W), keeps light away.

    A shadow is soft by 3 to 40 pixels and falls beside the foreground, up to a sixth of the image away.
    """
    background = background.clone()
    for i in chosen(rng, probability, len(alpha)):
        softness, darkness = log_uniform(rng, 3, 40), rng.uniform(0.15, 0.75)
        angle, away = rng.uniform(-math.pi, math.pi), rng.uniform(0, alpha.shape[2] / 6)
        shadow = _soft(_shifted(alpha[i : i + 1], away * math.sin(angle), away * math.cos(angle)), softness)
        background[i] *= 1 - darkness * shadow[0]
    return background


def spill(
    foreground: Tensor, background: Tensor, alpha: Tensor, rng: np.random.Generator, probability: float
) -> Tensor:
    """Mix the colours of the background into the edge of some foregrounds, which reflects them.

    foreground, background: (N, 3, H, W). alpha: (N, 1, H, W). Returns the foreground, (N, 3, H, W).
    """
    foreground = foreground.clone()
    for i in chosen(rng, probability, len(alpha)):
        reach, strength = log_uniform(rng, 3, 16), rng.uniform(0.1, 0.7)
        around = _soft(background[i : i + 1], 24)
        edge = 1 - _soft(alpha[i : i + 1], reach)
        foreground[i] = torch.lerp(foreground[i], around[0], strength * edge[0])
    return foreground


def _soft(image: Tensor, sigma: float) -> Tensor:
    """Blur (1, C, H, W) by `sigma` pixels, roughly."""
    small = gaussian(functional.avg_pool2d(image, _FRACTION), sigma / _FRACTION)
    return functional.interpolate(small, image.shape[2:], mode="bilinear")


def _shifted(image: Tensor, down: float, right: float) -> Tensor:
    """Move (1, C, H, W) by whole pixels; its edge goes on beyond it."""
    y, x = round(down), round(right)
    height, width = image.shape[2:]
    padded = functional.pad(image, (max(x, 0), max(-x, 0), max(y, 0), max(-y, 0)), mode="replicate")
    top, left = max(-y, 0), max(-x, 0)
    return padded[..., top : top + height, left : left + width]


# RGB of keys and paper: green, blue, white, black, grey.
_COLOURS = ((0.10, 0.65, 0.20), (0.10, 0.25, 0.70), (0.95, 0.95, 0.95), (0.04, 0.04, 0.04), (0.50, 0.50, 0.50))


def studio(rng: np.random.Generator, n: int, size: torch.Size, device: torch.device) -> Tensor:
    """Return plain backdrops (N, 3, H, W), 0..1: a studio's colours or others, brighter to one side and uneven."""
    colours = np.array(_COLOURS)[rng.integers(len(_COLOURS), size=n)] + rng.normal(0, 0.05, (n, 3))
    colours = np.where(rng.random((n, 1)) < 0.3, rng.uniform(0, 1, (n, 3)), colours)[..., None, None]
    across, down = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    slope = rng.normal(0, 0.15, (2, n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.7)
    uneven = rng.normal(0, 0.03, (n, 1, 5, 5)) + rng.normal(0, 0.01, (n, 3, 5, 5))
    field = on(device, colours * (1 + slope[0] * across + slope[1] * down + uneven))
    return functional.interpolate(field, size, mode="bicubic").clamp(0, 1)


def on_screen(photo: Tensor, rng: np.random.Generator) -> Tensor:
    """Return photos (N, 3, H, W) as a screen behind the object shows them: no black, less contrast, bluish, darker to
    one side."""
    n, device = len(photo), photo.device
    black, white = uniform(rng, 0.02, 0.12, n, device), uniform(rng, 0.65, 1, n, device)
    blue = on(device, 1 + rng.uniform(-0.02, 0.1, (n, 1, 1, 1)) * np.array([-1, 0, 1]).reshape(1, 3, 1, 1))
    light = functional.interpolate(on(device, rng.uniform(0.75, 1, (n, 1, 2, 2))), photo.shape[2:], mode="bilinear")
    return ((black + (white - black) * photo) * (light * blue)).clamp(0, 1)
