"""Fur around animal-like bodies."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .canvas import Canvas, Layer, Points, finish
from .layout import fractal, lit, log_uniform, place
from .shapes import Shape, animal, blob, ellipse, limb, paint
from .strands import grow

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
        return Shape([ellipse(0, -0.1, 0.85, 0.72), *ears, limb((0, 0.4), (0, 2.5), 0.6, 1.2)], [])
    if kind < 0.85:
        beak = np.array([[-0.55, -0.6], [-0.85, -0.45], [-0.5, -0.4]])
        return Shape(
            [ellipse(0, 0.2, 0.6, 0.55), ellipse(-0.3, -0.5, 0.32, 0.3), beak, limb((0.4, 0.3), (1, 0.1), 0.2, 0.06)],
            [],
        )
    return Shape([blob(rng, 0.2)], [])


def _heading(rng: Generator, mask: NDArray[np.uint8], radius: float) -> Points:
    """Return where the hair points, radians: outward at the rim, combed within."""
    down, right = np.gradient(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(radius * 0.07, 1)))
    outward = rng.uniform(6, 25) * radius / 60
    comb = rng.normal(np.pi / 2, 0.7) + 0.6 * fractal(rng, _GRID, 3, 3)
    return np.asarray(np.arctan2(np.sin(comb) - down * outward * 6, np.cos(comb) - right * outward * 6))


def _hairs(rng: Generator, canvas: Canvas, roots: Points, angles: Points, tones: Points, length: float) -> None:
    """Draw short hairs that lean together in clumps."""
    count = len(roots)
    clump = fractal(rng, _GRID, 20, 2) * 0.45
    at = (roots / canvas.size * _GRID).astype(int).clip(0, _GRID - 1)
    lean = clump[at[:, 1], at[:, 0]] + rng.normal(0, 0.2, count)
    lines = grow(rng, roots, angles + lean, length * rng.lognormal(-0.1, 0.3, count), 7, np.array([0, 0.4]), 0.4)
    widths = rng.lognormal(np.log(0.9), 0.35, count).clip(0.5, 3)
    canvas.strokes(lines, widths, tones * rng.lognormal(0, 0.22, count), 0.3)
