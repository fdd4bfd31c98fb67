"""Branches and bushes, and the family of foliage."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, finish
from .grass import fern, grass
from .layout import Points, lit, place, turned
from .leaves import leaf, palmate, simple
from .shapes import Shape, blob, paint
from .strands import grow, headings

Spots = list[tuple[Points, float]]
"""Where leaves belong: places, (2,) pixels, and headings, radians."""


def _twig(
    rng: Generator, canvas: Canvas, root: Points, angle: float, length: float, width: float, depth: int, leaves: Spots
) -> None:
    """Draw a branch and its twigs; where leaves belong is added to `leaves`."""
    stem = grow(rng, root[None], [angle], [length], 14, np.array([0, rng.normal(0, 0.3)]), 0.6)
    canvas.strokes(stem, width, [rng.uniform(60, 110)], 0.45)
    ways, thinner = headings(stem[0]).tolist(), max(width * 0.55, 0.8)
    for k in range(2, 14):
        side = (-1) ** k * rng.uniform(0.5, 1.2)
        if depth > 0 and rng.random() < 0.42:
            shorter = length * rng.uniform(0.3, 0.6)
            _twig(rng, canvas, stem[0, k], ways[k] + side, shorter, thinner, depth - 1, leaves)
        if depth < 2:
            leaves.append((stem[0, k], ways[k] + side * 0.9))
    leaves.append((stem[0, -1], ways[-1]))


def _branches(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    leaves: Spots = []
    angle = float(-np.pi / 2 + rng.normal(0, 0.7))
    aim = np.array([np.cos(angle), np.sin(angle)])
    for _ in range(int(rng.integers(1, 4))):
        root = centre - aim * radius + rng.normal(0, 0.12, 2) * radius
        way, length = angle + float(rng.normal(0, 0.3)), radius * rng.uniform(1.4, 2)
        _twig(rng, canvas, root, way, length, max(radius * rng.uniform(0.015, 0.05), 1), 2, leaves)
    if rng.random() < 0.12:
        return  # bare
    outline = palmate(rng) if rng.random() < 0.3 else simple(rng)
    length = radius * rng.uniform(0.1, 0.35)
    keep = min(1.0, 220 / len(leaves)) * rng.uniform(0.5, 1)
    for at, heading in leaves:
        if rng.random() < keep:
            size = length * rng.lognormal(0, 0.25)
            stalk = at + turned(np.array([size * 0.15, 0]), heading)
            canvas.strokes(np.stack([at, stalk])[None], max(size * 0.02, 0.7), [100], 0.8)
            leaf(rng, canvas, outline, stalk, heading + float(rng.normal(0, 0.35)), size)


def _bush(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Dense leaves, opaque within, with holes to see through towards the rim."""
    outline = palmate(rng) if rng.random() < 0.3 else simple(rng)
    length = radius * rng.uniform(0.1, 0.26)
    form = blob(rng, 0.25) * radius
    paint(canvas, Shape([form * 0.6 / radius], []), centre, radius, shade=70)
    ways, lengths = rng.uniform(0, 6.3, 30), rng.uniform(0.6, 0.95, 30) * radius
    twigs = grow(rng, np.repeat(centre[None], 30, 0), ways, lengths, 12, np.array([0, -0.3]), 0.5)
    canvas.strokes(twigs, max(radius * 0.02, 1), rng.uniform(50, 110, 30), 0.4)
    for _ in range(int(rng.integers(150, 380))):
        spot = form[rng.integers(len(form))] * np.sqrt(rng.uniform(0.1, 1.2))
        heading = float(np.arctan2(spot[1], spot[0]) + rng.normal(0, 0.9))
        leaf(rng, canvas, outline, centre + spot, heading, length * rng.lognormal(0, 0.25))


def foliage(rng: Generator, size: int) -> Layer:
    """Draw branches with leaves, bushes, grass or ferns."""
    canvas = Canvas(size)
    centre, radius = place(rng, size, 0.18, 0.65)
    kind = (_branches, _bush, grass, fern)[int(rng.choice(4, p=[0.4, 0.25, 0.2, 0.15]))]
    kind(rng, canvas, centre, radius)
    return finish(lit(rng, canvas.sheet(), 0.2, 0.12))
