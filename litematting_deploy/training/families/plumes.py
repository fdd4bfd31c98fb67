"""Feathers, dandelion clocks and cotton-like tufts."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish
from .layout import lit, place, turned
from .shapes import Shape, blob, ellipse, paint
from .strands import grow, headings


def _feather(rng: Generator, canvas: Canvas, centre: Points, radius: float, angle: float) -> None:
    """Draw a shaft with barbs that hold together in vanes, split here and there, and down at the base."""
    heading = np.array([np.cos(angle), np.sin(angle)])
    bend = rng.normal(0, 0.4)
    pull = bend * np.array([-heading[1], heading[0]])
    shaft = grow(rng, (centre - heading * radius)[None], [angle], [2 * radius], 60, pull, 0.02)
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
    angle = np.arctan2(ways[:, 1], ways[:, 0])[:, None] + rng.uniform(-1.25, 1.25, (count, hairs))
    seen = 0.45 + 0.55 * np.linalg.norm(ways, axis=1)[:, None]
    reach = length * 0.55 * rng.uniform(0.7, 1.0, (count, hairs)) * seen
    lines = grow(rng, ends.repeat(hairs, 0), angle.ravel(), reach.ravel(), 5, np.zeros(2), 0.25)
    canvas.strokes(lines, width * rng.uniform(0.6, 1, len(lines)), rng.normal(150, 22, len(lines)), 0.6)


def _clock(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Draw a dandelion's clock on its stem, a part of it blown away."""
    way = [np.pi / 2 + rng.normal(0, 0.2)]
    stem = grow(rng, centre[None], way, [radius * 5], 20, np.array([rng.normal(0, 0.4), 0]), 0.1)
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
        away = rng.normal(0, 0.35, flying) - 0.8
        ways = np.stack([np.cos(away), np.sin(away)], 1)
        starts = centre + ways * radius * rng.uniform(1.2, 2.5, (flying, 1)) + rng.normal(0, 0.4, (flying, 2)) * radius
        _seeds(rng, canvas, starts, ways, length, 24, rng.uniform(0.6, 1.2))


def _tuft(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Cotton grass, thistledown, pampas or a pompon: fine hairs round a solid heart."""
    count = int(rng.integers(700, 2200))
    heart = blob(rng, 0.12) * [1, rng.uniform(0.5, 1)]
    tilt = rng.uniform(0, 6.3)
    stem = grow(rng, centre[None], [np.pi / 2 + rng.normal(0, 0.2)], [radius * 5], 20, np.zeros(2), 0.15)
    canvas.strokes(stem, max(radius * 0.08, 1.5), [80], 1.0)
    core = rng.uniform(0.25, 0.6)
    paint(canvas, Shape([turned(heart, tilt)], []), centre, radius * core, shade=110)
    roots = turned(heart[rng.integers(len(heart), size=count)] * np.sqrt(rng.uniform(0.02, 1, (count, 1))), tilt)
    angles = np.arctan2(roots[:, 1], roots[:, 0]) + rng.normal(0, 0.5, count)
    lengths, pull = radius * (1 - core) * rng.lognormal(0, 0.3, count), np.array([0, rng.normal(0, 0.6)])
    hairs = grow(rng, centre + roots * radius * core, angles, lengths, 10, pull, rng.uniform(0.2, 1.4))
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
