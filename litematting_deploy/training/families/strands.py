"""The geometry of strands, worked out for thousands at once."""

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from .canvas import Floats, Points, normal
from .layout import angles, toward


def grow(
    rng: Generator, roots: Points, ways: ArrayLike, lengths: ArrayLike, points: int, pull: Points, bend: float
) -> Points:
    """Return lines, (K, points, 2), that leave `roots`, (K, 2) or (2,), at angles `ways`, (K,) radians.

    pull: (2,) or (K, 2), what they give way to; its length is how soon. bend: how much each strays, in radians over
    its length.
    """
    angle, t = np.asarray(ways, np.float64), np.linspace(0, 1, points)
    stray = np.cumsum(rng.normal(0, bend / np.sqrt(points), (len(angle), points)), 1)
    stray += rng.normal(0, bend / 2, (len(angle), 1)) * t
    aim = toward(angle)[:, None] + np.atleast_2d(pull)[:, None] * t[:, None]
    steps = toward(angles(aim) + stray)
    steps *= (np.broadcast_to(np.asarray(lengths, np.float64), angle.shape) / (points - 1))[:, None, None]
    steps[:, 0] = 0
    return np.asarray(roots[..., None, :] + np.cumsum(steps, 1))


def headings(lines: Points) -> Points:
    """Return the way that lines, (..., M, 2), go at each of their points, (..., M) radians."""
    return angles(np.gradient(lines, axis=-2))


def sideways(lines: Points) -> Points:
    """Return the unit normals of lines, (K, M, 2)."""
    return normal(np.gradient(lines, axis=1))


def sampled(lines: Points | Floats, at: Points | Floats) -> Points:
    """Return points between those of lines, (K, M, D), at (K, N) or (N,) fractional indices: (K, N, D)."""
    low = np.minimum(at.astype(int), lines.shape[1] - 2)
    rows, part = np.arange(len(lines))[:, None], (at - low)[..., None]
    return np.asarray(lines[rows, low] * (1 - part) + lines[rows, low + 1] * part)


def coiled(
    rng: Generator, lines: Points, radius: ArrayLike, turns: ArrayLike, depth: float, phase: ArrayLike, each: int = 1
) -> Points:
    """Return lines, (K, M, 2), wound into a wave (depth 0) or a ringlet seen from the side (depth near 1).

    radius, turns and phase: (K,) pixels, windings and radians. `each` lines in a row, those of a lock,
    keep together. Returns (K, M, 2).
    """
    count, points = lines.shape[:2]
    drift = np.cumsum(rng.normal(0, 1.2 / np.sqrt(points), (count // each, points)), 1).repeat(each, 0)
    angle = np.asarray(phase, np.float64)[:, None] + drift
    angle = angle + 2 * np.pi * np.asarray(turns, np.float64)[:, None] * np.linspace(0, 1, points)
    across = sideways(lines)
    along = np.stack([across[..., 1], -across[..., 0]], -1)
    size = (np.asarray(radius, np.float64)[:, None] * np.linspace(0, 3, points).clip(0, 1))[..., None]
    return np.asarray(lines + size * (np.sin(angle)[..., None] * across + depth * np.cos(angle)[..., None] * along))


def bundled(rng: Generator, guides: Points, each: int, spread: float, flare: float) -> tuple[Points, Points]:
    """Return `each` strands along every guide, (K, M, 2), `spread` pixels apart and `flare` times that at the tips.

    Returns them, (K · each, M, 2), and how far along its guide each one goes, (K · each,), 0..1.
    """
    count, points = len(guides) * each, guides.shape[1]
    reach = rng.uniform(0.6, 1.0, count) ** 0.7
    lines = sampled(np.repeat(guides, each, 0), np.linspace(0, points - 1, points) * reach[:, None])
    profile = np.interp(np.linspace(0, 1, points), [0, 0.4, 1], [1.0, 0.8, flare])
    offset = rng.normal(0, spread, (count, 1)) * profile
    offset = offset + np.cumsum(rng.normal(0, spread * 0.5 / points, (count, points)), 1)
    return lines + offset[..., None] * sideways(lines), reach
