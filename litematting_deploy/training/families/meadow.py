"""Long grass in focus: blades that bend, break and cross, and ears full of seeds."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish
from .layout import angles, lit, log_uniform, place, stacked
from .strands import grow, headings, sampled, sideways


def _blades(rng: Generator, canvas: Canvas, lines: Points, widths: Points, tones: Points) -> None:
    """Draw blades folded along their midrib, one half lit, lines (K, M, 2), in the order given."""
    count, points = lines.shape[:2]
    profile = np.interp(np.linspace(0, 1, points), [0, 0.35, 1], [0.7, 1.0, 0.1])[:, None]
    shift = sideways(lines) * widths[:, None, None] * 0.22 * profile
    shades = tones * 0.72, tones * rng.uniform(1.1, 1.4, count)
    canvas.twofold(lines, shift, (widths, widths * 0.45), shades, tip=0.1, root=0.7)


def _broken(rng: Generator, lines: Points) -> Points:
    """Return the same lines, some with a sharp kink from which they hang. (K, M, 2)."""
    count, points = lines.shape[:2]
    knee = rng.integers(points // 3, points - 3, count)
    turn = np.where(rng.random(count) < 0.2, rng.choice([-1, 1], count) * rng.uniform(0.8, 2.2, count), 0)
    pivot = lines[np.arange(count), knee][:, None]
    rest = lines - pivot
    cos, sin = (f(turn)[:, None] for f in (np.cos, np.sin))
    bent = np.stack([cos * rest[..., 0] - sin * rest[..., 1], sin * rest[..., 0] + cos * rest[..., 1]], -1)
    return np.asarray(np.where((np.arange(points) > knee[:, None])[..., None], pivot + bent, lines))


def _ears(rng: Generator, canvas: Canvas, stalks: Points, length: float, kind: int, tone: float) -> None:
    """Draw seeds along the ends of stalks, (K, M, 2): dense as wheat (0), loose as oats (1), bristly as barley (2)."""
    seeds = 22 if kind != 1 else 30
    spots = sampled(stalks[:, -4:], np.linspace(0, 3, seeds))
    side = np.where(np.arange(seeds) % 2, 1, -1)
    heading = headings(spots) + side * rng.uniform(0.25, 0.6, spots.shape[:2])
    roots, ways = spots.reshape(-1, 2), heading.reshape(-1)
    grain = length * (0.16 if kind != 1 else 0.1)
    if kind == 1:  # on stalks of their own
        fine = grow(rng, roots, ways, length * rng.uniform(0.1, 0.5, len(roots)), 6, np.array([0, 0.7]), 0.5)
        canvas.strokes(fine, max(0.012 * length, 0.6), tone * 0.85, 0.8)
        roots, ways = fine[:, -1], angles(fine[:, -1] - fine[:, -2])
    if kind == 2:
        bristles = grow(rng, roots, ways, length * rng.uniform(0.4, 0.9, len(roots)), 6, np.zeros(2), 0.15)
        canvas.strokes(bristles, max(0.01 * length, 0.6), tone * rng.normal(1, 0.1, len(roots)), 0.3)
    grains = grow(rng, roots, ways, grain * rng.lognormal(0, 0.15, len(roots)), 7, np.zeros(2), 0.2)
    _blades(rng, canvas, grains, np.full(len(roots), max(grain * 0.34, 0.9)), tone * rng.normal(1, 0.12, len(roots)))


def long_grass(rng: Generator, size: int) -> Layer:
    """Draw tufts and meadows of long grass, near and in focus: crossing blades, broken ones, ears of several kinds."""
    centre, radius = place(rng, size, 0.3, 0.65)
    meadow = rng.random() < 0.5
    count = int(log_uniform(rng, 14, 150))
    width = max(radius * log_uniform(rng, 0.012, 0.05) * (1 if count < 60 else 0.7), 1.2)
    if meadow:
        centre = np.array([0.5, rng.uniform(0.65, 0.95)]) * size
        radius = max(radius, 0.42 * size)
    lean, droop, kind = rng.normal(0, 0.4), rng.uniform(0, 1.1), int(rng.integers(3))
    spread = 0.75 * size if meadow else radius * rng.uniform(0.1, 0.5)
    layers = [Canvas(size) for _ in range(3)]
    for canvas, light in zip(layers, (0.72, 0.86, 1.0), strict=True):
        roots = np.stack([rng.uniform(-1, 1, count) * spread, radius * rng.uniform(0.85, 1.1, count)], 1) + centre
        ways = rng.normal(-np.pi / 2 + 0.3 * lean, 0.18 if meadow else 0.35, count)
        pull = np.stack([rng.normal(lean, 0.7, count), rng.uniform(0, 1.2, count) * droop], 1)
        lengths = radius * rng.uniform(0.5, 2.2, count)
        lines = _broken(rng, grow(rng, roots, ways, lengths, 22, pull, 0.35))
        _blades(rng, canvas, lines, width * rng.lognormal(0, 0.35, count), light * rng.normal(120, 22, count))
        number = int(rng.integers(0, max(count // 4, 2)))
        if number:
            tall = radius * rng.uniform(1.3, 2.2, number)
            stalks = grow(rng, roots[:number], ways[:number], tall, 20, pull[:number] * 0.5, 0.2)
            canvas.strokes(stalks, max(width * 0.35, 0.8), light * 110, 0.7)
            _ears(rng, canvas, stalks, radius * rng.uniform(0.2, 0.4), kind, light * 155)
    return finish(lit(rng, stacked(layers, width * 1.2, 0.5), 0.15, 0.06))
