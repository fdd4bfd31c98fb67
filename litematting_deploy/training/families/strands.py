"""The geometry of strands, worked out for thousands at once."""

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from .layout import Points


def grow(
    rng: Generator, roots: Points, angles: ArrayLike, lengths: ArrayLike, points: int, pull: Points, bend: float
) -> Points:
    """Return lines that leave `roots`, (K, 2), at `angles`, (K,) radians, and give way to `pull`, (2,) or (K, 2).

    The length of `pull` is how soon; `bend` how much each strays, in radians over its length. (K, points, 2).
    """
    angle, t = np.asarray(angles, np.float64), np.linspace(0, 1, points)
    stray = np.cumsum(rng.normal(0, bend / np.sqrt(points), (len(roots), points)), 1)
    stray += rng.normal(0, bend / 2, (len(roots), 1)) * t
    aim = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None] + np.atleast_2d(pull)[:, None] * t[:, None]
    heading = np.arctan2(aim[..., 1], aim[..., 0]) + stray
    steps = np.stack([np.cos(heading), np.sin(heading)], -1)
    steps *= (np.broadcast_to(np.asarray(lengths, np.float64), angle.shape) / (points - 1))[:, None, None]
    steps[:, 0] = 0
    return np.asarray(roots[:, None] + np.cumsum(steps, 1))


def headings(lines: Points) -> Points:
    """Return the way that lines, (..., M, 2), go at each of their points, (..., M) radians."""
    along = np.gradient(lines, axis=-2)
    return np.asarray(np.arctan2(along[..., 1], along[..., 0]))


def sideways(lines: Points) -> Points:
    """Return the unit normals of lines, (K, M, 2)."""
    along = np.gradient(lines, axis=1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-9
    return np.stack([-along[..., 1], along[..., 0]], -1)


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
    normal = sideways(lines)
    along = np.stack([normal[..., 1], -normal[..., 0]], -1)
    size = (np.asarray(radius, np.float64)[:, None] * np.linspace(0, 3, points).clip(0, 1))[..., None]
    return np.asarray(lines + size * (np.sin(angle)[..., None] * normal + depth * np.cos(angle)[..., None] * along))


def bundled(rng: Generator, guides: Points, each: int, spread: float, flare: float) -> tuple[Points, Points]:
    """Return `each` strands along every guide, (K, M, 2), `spread` pixels apart and `flare` times that at the tips.

    Returns them, (K · each, M, 2), and how far along its guide each one goes, (K · each,), 0..1.
    """
    count, points = guides.shape[:2]
    lines = np.repeat(guides, each, 0)
    reach = rng.uniform(0.6, 1.0, count * each) ** 0.7
    at = np.linspace(0, points - 1, points) * reach[:, None]
    low = np.minimum(at.astype(int), points - 2)
    rows = np.arange(count * each)[:, None]
    weight = (at - low)[..., None]
    lines = lines[rows, low] * (1 - weight) + lines[rows, low + 1] * weight
    profile = np.interp(np.linspace(0, 1, points), [0, 0.4, 1], [1.0, 0.8, flare])
    offset = rng.normal(0, spread, (count * each, 1)) * profile
    offset = offset + np.cumsum(rng.normal(0, spread * 0.5 / points, (count * each, points)), 1)
    return lines + offset[..., None] * sideways(lines), reach
