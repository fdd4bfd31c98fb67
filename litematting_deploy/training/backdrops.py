"""Backgrounds of studios: plain colours, lit unevenly, and screens that show a photo."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .draws import uniform

# RGB of keys and paper: green, blue, white, black, grey.
_COLOURS = ((0.10, 0.65, 0.20), (0.10, 0.25, 0.70), (0.95, 0.95, 0.95), (0.04, 0.04, 0.04), (0.50, 0.50, 0.50))


def studio(rng: np.random.Generator, n: int, size: torch.Size, device: torch.device) -> Tensor:
    """Return plain backdrops (N, 3, H, W), 0..1: a studio's colours or others, brighter to one side and uneven."""
    colours = np.array(_COLOURS)[rng.integers(len(_COLOURS), size=n)] + rng.normal(0, 0.05, (n, 3))
    colours = np.where(rng.random((n, 1)) < 0.3, rng.uniform(0, 1, (n, 3)), colours)[..., None, None]
    across, down = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    slope = rng.normal(0, 0.15, (2, n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.7)
    uneven = rng.normal(0, 0.03, (n, 1, 5, 5)) + rng.normal(0, 0.01, (n, 3, 5, 5))
    field = torch.from_numpy(colours * (1 + slope[0] * across + slope[1] * down + uneven)).float().to(device)
    return functional.interpolate(field, size, mode="bicubic").clamp(0, 1)


def on_screen(photo: Tensor, rng: np.random.Generator) -> Tensor:
    """Return photos (N, 3, H, W) as a screen behind the object shows them: no black, less contrast, bluish, darker to
    one side."""
    n, device = len(photo), photo.device
    black, white = uniform(rng, 0.02, 0.12, n, device), uniform(rng, 0.65, 1, n, device)
    blue = torch.from_numpy(1 + rng.uniform(-0.02, 0.1, (n, 1, 1, 1)) * np.array([-1, 0, 1]).reshape(1, 3, 1, 1))
    dimmed = torch.from_numpy(rng.uniform(0.75, 1, (n, 1, 2, 2))).float().to(device)
    light = functional.interpolate(dimmed, photo.shape[2:], mode="bilinear")
    return ((black + (white - black) * photo) * (light * blue.float().to(device))).clamp(0, 1)
