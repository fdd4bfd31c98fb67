"""What every family needs: noise, a place in the frame, light; points, lines, and strands by the thousand."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from .canvas import Canvas, Floats, Points, Sheet, displace, normal, over


def fractal(rng: Generator, size: int, cells: int = 4, octaves: int = 5, gain: float = 0.55) -> Floats:
    """Return smooth noise of mean 0 and variance 1, (size, size) float32; its coarsest features are size / cells
    wide."""
    # Each octave is enlarged from a grid of its own, which takes far less time than noise at full size.
    total: NDArray[np.floating] = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        grid = rng.normal(0, gain**octave, (cells * 2**octave + 3,) * 2).astype(np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray((total - total.mean()) / (total.std() + 1e-6), np.float32)


def place(rng: Generator, size: int, smallest: float = 0.12, largest: float = 0.5) -> tuple[Points, float]:
    """Return a centre, (2,) pixels, and a radius in pixels, log-uniform between fractions of the frame."""
    radius = log_uniform(rng, smallest, largest)
    # Large things stay nearer the middle, or little of them would be in the frame.
    reach = 0.5 - 0.35 * min(radius, 0.5)
    return (0.5 + rng.uniform(-reach, reach, 2) * rng.uniform(0.3, 1)) * size, radius * size


def toward(angle: ArrayLike) -> Points:
    """Return directions, (..., 2) and of length 1, at angles, (...) radians."""
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def angles(ways: Points) -> Points:
    """Return the angles, (...) radians, of directions, (..., 2)."""
    return np.asarray(np.arctan2(ways[..., 1], ways[..., 0]))


def straight(starts: Points, ends: Points, count: int) -> Points:
    """Return straight lines from `starts` to `ends`, both (..., D), as (..., count, D)."""
    t = np.linspace(0, 1, count)[:, None]
    return np.asarray(starts[..., None, :] * (1 - t) + ends[..., None, :] * t)


def bowed(starts: Points, middles: Points, ends: Points, count: int) -> Points:
    """Return quadratic Bézier curves that leave `starts` and reach `ends` towards `middles`: (..., count, D)."""
    t = np.linspace(0, 1, count)[:, None]
    part = (1 - t) ** 2 * starts[..., None, :] + 2 * t * (1 - t) * middles[..., None, :]
    return np.asarray(part + t**2 * ends[..., None, :])


def sides(corners: Points) -> list[tuple[Points, Points]]:
    """Return the sides of a closed polygon, (N, D): each corner and the next one."""
    return list(zip(corners, np.roll(corners, -1, 0), strict=True))


def within(rng: Generator, form: Points, count: int, inmost: float = 0.0, outmost: float = 1.0) -> Points:
    """Return random points, (count, 2), of an outline about (0, 0), (N, 2), evenly over its area.

    inmost, outmost: the squares of how far out they lie, 0 in the middle and 1 on the outline.
    """
    return np.asarray(form[rng.integers(len(form), size=count)] * np.sqrt(rng.uniform(inmost, outmost, (count, 1))))


def turned(points: Points, angle: float) -> Points:
    """Turn points, (..., 2), about the origin by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


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
    # Lines begin at their roots.
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
    # At the very last index there is no next point to go to.
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
    # Windings of hair are never quite even; those of a lock drift together.
    drift = np.cumsum(rng.normal(0, 1.2 / np.sqrt(points), (count // each, points)), 1).repeat(each, 0)
    angle = np.asarray(phase, np.float64)[:, None] + drift
    angle = angle + 2 * np.pi * np.asarray(turns, np.float64)[:, None] * np.linspace(0, 1, points)
    across = sideways(lines)
    along = np.stack([across[..., 1], -across[..., 0]], -1)
    # Hair leaves its root straight, and winds fully from a third of its length on.
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


def lit(rng: Generator, sheet: Sheet, relief: float = 0.35, texture: float = 0.06) -> Sheet:
    """Shade a sheet, (S, S, 2) float32: a lit and a dark side, as if its coverage were a relief, and patchy texture.

    relief: how much the coverage stands out. texture: how strong the patches are. Coverage is left as it is.
    """
    size = sheet.shape[0]
    # Light is smooth: computed on so few pixels, it costs next to nothing.
    small = cv2.resize(sheet[..., 0], (96, 96), interpolation=cv2.INTER_AREA)
    swollen = cv2.GaussianBlur(small, (0, 0), 3) + cv2.GaussianBlur(small, (0, 0), 9)
    down, right = np.gradient(swollen)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (down * np.sin(angle) + right * np.cos(angle)) * 8 * relief
    ramp = np.linspace(-1, 1, 96)
    tilt = (ramp[:, None] * np.sin(angle) + ramp * np.cos(angle)) * rng.uniform(0, 0.25)
    light = cv2.resize(np.asarray(slope + tilt, np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    light = light + texture * fractal(rng, size, 3, 6, 0.65)
    shaded = sheet.copy()
    # Shade is multiplied by coverage in a sheet, and cannot be more than white of it.
    shaded[..., 1] = np.minimum(shaded[..., 1] * np.exp(light), 255 * shaded[..., 0])
    return shaded


def warped(rng: Generator, sheet: Sheet, least: float, most: float) -> Sheet:
    """Bend a sheet, (S, S, 2) float32, smoothly by `least` to `most` of its size.

    least, most: 0..1.
    """
    size = sheet.shape[0]
    field = np.stack([fractal(rng, size, 2, 2), fractal(rng, size, 2, 2)], -1)
    return displace(sheet, field * np.float32(size * rng.uniform(least, most)))


def around(size: int, centre: Points, radius: float, angle: float = 0.0) -> tuple[Floats, Floats]:
    """Return coordinates about a centre, in radii, turned by an angle: two (size, size) float32."""
    x, y = np.meshgrid(*((np.arange(size) + 0.5 - c) / radius for c in centre))
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(cos * x + sin * y, np.float32), np.asarray(cos * y - sin * x, np.float32)


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """Return a number between `low` and `high` (both positive) whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def stacked(layers: Sequence[Canvas | Sheet], reach: float, depth: float = 0.5) -> Sheet:
    """Composite canvases or sheets, (S, S, 2) float32, from back to front; each shades what lies behind it.

    reach: how far the shadow of a sheet falls, in pixels. depth: how dark it is, 0..1. Alphas are as without shadows.
    """
    sheets = [layer.sheet() if isinstance(layer, Canvas) else layer for layer in layers]
    result, width = sheets[0], 2 * max(int(reach), 1) + 1
    shift = np.array([[1, 0, reach / 2], [0, 1, reach]], np.float64)
    for top in sheets[1:]:
        # Two box filters are nearly a Gaussian one, in a time that does not depend on the width.
        shadow = cv2.blur(cv2.blur(np.ascontiguousarray(top[..., 0]), (width, width)), (width, width))
        shadow = cv2.warpAffine(shadow, shift, shadow.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        result = result * np.stack([np.ones_like(shadow), 1 - np.float32(depth) * shadow], -1)
        result = over(top, result)
    return np.asarray(result, np.float32)
