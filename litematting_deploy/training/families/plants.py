"""Plants: branches with leaves, bushes, ferns and grass, and long grass in focus."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish
from .layout import angles, grow, headings, lit, log_uniform, place, sampled, sideways, stacked, toward, turned
from .leaves import leaf, outline_of_leaf
from .shapes import Shape, blob, paint

Spots = list[tuple[Points, float]]
"""Where leaves belong: places, (2,) pixels, and headings, radians."""


def _twig(
    rng: Generator, canvas: Canvas, root: Points, angle: float, length: float, width: float, depth: int, leaves: Spots
) -> None:
    """Draw a branch and its twigs; where leaves belong is added to `leaves`.

    root: (2,) pixels. angle: radians. length, width: in pixels. depth: how often twigs branch again.
    """
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
    """Draw up to three branches with their twigs; most bear leaves.

    centre: (2,) pixels. radius: half the size of what is drawn, in pixels.
    """
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
    """Draw dense leaves, opaque within, with holes to see through towards the rim.

    centre, radius: as those of `_branches`.
    """
    outline = outline_of_leaf(rng, 0.3)
    length = radius * rng.uniform(0.1, 0.26)
    form = blob(rng, 0.25) * radius
    paint(canvas, Shape([form * 0.6 / radius]), centre, radius, shade=70)
    ways, lengths = rng.uniform(0, 6.3, 30), rng.uniform(0.6, 0.95, 30) * radius
    twigs = grow(rng, centre, ways, lengths, 12, np.array([0, -0.3]), 0.5)
    canvas.strokes(twigs, max(radius * 0.02, 1), rng.uniform(50, 110, 30), 0.4)
    for _ in range(int(rng.integers(150, 380))):
        spot = form[rng.integers(len(form))] * np.sqrt(rng.uniform(0.1, 1.2))
        heading = float(angles(spot) + rng.normal(0, 0.9))
        leaf(rng, canvas, outline, centre + spot, heading, length * rng.lognormal(0, 0.25))


def _grass(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Draw blades from the ground, some with ears; the ground itself may be solid.

    centre, radius: as those of `_branches`.
    """
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
    """Draw fronds whose leaflets shrink towards the tip; needles where the leaflets are thin.

    centre, radius: as those of `_branches`.
    """
    count, points = int(rng.integers(3, 9)), 28
    root = centre + np.array([0, radius * 0.6])
    ways, lengths = rng.normal(-np.pi / 2, 0.8, count), radius * rng.uniform(1, 1.8, count)
    fronds = grow(rng, root, ways, lengths, points, np.array([rng.normal(0, 0.5), 0.8]), 0.3)
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


def _blades(rng: Generator, canvas: Canvas, lines: Points, widths: Points, tones: Points) -> None:
    """Draw blades folded along their midrib, one half lit, lines (K, M, 2), in the order given.

    widths: (K,) pixels. tones: (K,), 0..255.
    """
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
    """Draw seeds along the ends of stalks, (K, M, 2): dense as wheat (0), loose as oats (1), bristly as barley (2).

    length: of an ear, in pixels. tone: 0..255.
    """
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
