"""Composing training scenes in batches, on the device that trains: colours, composition, trimaps, guide."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .camera import blur_scene, camera, chosen, defocus, jpeg, on, sensor_noise, uniform
from .light import Look, cast_shadows, draw_look, on_screen, recolour, spill, studio
from .procedural import Cut
from .recipe import Augment
from .trimaps import guide, known_regions

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
    """Return scenes of cut foregrounds over backgrounds, made to look like photographs.

    All light (shadows, reflections) is part of the layers, so that the image before `degrade` is exactly
    alpha * foreground + (1 - alpha) * background. H and W are multiples of 32. Random numbers that decide anything but
    noise are drawn from `rng` on the CPU.
    """
    n, device = len(cut.alpha), cut.alpha.device
    second = on(device, rng.random((n, 1, 1, 1)) < (augment.combine if n > 1 else 0))
    alpha, foreground = combine(_snap(cut.alpha), cut.foreground, second)
    matched = set(chosen(rng, augment.matched, n))
    foreground, background = _in_their_light(cut, foreground, matched, augment, rng)
    background = cast_shadows(background, alpha, rng, augment.shadow)
    foreground = spill(foreground, background, alpha, rng, augment.spill)
    foreground = _noise(foreground, rng, [i for i in chosen(rng, augment.noise, n) if i not in matched])
    alpha, foreground, background = blur_scene(alpha, foreground, background, rng, augment.lens_blur)
    alpha = _snap(alpha)
    image = alpha * foreground + (1 - alpha) * background
    background_known, foreground_known = known_regions(alpha[:, 0], augment, rng)
    unknown = ~(background_known | foreground_known)
    trimap = torch.stack([background_known, unknown, foreground_known], dim=1).float()
    near = guide(background_known, foreground_known)
    return Scenes(degrade(image, augment, rng), trimap, near, alpha, foreground, background)


def _in_their_light(
    cut: Cut, foreground: Tensor, matched: set[int], augment: Augment, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return both layers recoloured, the background on a screen, replaced by a backdrop or out of focus.

    matched: the images in which both are in the same light. What is alike stays so.
    """
    n, device = len(foreground), foreground.device
    alike = cut.alike.flatten().tolist()
    for_foreground, for_background = (draw_look(augment, rng, n, device) for _ in range(2))
    common = torch.tensor([i in matched or alike[i] > 0 for i in range(n)], device=device).view(n, 1, 1, 1)
    shared = Look(*(torch.where(common, a, b) for a, b in zip(for_foreground, for_background, strict=True)))
    screens = chosen(rng, augment.screen, n)
    plain = [i for i in chosen(rng, augment.backdrop, n) if not alike[i]]
    background = cut.background.clone()
    background[screens] = on_screen(background[screens], rng)
    background = defocus(background, rng, augment.defocused_background, screens)
    background[plain] = studio(rng, len(plain), background.shape[2:], device)
    return recolour(foreground, for_foreground), recolour(background, shared)


def _snap(alpha: Tensor) -> Tensor:
    """Make alpha exactly 0 or 1 where resampling left it a rounding error away."""
    return torch.where(alpha < _SURE, 0.0, torch.where(alpha > 1 - _SURE, 1.0, alpha))


def combine(alpha: Tensor, foreground: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Compose foregrounds at random: put the next sample's foreground behind each chosen one.

    alpha (N, 1, H, W), foreground (N, 3, H, W), chosen (N, 1, 1, 1) 0 or 1. The union covers 1 - (1-a)(1-b).
    """
    behind = alpha.roll(1, 0) * chosen * (1 - alpha)
    union = alpha + behind
    mixed = (alpha * foreground + behind * foreground.roll(1, 0)) / union.clamp(min=1e-4)
    return union, torch.where(behind > 0, mixed, foreground)


def degrade(image: Tensor, augment: Augment, rng: np.random.Generator) -> Tensor:
    """Return images as cameras store them: noise, resampling, softening or sharpening, and JPEG, each on some.

    image: (N, 3, H, W), 0..1, H and W multiples of 16. Returns the same shape and range.
    """
    n = len(image)
    image = _noise(image, rng, chosen(rng, augment.noise, n))
    image = camera(image, augment.camera, rng)
    compressed = chosen(rng, augment.jpeg, n)
    quality = uniform(rng, 50, 98, len(compressed), image.device).flatten()
    image[compressed] = jpeg(image[compressed], quality)
    return image


def _noise(image: Tensor, rng: np.random.Generator, noisy: list[int]) -> Tensor:
    """Add sensor noise of random strength to the `noisy` ones of the images (N, 3, H, W)."""
    generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**62)))
    read, shot = (uniform(rng, 0, top, len(noisy), image.device) for top in (0.02, 0.03))
    image = image.clone()
    image[noisy] = sensor_noise(image[noisy], read, shot, generator)
    return image
