"""Random numbers for a batch: drawn on the CPU, so that every device makes the same scenes of a seed."""

import numpy as np
import torch
from torch import Tensor


def uniform(rng: np.random.Generator, low: float, high: float, n: int, device: torch.device) -> Tensor:
    """Return a number for each image, (N, 1, 1, 1) float32, low to high."""
    return torch.from_numpy(rng.uniform(low, high, (n, 1, 1, 1))).float().to(device)


def chosen(rng: np.random.Generator, probability: float, n: int) -> list[int]:
    """Return the numbers of the images that something happens to, for what is done to one after the other."""
    return [int(i) for i in np.flatnonzero(rng.random(n) < probability)]
