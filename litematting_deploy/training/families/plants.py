"""Plants: branches with leaves, bushes, grass and ferns."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish
from .layout import angles, lit, place, toward, turned
from .leaves import leaf, outline_of_leaf
from .shapes import Shape, blob, paint
from .strands import grow, headings

Spots = list[tuple[Points, float]]
"""Where leaves belong: places, (2,) pixels, and headings, radians."""


def _twig(
    rng: Generator, canvas: Canvas, root: Points, angle: float, length: float, width: float, depth: int, leaves: Spots
) -> None:
    """Draw a branch and its twigs; where leaves belong is added to `leaves`."""
    stem = grow(rng, root, [angle], [length], 14, np.array([0, rng.normal(0, 0.3)]), 0.6)
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
    for _ in range(int(rng.integers(1, 4))):
        root = centre - toward(angle) * radius + rng.normal(0, 0.12, 2) * radius
        way, length = angle + float(rng.normal(0, 0.3)), radius * rng.uniform(1.4, 2)
        _twig(rng, canvas, root, way, length, max(radius * rng.uniform(0.015, 0.05), 1), 2, leaves)
    if rng.random() < 0.12:
        return  # bare
    outline = outline_of_leaf(rng, 0.3)
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
    outline = outline_of_leaf(rng, 0.3)
    length = radius * rng.uniform(0.1, 0.26)
    form = blob(rng, 0.25) * radius
    paint(canvas, Shape([form * 0.6 / radius], []), centre, radius, shade=70)
    ways, lengths = rng.uniform(0, 6.3, 30), rng.uniform(0.6, 0.95, 30) * radius
    twigs = grow(rng, centre, ways, lengths, 12, np.array([0, -0.3]), 0.5)
    canvas.strokes(twigs, max(radius * 0.02, 1), rng.uniform(50, 110, 30), 0.4)
    for _ in range(int(rng.integers(150, 380))):
        spot = form[rng.integers(len(form))] * np.sqrt(rng.uniform(0.1, 1.2))
        heading = float(angles(spot) + rng.normal(0, 0.9))
        leaf(rng, canvas, outline, centre + spot, heading, length * rng.lognormal(0, 0.25))


def _grass(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Draw blades from the ground, some with ears; the ground itself may be solid."""
    count = int(rng.integers(80, 500))
    ground = centre[1] + radius * 0.8
    across = centre[0] + rng.normal(0, rng.uniform(0.3, 1.2), count) * radius
    roots = np.stack([across, ground + rng.uniform(0, 0.15, count) * radius], 1)
    lean = rng.normal(0, 0.5)
    ways, lengths = rng.normal(-np.pi / 2, 0.25, count), radius * rng.uniform(0.5, 1.9, count)
    pull = np.stack([rng.normal(lean, 0.8, count), rng.uniform(0, 0.8, count)], 1)
    blades = grow(rng, roots, ways, lengths, 16, pull, 0.3)
    widths = rng.lognormal(np.log(radius * rng.uniform(0.008, 0.025)), 0.3, count).clip(0.8)
    canvas.strokes(blades, widths, rng.normal(120, 28, count), 0.15)
    if rng.random() < 0.5:
        for blade in blades[: int(rng.integers(3, 25))]:
            ways = rng.normal(angles(blade[-1] - blade[-3]), 0.5, 36)
            ears = grow(rng, blade[-6:].repeat(6, 0), ways, radius * rng.uniform(0.05, 0.14, 36), 4, np.zeros(2), 0.1)
            canvas.strokes(ears, rng.uniform(0.7, 2.5, 36), rng.normal(150, 20, 36), 0.3)
    x = np.linspace(-9, 9, 160)
    top = 0.85 + 0.04 * np.cumsum(rng.normal(0, 0.5, 160)).clip(-2, 2) + rng.normal(0, 0.012, 160)
    soil = np.concatenate([np.stack([x, top], 1), [[9, 9], [-9, 9]]])
    canvas.fill(soil * radius + centre, 80)
    front = int(count * 0.4)
    low = np.stack([blades[:front, 0, 0], np.full(front, ground + 0.2 * radius)], 1)
    ways, lengths = rng.normal(-np.pi / 2, 0.3, front), radius * rng.uniform(0.2, 0.7, front)
    short = grow(rng, low, ways, lengths, 10, np.zeros(2), 0.4)
    canvas.strokes(short, widths[:front], rng.normal(120, 28, front), 0.15)


def _fern(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Draw fronds whose leaflets shrink towards the tip; needles where the leaflets are thin."""
    count, points = int(rng.integers(3, 9)), 28
    root = centre + np.array([0, radius * 0.6])
    ways, lengths = rng.normal(-np.pi / 2, 0.8, count), radius * rng.uniform(1, 1.8, count)
    pull = np.array([rng.normal(0, 0.5), 0.8])
    fronds = grow(rng, root, ways, lengths, points, pull, 0.3)
    leaflet = radius * rng.uniform(0.12, 0.35)
    thick, droop = leaflet * rng.uniform(0.03, 0.25), rng.uniform(0.5, 1.1)
    for frond in fronds:
        ways, lengths = headings(frond)[2:], leaflet * np.linspace(1, 0.1, points - 2)
        widths = np.linspace(thick, thick * 0.3, points - 2).clip(0.7)
        for side in (-1, 1):
            lines = grow(rng, frond[2:], ways + side * droop, lengths, 7, np.array([0, 0.3]), 0.15)
            canvas.strokes(lines, widths, rng.normal(125, 22, points - 2), 0.2)
    canvas.strokes(fronds, max(radius * 0.015, 1), rng.uniform(60, 120, count), 0.3)


def foliage(rng: Generator, size: int) -> Layer:
    """Draw branches with leaves, bushes, grass or ferns."""
    canvas = Canvas(size)
    centre, radius = place(rng, size, 0.18, 0.65)
    kind = (_branches, _bush, _grass, _fern)[int(rng.choice(4, p=[0.4, 0.25, 0.2, 0.15]))]
    kind(rng, canvas, centre, radius)
    return finish(lit(rng, canvas.sheet(), 0.2, 0.12))
