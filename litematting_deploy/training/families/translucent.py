"""Glass, translucent cloth, smoke and steam, computed at every pixel."""

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Floats, Layer, Points, Sheet, displace, finish, over, plain
from .layout import around, fractal, lit, log_uniform, place
from .shapes import mug, solid, something


def profile(rng: Generator) -> tuple[Floats, Floats, float, float]:
    """Return half widths of a vessel over y from -1 (rim) to 1 (foot), and the heights between which it can hold
    liquid."""
    kind = rng.integers(4)
    bowl, y = rng.uniform(0.3, 0.5), np.linspace(-1, 1, 200)
    if kind == 0:  # goblet
        depth = rng.uniform(-0.1, 0.3)
        t = ((y + 1) / (depth + 1)).clip(0, 1)
        cup = bowl * (1 - t ** rng.uniform(2, 5)) ** 0.5 * (0.8 + 0.2 * np.sin(np.pi * (t * 0.8 + 0.1)))
        foot = bowl * rng.uniform(0.6, 0.9) * np.clip((y - 0.9) / 0.08, 0, 1) ** 2
        width, top, bottom = np.maximum(np.maximum(cup, rng.uniform(0.025, 0.05)), foot), -1.0, depth
    elif kind == 1:  # bottle
        neck = rng.uniform(0.08, 0.14)
        shoulder = rng.uniform(-0.5, -0.1)
        t = ((y - shoulder) / 0.35).clip(0, 1)
        width = neck + (bowl * 0.8 - neck) * (t * t * (3 - 2 * t)) + 0.025 * (y < -0.92)
        top, bottom = shoulder, 0.97
    elif kind == 2:  # tumbler or jar
        width = bowl * (1 - rng.uniform(0, 0.35) * (y + 1) / 2) * (1 - ((y + 1) / 2) ** 40)
        top, bottom = -1.0, 0.93
    else:  # bulb or vase
        width = bowl * (0.45 + 0.75 * np.sin(np.pi * ((y + 1) / 2) ** rng.uniform(0.7, 1.4)))
        top, bottom = -0.9, 0.96
    return np.asarray(y, np.float32), np.asarray(width, np.float32), top, bottom


def _vessel(rng: Generator, size: int, centre: Points, radius: float) -> Sheet:
    """Return something turned of glass: thin in the middle, bright at its rims, with reflections and perhaps a liquid.

    centre: (2,) pixels. radius: half its height, in pixels. Returns (size, size, 2) float32.
    """
    x, y = around(size, centre, radius, rng.normal(0, 0.15))
    heights, widths, top, bottom = profile(rng)
    half = np.interp(y, heights, widths, 0, 0).astype(np.float32)
    inside = np.clip((half - np.abs(x)) * radius + 0.5, 0, 1) * (np.abs(y) < 1)
    across = np.clip(x / np.maximum(half, 1e-3), -1, 1)
    clear = rng.uniform(0.03, 0.25)
    wall = np.exp(-np.clip(half - np.abs(x), 0, None) * radius / rng.uniform(1.5, 8))
    alpha = clear + rng.uniform(0.5, 0.95) * np.maximum(wall, np.abs(across) ** rng.uniform(6, 20))
    if rng.random() < 0.55:
        level = rng.uniform(top, bottom - 0.1)
        depth = np.clip((y - level + 0.03 * np.sqrt(np.clip(1 - across**2, 0, 1))) * radius, 0, 1)
        depth *= np.clip((bottom - y) * radius, 0, 1) * np.clip((0.93 * half - np.abs(x)) * radius, 0, 1)
        alpha += depth * rng.uniform(0.2, 0.95)
    for height in (-1.0, 1.0):  # the rim and the foot, as ellipses
        edge = float(np.interp(height * 0.97, heights, widths))
        near = np.square(x / (edge + 1e-3)) + np.square((y - height * 0.985) / (edge * 0.16 + 1e-3))
        ring = np.abs(np.sqrt(near) - 1)
        alpha += 0.7 * np.exp(-np.square(ring * edge * 0.3 * radius)) * (half > 0)
    alpha *= 1 + 0.05 * fractal(rng, size, 3, 3)
    shade = 110 + 60 * np.abs(across) ** 3 * rng.choice([-1, 1])
    for _ in range(int(rng.integers(1, 5))):  # reflections of windows
        at, wide = rng.uniform(-0.8, 0.8), rng.uniform(0.02, 0.09)
        low, high = np.sort(rng.uniform(-0.95, 0.9, 2))
        narrow = np.maximum(wide, 1.5 / np.maximum(half * radius, 1))
        glint = (half * radius > 4) * np.exp(-(np.square((across - at) / narrow) ** 2))
        glint = glint / (1 + np.exp(-(y - low) * 60)) / (1 + np.exp((y - high) * 60))
        alpha += glint * rng.uniform(0.3, 0.95)
        shade += 120 * glint
    return plain(alpha.clip(0, 1) * inside, shade)


def _bubbles(rng: Generator, size: int, centre: Points, radius: float) -> Sheet:
    """Return a few bubbles, bright at their rims and where they mirror a window."""
    sheet = np.zeros((size, size, 2), np.float32)
    for _ in range(int(rng.integers(1, 7))):
        middle = centre + rng.normal(0, 0.6, 2) * radius
        r = radius * rng.uniform(0.15, 0.8)
        x, y = around(size, middle, r, rng.uniform(0, 6.3))
        rho = np.hypot(x, y)
        inside = np.clip((1 - rho) * r + 0.5, 0, 1)
        alpha = rng.uniform(0.02, 0.15) + rng.uniform(0.4, 0.95) * rho ** rng.uniform(4, 16)
        for side in (-0.62, 0.6):
            spot = np.exp(-np.square(np.square((x - side) / 0.13) + np.square(y / rng.uniform(0.15, 0.4))))
            alpha += spot * rng.uniform(0.3, 0.9)
        shade = 120 + 40 * fractal(rng, size, 4, 3) + 60 * rho**6
        sheet = over(plain(alpha * inside, shade), sheet)
    return sheet


def _veil(rng: Generator, size: int, centre: Points, radius: float) -> Sheet:
    """Return thin cloth in folds: denser where it turns away from the eye or lies double; perhaps over something
    solid."""
    x, y = around(size, centre, radius, rng.normal(0, 0.4))
    spread = rng.uniform(0.4, 0.7) + rng.uniform(0, 0.6) * np.clip((y + 1) / 2, 0, 1)
    across = (x + rng.uniform(0.01, 0.05) * fractal(rng, size, 2, 2) * (1 + y)) / spread
    opacity = rng.uniform(0.15, 0.5)
    depth, slope = np.zeros_like(x), np.zeros_like(x)
    for _ in range(4):
        wave = rng.uniform(4, 26) * across + rng.uniform(0, 6.3)
        height = rng.uniform(0.3, 1.2)
        depth += np.asarray(height * np.sin(wave), np.float32)
        slope += np.asarray(height * np.cos(wave), np.float32)
    layers = np.sqrt(1 + np.square(slope)) + 1.2 / (1 + np.exp(-(depth - 1) * 12))
    hem = 1 + rng.uniform(0, 0.05) * depth
    edge = np.minimum(1 - np.abs(across), np.minimum(hem - y, y + 1)) * radius * 0.5
    alpha = (1 - (1 - opacity) ** layers) * np.clip(edge + 0.5, 0, 1)
    alpha = np.maximum(alpha, np.clip(edge + 0.5, 0, 1) * np.clip(rng.uniform(0, 4) - np.abs(edge), 0, 1) * 0.7)
    sheet = plain(alpha, 128 + 22 * depth * np.sign(rng.normal()) + 8 * slope)
    if rng.random() < 0.5:
        shape, at = something(rng), centre + rng.normal(0, 0.3, 2) * radius
        behind = solid(size, shape, at, radius * rng.uniform(0.4, 0.9), 0, rng.uniform(60, 200))
        sheet = over(sheet, lit(rng, behind))
    return sheet


def glass(rng: Generator, size: int) -> Layer:
    """Draw goblets, bottles, jars and bubbles of glass, and translucent cloth."""
    centre, radius = place(rng, size, 0.25, 0.65)
    kind = (_vessel, _bubbles, _veil)[int(rng.choice(3, p=[0.5, 0.15, 0.35]))]
    sheet = kind(rng, size, centre, radius)
    if kind is _vessel and rng.random() < 0.25:
        sheet = over(_vessel(rng, size, centre + rng.normal(0, 0.7, 2) * radius, radius * rng.uniform(0.6, 1)), sheet)
    return finish(sheet)


def _swirled(rng: Generator, noise: Floats, reach: float) -> Floats:
    """Return noise carried along by a divergence-free flow, in a few steps, so that it curls.

    noise: (S, S) float32. reach: the farthest that a step carries, in pixels.
    """
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
    sheet = plain(alpha, 130 + relief + 12 * fractal(rng, size, 4, 5))
    if rng.random() < 0.3:
        at = centre + np.array([rng.normal(0, 0.1), 1.25]) * radius
        source = solid(size, mug(rng), at, radius * rng.uniform(0.3, 0.6), shade=rng.uniform(50, 200))
        sheet = over(sheet, lit(rng, source))
    return finish(sheet)
