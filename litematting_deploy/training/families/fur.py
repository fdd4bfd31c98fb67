"""Fur around animal-like bodies, feathers, dandelion clocks and cotton-like tufts."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .canvas import Canvas, Layer, Points, finish
from .layout import angles, fractal, grow, headings, lit, log_uniform, place, toward, turned, within
from .shapes import Shape, animal, blob, ellipse, limb, paint

_GRID = 192


def fur(rng: Generator, size: int) -> Layer:
    """Draw an animal-like body with dense short strands along a direction field."""
    centre, radius = place(rng, size, 0.18, 0.75)
    body = _body(rng)
    canvas = Canvas(size)
    paint(canvas, body, centre, radius, rng.normal(0, 0.15), rng.uniform(70, 110))
    mask = (cv2.resize(canvas.sheet()[..., 0], (_GRID, _GRID), interpolation=cv2.INTER_AREA) > 0.5).astype(np.uint8)
    pixel = size / _GRID
    depth = cv2.distanceTransform(np.pad(mask, 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1] * pixel
    length = radius * np.float64(log_uniform(rng, 0.05, 0.28))
    heading = _heading(rng, mask, radius / pixel)
    tone = 125 + rng.uniform(10, 30) * fractal(rng, _GRID, 4, 5).astype(np.float64)
    edge = mask & (depth < length)
    coat = int(np.clip(mask.sum() * pixel**2 / 45, 500, 5000))
    rim = int(np.clip(edge.sum() * pixel**2 / 4, 1500, 8000))
    # The coat inside shows as shade only; the rim is drawn short and dense first, then long and sparse.
    for where, count, share in ((mask, coat, 1.0), (edge, rim, 0.5), (edge, rim // 3, 0.9), (edge, rim // 40, 1.6)):
        rows, columns = np.nonzero(where)
        if len(rows):
            pick = rng.integers(len(rows), size=count)
            at = rows[pick], columns[pick]
            roots = (np.stack(at[::-1], 1) + rng.uniform(0, 1, (count, 2))) * pixel
            _hairs(rng, canvas, roots, heading[at], tone[at], length * share)
    return finish(lit(rng, canvas.sheet(), 0.35, 0.06))


def _body(rng: Generator) -> Shape:
    """Return a whole animal, a face with ears, a bird, or something fluffy without a name."""
    kind = rng.random()
    if kind < 0.45:
        return animal(rng)
    if kind < 0.7:
        ear, apart = rng.uniform(0.15, 0.45), rng.uniform(0.35, 0.6)
        if rng.random() < 0.5:
            ears = [ellipse(s * apart, -0.7, 0.22, ear + 0.1, s * 0.4) for s in (-1, 1)]
        else:
            ears = [np.array([[s * 0.8, -0.3], [s * apart * 1.3, -0.8 - ear], [s * 0.15, -0.6]]) for s in (-1, 1)]
        return Shape([ellipse(0, -0.1, 0.85, 0.72), *ears, limb((0, 0.4), (0, 2.5), 0.6, 1.2)])
    if kind < 0.85:
        beak = np.array([[-0.55, -0.6], [-0.85, -0.45], [-0.5, -0.4]])
        bird = [ellipse(0, 0.2, 0.6, 0.55), ellipse(-0.3, -0.5, 0.32, 0.3), beak]
        return Shape([*bird, limb((0.4, 0.3), (1, 0.1), 0.2, 0.06)])
    return Shape([blob(rng, 0.2)])


def _heading(rng: Generator, mask: NDArray[np.uint8], radius: float) -> Points:
    """Return where the hair points, radians: outward at the rim, combed within.

    mask: (_GRID, _GRID) uint8, 1 inside the body. radius: of the body, in cells. Returns (_GRID, _GRID).
    """
    down, right = np.gradient(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(radius * 0.07, 1)))
    outward = rng.uniform(6, 25) * radius / 60
    comb = rng.normal(np.pi / 2, 0.7) + 0.6 * fractal(rng, _GRID, 3, 3)
    return np.asarray(np.arctan2(np.sin(comb) - down * outward * 6, np.cos(comb) - right * outward * 6))


def _hairs(rng: Generator, canvas: Canvas, roots: Points, ways: Points, tones: Points, length: float) -> None:
    """Draw short hairs that lean together in clumps.

    roots: (K, 2) pixels. ways: (K,) radians. tones: (K,), 0..255. length: in pixels.
    """
    count = len(roots)
    clump = fractal(rng, _GRID, 20, 2) * 0.45
    at = (roots / canvas.size * _GRID).astype(int).clip(0, _GRID - 1)
    lean = clump[at[:, 1], at[:, 0]] + rng.normal(0, 0.2, count)
    lines = grow(rng, roots, ways + lean, length * rng.lognormal(-0.1, 0.3, count), 7, np.array([0, 0.4]), 0.4)
    widths = rng.lognormal(np.log(0.9), 0.35, count).clip(0.5, 3)
    canvas.strokes(lines, widths, tones * rng.lognormal(0, 0.22, count), 0.3)


def _feather(rng: Generator, canvas: Canvas, centre: Points, radius: float, angle: float) -> None:
    """Draw a shaft with barbs that hold together in vanes, split here and there, and down at the base.

    centre: (2,) pixels, its middle. radius: half its length. angle: the way to its tip, in radians.
    """
    heading = toward(angle)
    pull = rng.normal(0, 0.4) * np.array([-heading[1], heading[0]])
    shaft = grow(rng, centre - heading * radius, [angle], [2 * radius], 60, pull, 0.02)
    width, lean = radius * rng.uniform(0.22, 0.65), rng.uniform(0.5, 1.1)
    count = int(np.clip(radius * rng.uniform(1.0, 2.2), 90, 420))
    at = np.linspace(0.2, 0.99, count)
    index = at * 59
    roots = np.stack([np.interp(index, np.arange(60), shaft[0, :, c]) for c in (0, 1)], 1)
    base = np.interp(index, np.arange(60), np.unwrap(headings(shaft[0])))
    bars = 1 + rng.uniform(0, 0.3) * np.sin(at * rng.uniform(10, 60) + rng.uniform(0, 6))
    for side in (-1, 1):
        form = np.interp(at, [0.2, 0.3, 0.6, 0.85, 1], [0.7, 1, 0.9, 0.7, 0.12]) * width * rng.uniform(0.6, 1)
        splits = np.cumsum(rng.random(count) < 0.03)
        gap = rng.normal(0, 0.18, splits[-1] + 1)[splits]
        barbs = grow(rng, roots, base + side * (lean + gap), form * rng.normal(1, 0.03, count), 12, heading * 0.9, 0.02)
        canvas.strokes(barbs, rng.lognormal(np.log(1.5), 0.2, count), 125 * bars * rng.lognormal(0, 0.1, count), 0.35)
    down = int(rng.integers(20, 160))
    low = shaft[0, rng.integers(4, 14, down)]
    ways = angle + rng.choice([-1, 1], down) * rng.uniform(0.6, 1.8, down)
    wisps = grow(rng, low, ways, width * rng.uniform(0.3, 1, down), 16, np.zeros(2), 1.2)
    canvas.strokes(wisps, rng.uniform(0.5, 1.0, down), rng.normal(160, 15, down), 0.3)
    canvas.strokes(shaft, max(radius * 0.025, 1.2), [rng.choice([70, 190])], 0.15)


def _seeds(
    rng: Generator, canvas: Canvas, starts: Points, ways: Points, length: float, hairs: int, width: float
) -> None:
    """Draw seeds on stalks from `starts`, (K, 2), along `ways`, (K, 2), each with a parachute of fine hairs at its
    end."""
    count = len(starts)
    ends = starts + ways * length
    canvas.strokes(np.stack([starts, (starts + ends) / 2, ends], 1), width, rng.normal(110, 15, count), 0.7)
    grains = np.stack([starts, starts + ways * length * 0.1, starts + ways * length * 0.22], 1)
    canvas.strokes(grains, max(length * 0.06, 1), rng.normal(60, 10, count), 0.4)
    angle = angles(ways)[:, None] + rng.uniform(-1.25, 1.25, (count, hairs))
    seen = 0.45 + 0.55 * np.linalg.norm(ways, axis=1)[:, None]
    reach = length * 0.55 * rng.uniform(0.7, 1.0, (count, hairs)) * seen
    lines = grow(rng, ends.repeat(hairs, 0), angle.ravel(), reach.ravel(), 5, np.zeros(2), 0.25)
    canvas.strokes(lines, width * rng.uniform(0.6, 1, len(lines)), rng.normal(150, 22, len(lines)), 0.6)


def _clock(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Draw a dandelion's clock on its stem, a part of it blown away.

    centre: (2,) pixels. radius: of its heart and seeds together.
    """
    way = [np.pi / 2 + rng.normal(0, 0.2)]
    stem = grow(rng, centre, way, [radius * 5], 20, np.array([rng.normal(0, 0.4), 0]), 0.1)
    canvas.strokes(stem, max(radius * 0.06, 1.5), [100], 1.0)
    count = int(rng.integers(60, 150))
    sphere = rng.normal(0, 1, (count, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    if rng.random() < 0.4:
        sphere = sphere[sphere @ rng.normal(0, 1, 3) < rng.uniform(0, 0.8)]
    sphere = sphere[np.argsort(sphere[:, 2])]
    length = radius * 0.62
    ways = sphere[:, :2]
    _seeds(rng, canvas, centre + ways * radius * 0.12, ways, length, int(rng.integers(14, 26)), rng.uniform(0.6, 1.2))
    canvas.fill(ellipse(centre[0], centre[1], radius * 0.13, radius * 0.11), 85)
    flying = int(rng.integers(0, 7))
    if flying:
        ways = toward(rng.normal(0, 0.35, flying) - 0.8)
        starts = centre + ways * radius * rng.uniform(1.2, 2.5, (flying, 1)) + rng.normal(0, 0.4, (flying, 2)) * radius
        _seeds(rng, canvas, starts, ways, length, 24, rng.uniform(0.6, 1.2))


def _tuft(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Cotton grass, thistledown, pampas or a pompon: fine hairs round a solid heart."""
    count = int(rng.integers(700, 2200))
    heart = blob(rng, 0.12) * [1, rng.uniform(0.5, 1)]
    tilt = rng.uniform(0, 6.3)
    stem = grow(rng, centre, [np.pi / 2 + rng.normal(0, 0.2)], [radius * 5], 20, np.zeros(2), 0.15)
    canvas.strokes(stem, max(radius * 0.08, 1.5), [80], 1.0)
    core = rng.uniform(0.25, 0.6)
    paint(canvas, Shape([turned(heart, tilt)]), centre, radius * core, shade=110)
    roots = turned(within(rng, heart, count, 0.02), tilt)
    ways = angles(roots) + rng.normal(0, 0.5, count)
    lengths, pull = radius * (1 - core) * rng.lognormal(0, 0.3, count), np.array([0, rng.normal(0, 0.6)])
    hairs = grow(rng, centre + roots * radius * core, ways, lengths, 10, pull, rng.uniform(0.2, 1.4))
    canvas.strokes(hairs, rng.uniform(0.5, 1.3, count), rng.normal(135, 24, count), 0.3)


def tufts(rng: Generator, size: int) -> Layer:
    """Draw feathers, dandelion clocks with their seeds, and tufts of down."""
    centre, radius = place(rng, size, 0.18, 0.55)
    canvas = Canvas(size)
    kind = rng.choice(3, p=[0.4, 0.35, 0.25])
    if kind == 0:
        angle = rng.uniform(0, 6.3)
        for _ in range(int(rng.choice([1, 1, 2, 3, 5]))):
            _feather(rng, canvas, centre + rng.normal(0, 0.25, 2) * radius, radius * rng.uniform(0.7, 1.2), angle)
            angle += rng.normal(0, 0.5)
    elif kind == 1:
        _clock(rng, canvas, centre, radius * 0.7)
    else:
        for _ in range(int(rng.integers(1, 4))):
            _tuft(rng, canvas, centre + rng.normal(0, 0.5, 2) * radius, radius * rng.uniform(0.4, 0.9))
    return finish(lit(rng, canvas.sheet(), 0.25, 0.08))
