"""Trimaps for training, and the distances and guide that belong to them, for batches on any device.

Trimaps are what programs and people with a brush or a lasso leave unknown around an object. A known pixel always has
an alpha of exactly 0 or 1, whichever way the trimap was drawn.
"""

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..matting.guide import SIGMA
from .camera import on
from .recipe import Augment

# Sizes of the brush in one trimap of strokes, relative to the trimap's width.
_BRUSHES = (0.6, 0.9, 1.3, 1.8)
# Pixels a side of the random pattern, repeated over the image, that says where a brush is put down.
_PATTERN_PX = 64
# How many of the images with swallowed regions have no known foreground left.
_NO_FOREGROUND = 0.2


def known_regions(alpha: Tensor, augment: Augment, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return the known background and foreground, (N, H, W) bool, of random trimaps.

    alpha: (N, H, W), 0..1. The distance from the edge of the object to the known regions is drawn for each image,
    uniformly in its logarithm, so that narrow and wide trimaps are equally common. A trimap follows the edge evenly, or
    with a width that varies along it, or is drawn by hand (`by_strokes`, `by_polygons`). In some, regions that are
    narrower than a brush are unknown as well (`without_narrow`).
    """
    low, high = augment.trimap_px
    n = len(alpha)
    reach = 2 * high
    # (N, 2, H, W): to the nearest pixel that is not background, and to the nearest that is not foreground.
    apart = torch.stack(distance(torch.cat([alpha > 0, alpha < 1]), reach).chunk(2), dim=1)
    width = np.exp(rng.uniform(math.log(low), math.log(high), n))
    margin = _margins(width, augment.trimap_px, rng, alpha)
    by_hand, strokes = rng.random(n) < augment.hand_drawn, rng.random(n) < 0.5
    swallows = rng.random(n) < augment.swallowed
    brushes = np.exp(rng.uniform(math.log(2), math.log(high), (2, n)))
    bare = rng.random(n) < _NO_FOREGROUND
    known = apart > margin
    for i in np.flatnonzero(by_hand):
        draw = by_strokes if strokes[i] else by_polygons
        known[i] = draw(apart[i].clamp(max=reach), float(width[i]), low, rng)
    for i in np.flatnonzero(swallows):
        known[i] = without_narrow(known[i], brushes[:, i])
        if bare[i]:
            known[i, 1] = False
    background, foreground = known.unbind(1)
    return background, foreground


def by_strokes(apart: Tensor, width: float, low: int, rng: np.random.Generator) -> Tensor:
    """Return what broad strokes along the edge, and here and there beside it, leave known: (2, H, W) bool.

    apart: (2, H, W), pixels to what is not background and to what is not foreground. width: radius of the brush in
    pixels, which changes along the edge. low: the least distance from a known pixel to the edge.
    """
    size, device = apart.shape[1:], apart.device
    size_field = functional.interpolate(on(device, rng.random((1, 1, 6, 6))), size, mode="bilinear")[0, 0]
    tile = on(device, rng.random((_PATTERN_PX, _PATTERN_PX)))
    pattern = tile.repeat([-(-side // _PATTERN_PX) for side in size])[: size[0], : size[1]]
    edge = apart.amax(0) <= max(1.0, width * rng.uniform(0, 0.5))
    # About the quartiles of a field between random corners.
    chosen = torch.bucketize(size_field, torch.tensor([0.36, 0.5, 0.64], device=device))
    known = apart > low
    dense = rng.uniform(1, 4)
    for k, relative in enumerate(_BRUSHES):
        radius = max(width * relative, low)
        touched = edge & (chosen == k) & (pattern < dense / radius)
        known &= distance(touched[None], math.ceil(radius)) > radius
    return known


def by_polygons(apart: Tensor, width: float, low: int, rng: np.random.Generator) -> Tensor:
    """Return known regions with the straight sides of a lasso that is clicked from corner to corner: (2, H, W) bool.

    Arguments as those of `by_strokes`. The distances are known at the corners of a coarse, turned lattice only, and
    linear between them, so that the lines of equal distance are polygons.
    """
    height, step = apart.shape[1], max(width * rng.uniform(1.2, 2.5), 8.0)
    half = math.ceil(max(apart.shape[1:]) / math.sqrt(2) / step) + 1
    angle, device = rng.uniform(0, math.pi / 2), apart.device
    centre = torch.tensor(apart.shape[1:], device=device).flip(0) / 2
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], device=device)
    corners = _lattice(np.arange(-half, half + 1), np.arange(-half, half + 1))
    moved = on(device, corners + rng.uniform(-0.25, 0.25, corners.shape))
    at_corners = _sample(apart, moved @ turn * step + centre)
    pixels = on(device, _lattice(np.arange(height) + 0.5, np.arange(apart.shape[2]) + 0.5))
    linear = _sample(at_corners, (pixels - centre) @ turn.T / step + half + 0.5)
    return (apart > low) & (linear > width)


def without_narrow(known: Tensor, radius: NDArray[np.float64]) -> Tensor:
    """Return the parts of each known region (2, H, W) bool into which a disc of `radius` (2,) pixels fits.

    Small holes and islands become unknown, and so do see-through regions as a whole.
    """
    reach = math.ceil(radius.max())
    disc = on(known.device, radius)[:, None, None]
    # The region goes on beyond the image.
    inside = distance(~known, reach) > disc
    return known & (distance(inside, reach) <= disc)


def _margins(width: NDArray[np.float64], limits: tuple[int, int], rng: np.random.Generator, alpha: Tensor) -> Tensor:
    """Return distances to keep from the edge, (N, 2, H, W) or (N, 2, 1, 1), about `width` (N,)."""
    n = len(width)
    sides = rng.normal(0, 0.2, (n, 2, 1, 1))
    varying = rng.uniform(-0.7, 0.7, (n, 2, 4, 4)) * (rng.random((n, 1, 1, 1)) < 0.5)
    field = on(alpha.device, np.log(width)[:, None, None, None] + sides + varying)
    return functional.interpolate(field, alpha.shape[1:], mode="bilinear").exp().clamp(*limits)


def _lattice(y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float64]:
    """Return (len(y), len(x), 2): x and y of each point."""
    return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float64)


def _sample(planes: Tensor, points_xy: Tensor) -> Tensor:
    """Return planes (C, H, W) at points (h, w, 2) in pixels, as (C, h, w); the edge goes on beyond the image.

    points_xy: x from 0 at the left border to W, y from 0 at the top to H. Bilinear.
    """
    size = torch.tensor(planes.shape[1:], device=planes.device).flip(0)
    grid = points_xy * 2 / size - 1
    return functional.grid_sample(planes[None], grid[None], padding_mode="border", align_corners=False)[0]


# exp(-92² / 512) is below 1e-7.
GUIDE_REACH_PX = 92


def distance(region: Tensor, reach_px: int) -> Tensor:
    """Return the distance in pixels from each pixel to the nearest True of its image, exact up to `reach_px`; inf
    further away.

    region: (N, H, W) bool. Returns (N, H, W) float32. OpenCV on the CPU, two separable passes elsewhere.
    """
    measured = _by_opencv(region) if region.device.type == "cpu" else by_passes(region, reach_px)
    return measured.masked_fill(measured > reach_px, torch.inf)


def _by_opencv(region: Tensor) -> Tensor:
    """Return the distances of `distance` by OpenCV, without a limit to their reach."""
    measured = np.full(region.shape, np.inf, np.float32)
    for found, others in zip(measured, (~region).numpy().astype(np.uint8), strict=True):
        if not others.all():
            found[:] = cv2.distanceTransform(others, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Its last bits depend on where the memory lies; squares are whole numbers, so runs can be repeated exactly.
    return torch.from_numpy(measured).square().round().sqrt()


def by_passes(region: Tensor, reach_px: int) -> Tensor:
    """Return what `distance` does, by a pass along rows and a windowed pass along columns, which GPUs do in
    parallel."""
    height, width = region.shape[1:]
    columns = torch.arange(width, device=region.device, dtype=torch.float32)
    left = torch.where(region, columns, -torch.inf).cummax(dim=2).values
    right = torch.where(region, columns, torch.inf).flip(2).cummin(dim=2).values.flip(2)
    # Up to 127 pixels, sums of squares fit in 16 bits: half the traffic of the many passes below.
    whole = torch.int16 if reach_px <= 127 else torch.int32
    along_row = torch.minimum(columns - left, right - columns).clamp(max=reach_px + 1).square().to(whole)
    padded = functional.pad(along_row, (0, 0, reach_px, reach_px), value=(reach_px + 1) ** 2)
    nearest = torch.full_like(along_row, (reach_px + 1) ** 2)
    for shift in range(2 * reach_px + 1):
        torch.minimum(nearest, padded[:, shift : shift + height] + (shift - reach_px) ** 2, out=nearest)
    return nearest.float().sqrt()


def guide(background: Tensor, foreground: Tensor) -> Tensor:
    """Return the transformable map (section 3.1) of a batch, as `matting.guide` computes it.

    background, foreground: (N, H, W) bool, the known pixels. Returns (N, 2, H, W) float32, 0..1.
    """
    both = torch.cat([background, foreground])
    near = distance(both, GUIDE_REACH_PX).square().mul(-1 / (2 * SIGMA**2)).exp()
    return torch.stack(near.chunk(2), dim=1)
