"""Euclidean distances and what follows from them, for batches on any device."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..matting.guide import SIGMA

# exp(-92² / 512) is below 1e-7.
GUIDE_REACH_PX = 92


def distance(region: Tensor, reach_px: int) -> Tensor:
    """Pixels from each pixel to the nearest True of its image, exact up to `reach_px`; inf further away.

    region: (N, H, W) bool. Returns (N, H, W) float32. OpenCV on the CPU, two separable passes elsewhere.
    """
    measured = _by_opencv(region) if region.device.type == "cpu" else by_passes(region, reach_px)
    return measured.masked_fill(measured > reach_px, torch.inf)


def _by_opencv(region: Tensor) -> Tensor:
    measured = [
        cv2.distanceTransform(others, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        if not others.all()
        else np.full(others.shape, np.inf, np.float32)
        for others in (~region).numpy().astype(np.uint8)
    ]
    # Its last bits depend on where the memory lies; squares are whole numbers, so runs can be repeated exactly.
    return torch.from_numpy(np.stack(measured)).square().round().sqrt()


def by_passes(region: Tensor, reach_px: int) -> Tensor:
    """As `distance`, by a pass along rows and a windowed pass along columns, which GPUs do in parallel."""
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
    """The transformable map (section 3.1) of a batch, as `matting.guide` computes it.

    background, foreground: (N, H, W) bool, the known pixels. Returns (N, 2, H, W) float32, 0..1.
    """
    both = torch.cat([background, foreground])
    near = distance(both, GUIDE_REACH_PX).square().mul(-1 / (2 * SIGMA**2)).exp()
    return torch.stack(near.chunk(2), dim=1)
