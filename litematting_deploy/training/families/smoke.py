"""Smoke and steam, computed at every pixel."""

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Floats, Layer, Points, displace, finish, over, plain
from .layout import around, fractal, lit, log_uniform, place
from .shapes import mug, solid


def _swirled(rng: Generator, noise: Floats, reach: float) -> Floats:
    """Return noise carried along by a divergence-free flow, in a few steps, so that it curls."""
    size = noise.shape[0]
    potential = fractal(rng, size, int(rng.integers(3, 6)), 4, 0.5)
    down, right = np.gradient(cv2.GaussianBlur(potential, (0, 0), size / 150))
    flow = np.stack([down, -right], -1).astype(np.float32)
    flow *= reach / (np.abs(flow).max() + 1e-6)
    moved = np.stack([noise, noise], -1)
    for _ in range(3):
        moved = displace(moved, flow)
    return np.asarray(moved[..., 0], np.float32)


def _filaments(rng: Generator, x: Floats, y: Floats, drift: Floats) -> Floats:
    """Return thin streams side by side that rise, spread and break into curls: noise stretched along the stream."""
    grid = fractal(rng, 256, int(rng.integers(6, 14)), 4, 0.6)
    rise = np.clip((1.1 - y) / 2, 0, 1.1)
    width = 0.04 + rng.uniform(0.2, 0.6) * rise ** rng.uniform(0.8, 2)
    across = (x + (0.35 * drift[:, len(drift) // 2, None] + 0.05 * drift) * rise) / width
    at = [(c + 128).astype(np.float32) for c in (across * 50, y * 14)]
    streams = cv2.remap(grid, at[0], at[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(np.exp(1.6 * streams - 1.5 - np.square(across)) * np.exp(-rise) * (y < 1.1), np.float32)


def _density(rng: Generator, size: int, centre: Points, radius: float) -> Floats:
    """Return how much smoke the eye looks through, (size, size) float32, 0.."""
    x, y = around(size, centre, radius, rng.normal(0, 0.3))
    drift = fractal(rng, size, 3, 2)
    kind = rng.choice(3, p=[0.35, 0.3, 0.35])
    if kind == 0:  # streams
        return _swirled(rng, _filaments(rng, x, y, drift), size * rng.uniform(0.005, 0.03))
    noise = fractal(rng, size, int(rng.integers(3, 8)), 7, rng.uniform(0.5, 0.62))
    noise = _swirled(rng, noise, size * rng.uniform(0.005, 0.05))
    if kind == 1:  # a plume that widens as it rises
        rise = np.clip((1 - y) / 2, 0, 1.3)
        width = 0.06 + rng.uniform(0.3, 0.7) * rise ** rng.uniform(0.7, 1.5)
        body = 1 - np.square((x + 0.25 * drift * rise) / width) + 0.6 * noise * (0.4 + rise)
        thickness = np.logaddexp(0, 5 * body - 1.5) / 5 * np.exp(-1.2 * rise) / (1 + np.exp((y - 1) * 12))
    else:  # a puff
        body = 0.6 - np.square(x) - np.square(y) + 0.45 * noise + 0.2 * drift
        thickness = np.logaddexp(0, 6 * body - 1) / 6 * np.clip(2.2 - np.hypot(x, y), 0, 1)
    return np.asarray(np.clip(thickness - 0.012, 0, None), np.float32)


def smoke(rng: Generator, size: int) -> Layer:
    """Draw plumes, puffs and wisps of smoke or steam, some rising from something solid."""
    centre, radius = place(rng, size, 0.25, 0.7)
    density = cv2.GaussianBlur(_density(rng, size, centre, radius), (0, 0), float(rng.uniform(0.6, 2.5)))
    alpha = 1 - np.exp(-density / (np.percentile(density, 98) + 1e-6) * np.float64(log_uniform(rng, 0.5, 5)))
    down, right = np.gradient(cv2.GaussianBlur(alpha, (0, 0), size / 60))
    light = rng.uniform(0, 6.3)
    relief = (down * np.sin(light) + right * np.cos(light)) * size * rng.uniform(0.5, 3)
    shade = 130 + relief + 12 * fractal(rng, size, 4, 5)
    sheet = plain(alpha, shade)
    if rng.random() < 0.3:
        at = centre + np.array([rng.normal(0, 0.1), 1.25]) * radius
        source = solid(size, mug(rng), at, radius * rng.uniform(0.3, 0.6), shade=rng.uniform(50, 200))
        sheet = over(sheet, lit(rng, source))
    return finish(sheet)
