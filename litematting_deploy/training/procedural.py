"""Turning, scaling and shearing cut foregrounds, and colouring drawn ones from photos."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .camera import on
from .library import Library
from .photos import Photos
from .recipe import Augment

# Photo pixels per crop pixel.
_BACKGROUND_ZOOM = (0.4, 4.0)
_TEXTURE_ZOOM = (0.3, 3.0)
# How many of the foregrounds that are not camouflaged look like a material, and how many of these get their colours
# from a photo, averaged over each of 12 x 12 places.
_MATERIALS, _FROM_PHOTO, _PLACES = 0.75, 0.6, 12


class Cut(NamedTuple):
    """Foregrounds to compose, float32, 0..1.

    alpha: (N, 1, H, W). foreground, background: (N, 3, H, W). alike: (N, 1, 1, 1), 1 where the two have similar
    colours, which are to stay similar, and 0 elsewhere.
    """

    alpha: Tensor
    foreground: Tensor
    background: Tensor
    alike: Tensor


def cut(library: Library, photos: Photos, augment: Augment, rng: np.random.Generator, count: int, crop: int) -> Cut:
    """Return `count` foregrounds over photos, on the device of the library.

    Drawn ones get the colours of photos, and cut-outs keep their own. crop: the side of all, in pixels.
    """
    window = _window(library, augment, rng, count, crop)
    if window.shape[1] == 4:
        looks = photos.looks(rng, count, augment.photo_variety)
        background = photos.crops(rng, count, crop, _BACKGROUND_ZOOM, looks)
        return Cut(window[:, :1], window[:, 1:], background, torch.zeros(count, 1, 1, 1, device=window.device))
    alpha, shade = window.chunk(2, dim=1)
    camouflaged = rng.random(count) < augment.camouflage
    behind, painted = (photos.looks(rng, count, augment.photo_variety) for _ in range(2))
    # What has the colours of its background may be another place of the same photo.
    painted = [same if alike else other for same, other, alike in zip(behind, painted, camouflaged, strict=True)]
    background = photos.crops(rng, count, crop, _BACKGROUND_ZOOM, behind)
    texture = photos.crops(rng, count, crop, _TEXTURE_ZOOM, painted)
    alike = on(alpha.device, camouflaged[:, None, None, None])
    return Cut(alpha, paint(texture, shade, background, alike, rng), background, alike)


def _window(library: Library, augment: Augment, rng: np.random.Generator, count: int, crop: int) -> Tensor:
    """Return windows of random layers about their pixels of interest, (count, planes, crop, crop).

    Some lie beside the foreground, as `augment.sparse` says. Returns float32, 0..1.
    """
    planes, points = library.take(rng, count)
    jitter = rng.uniform(-crop / 4, crop / 4, (count, 2))
    # Some lie off the foreground by a part of a crop.
    angle, far = rng.uniform(-math.pi, math.pi, count), rng.uniform(0.4, 0.7, count)
    away = far * (rng.random(count) < augment.sparse)
    jitter += np.stack([away * np.sin(angle), away * np.cos(angle)], axis=1) * crop
    return warp(planes, points + on(points.device, jitter), augment, rng, crop)


def warp(planes: Tensor, centres_yx: Tensor, augment: Augment, rng: np.random.Generator, crop: int) -> Tensor:
    """Return an affine window of each image: (N, C, S, S) to (N, C, crop, crop), flipped at random, around the given
    pixels, or as near to them as the image goes on to all sides.

    Sampled at twice the size and averaged, so that detail stays antialiased when the window is scaled down.
    """
    n, size, device = len(planes), planes.shape[-1], planes.device
    angle = rng.uniform(-math.pi, math.pi, n)
    scale = np.exp(rng.uniform(math.log(augment.scale[0]), math.log(augment.scale[1]), n))
    flip, shear = rng.choice([-1.0, 1.0], n), rng.uniform(-augment.shear, augment.shear, n)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    # Output (x, y) in pixels from the centre -> input (x, y).
    matrix = np.stack([flip * cos, shear * cos - sin, flip * sin, shear * sin + cos], axis=1).reshape(n, 2, 2)
    linear = on(device, matrix) * (crop / size)
    # Beyond its edges an image is mirrored, which nature does not do.
    reach = on(device, np.abs(matrix).sum(axis=2) * (crop / 2)).clamp(max=size / 2)
    centre = (centres_yx.flip(1) + 0.5).clamp(reach, size - reach) * 2 / size - 1
    along = (torch.arange(2 * crop, device=device) + 0.5) / crop - 1
    # (N, 2 crop, 2 crop, 2), as affine_grid makes it several times more slowly.
    rows = along[None, :, None] * linear[:, None, :, 1] + centre[:, None]
    grid = along[None, None, :, None] * linear[:, None, None, :, 0] + rows[:, :, None]
    doubled = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return functional.avg_pool2d(doubled, 2)


def paint(texture: Tensor, shade: Tensor, background: Tensor, alike: Tensor, rng: np.random.Generator) -> Tensor:
    """Return foreground colours (N, 3, H, W): mostly those of a material (`_material`), sometimes a photo crop, or,
    where `alike`, the background's own colours from another place: that of the crop, which is then of the same photo,
    or a near one.

    shade: (N, 1, H, W), 0..1, 128/255 neutral: how bright each strand, leaf or fold is, applied at random strength.
    """
    painted = []
    for i, camouflaged in enumerate(alike.flatten().tolist()):
        photo, light, behind = texture[i], shade[i], background[i]
        if camouflaged and rng.random() < 0.5:
            colour = photo
        elif camouflaged:
            detail = photo - photo.mean(dim=(1, 2), keepdim=True)
            elsewhere = behind.roll(tuple(rng.integers(-32, 33, 2).tolist()), dims=(1, 2)).flip(2)
            near = torch.lerp(behind.mean(dim=(1, 2), keepdim=True), elsewhere, rng.uniform(0, 0.9))
            colour = near + _tint(rng, 0.06, photo.device) + detail * rng.uniform(0, 0.5)
        elif rng.random() < _MATERIALS:
            colour = _material(photo, rng)
        else:
            colour = photo
        painted.append(colour * (light * (255 / 128)) ** rng.uniform(0.2, 1.3))
    return torch.stack(painted).clamp(0, 1)


def _material(photo: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the colours of a material (3, H, W): two that blend softly into each other, with some of the photo's
    texture.

    What is matted in practice (hair, leaves, wire, cloth) has few colours of its own, which vary smoothly along it; a
    photo crop has edges of its own, which the alpha knows nothing of. The two colours are those of
    places in the photo, as they occur in nature, or any.
    """
    if rng.random() < _FROM_PHOTO:
        places = functional.adaptive_avg_pool2d(photo, _PLACES).flatten(1)
        one, other = (places[:, int(i), None, None] for i in rng.integers(_PLACES**2, size=2))
    else:
        one = rng.beta(0.8, 0.8) + _tint(rng, 0.15, photo.device)
        other = one + _tint(rng, 0.1, photo.device)
    field = on(photo.device, rng.normal(0.3, 0.4, (1, 1, 5, 5)))
    share = functional.interpolate(field, photo.shape[1:], mode="bicubic")[0].clamp(0, 1)
    detail = photo - photo.mean(dim=(1, 2), keepdim=True)
    return torch.lerp(one.expand_as(photo), other.expand_as(photo), share) + detail * rng.uniform(0, 0.3)


def _tint(rng: np.random.Generator, deviation: float, device: torch.device) -> Tensor:
    """Return a random colour to add, (3, 1, 1)."""
    return on(device, rng.normal(0, deviation, (3, 1, 1)))
