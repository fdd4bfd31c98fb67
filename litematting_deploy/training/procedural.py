"""The procedural source: windows of the library, coloured from photos, turned, scaled and sheared."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .library import Items
from .photos import Photos
from .recipe import Augment

# Photo pixels per crop pixel.
_BACKGROUND_ZOOM = (0.5, 2.5)
_TEXTURE_ZOOM = (0.3, 2.0)


def cut(
    items: Items, photos: Photos, augment: Augment, rng: np.random.Generator, count: int, crop: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Random alphas (count, 1, crop, crop) with foregrounds and backgrounds (count, 3, crop, crop), float32, 0..1.

    Everything happens on the device of `items`; what is random comes from `rng`.
    """
    chosen = torch.from_numpy(rng.integers(len(items.planes), size=count))
    point = torch.from_numpy(rng.integers(items.points.shape[1], size=count))
    centres = items.points[chosen.to(items.points.device), point.to(items.points.device)].float()
    jitter = torch.from_numpy(rng.uniform(-crop / 4, crop / 4, (count, 2))).float().to(centres.device)
    planes = items.planes[chosen.to(items.planes.device)].float() / 255
    alpha, shade = warp(planes, centres + jitter, augment, rng, crop).chunk(2, dim=1)
    background = photos.crops(rng, count, crop, _BACKGROUND_ZOOM)
    texture = photos.crops(rng, count, crop, _TEXTURE_ZOOM)
    return alpha, paint(texture, shade, background, augment.camouflage, rng), background


def warp(planes: Tensor, centres_yx: Tensor, augment: Augment, rng: np.random.Generator, crop: int) -> Tensor:
    """An affine window of each image: (N, C, S, S) to (N, C, crop, crop), flipped at random, around the given pixels.

    Sampled at twice the size and averaged, so that detail stays antialiased when the window is scaled down.
    """
    n, size, device = len(planes), planes.shape[-1], planes.device
    angle, scale = (
        rng.uniform(-math.pi, math.pi, n),
        np.exp(rng.uniform(math.log(augment.scale[0]), math.log(augment.scale[1]), n)),
    )
    flip, shear = rng.choice([-1.0, 1.0], n), rng.uniform(-augment.shear, augment.shear, n)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    # Output (x, y) in pixels from the centre -> input (x, y).
    linear = np.stack([flip * cos, shear * cos - sin, flip * sin, shear * sin + cos], axis=1).reshape(n, 2, 2)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, :, :2] = torch.from_numpy(linear).float().to(device) * (crop / size)
    theta[:, :, 2] = (centres_yx.flip(1) + 0.5) * 2 / size - 1
    grid = functional.affine_grid(theta, [n, planes.shape[1], 2 * crop, 2 * crop], align_corners=False)
    doubled = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return functional.avg_pool2d(doubled, 2)


def paint(texture: Tensor, shade: Tensor, background: Tensor, camouflage: float, rng: np.random.Generator) -> Tensor:
    """Foreground colours (N, 3, H, W): the photo crop itself, a tint with some of its texture, or the background's.

    shade: (N, 1, H, W), 0..1, 128/255 neutral: how bright each strand, leaf or fold is, applied at random strength.
    """
    painted = []
    for i in range(len(texture)):
        photo, light, behind = texture[i : i + 1], shade[i : i + 1], background[i : i + 1]
        draw, mean = rng.random(), photo.mean(dim=(2, 3), keepdim=True)
        if draw < camouflage:
            mean = behind.mean(dim=(2, 3), keepdim=True) + _offset(rng, 0.12, photo.device)
            colour = mean + (photo - photo.mean(dim=(2, 3), keepdim=True)) * rng.uniform(0.1, 0.8)
        elif draw < camouflage + (1 - camouflage) / 2:
            tint = torch.from_numpy(rng.beta(0.8, 0.8, (1, 1, 1, 1)) + rng.normal(0, 0.12, (1, 3, 1, 1)))
            colour = tint.float().to(photo.device) + (photo - mean) * rng.uniform(0.05, 0.6)
        else:
            colour = photo
        painted.append(colour * (light * (255 / 128)) ** rng.uniform(0.2, 1.3))
    return torch.cat(painted).clamp(0, 1)


def _offset(rng: np.random.Generator, deviation: float, device: torch.device) -> Tensor:
    return torch.from_numpy(rng.normal(0, deviation, (1, 3, 1, 1))).float().to(device)
