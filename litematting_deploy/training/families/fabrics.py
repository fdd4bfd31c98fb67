"""Nets, tulle, chain-link and lace."""

from itertools import product

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, Sheet, finish, over
from .layout import fractal, lit, place, turned
from .shapes import Shape, blob, ellipse, rounded, solid, something


class _Drape:
    """The way from the cloth's flat (x, y), in pixels about (0, 0), to where it hangs in the picture."""

    def __init__(self, rng: Generator, size: int, centre: Points) -> None:
        self._noise = np.stack([fractal(rng, 64, 3, 2), fractal(rng, 64, 3, 2)], -1) * size * rng.uniform(0.002, 0.03)
        self._angle, self._size, self._centre = rng.uniform(0, np.pi), size, centre
        # Folds crowd the threads along one direction and fan out along the other.
        self._fold = size * rng.uniform(0, 0.02) * (rng.random() < 0.6)
        self._pitch, self._fan = rng.uniform(3, 9) / size, rng.uniform(-0.5, 0.5)

    def __call__(self, flat: Points) -> Points:
        """Return where points of the flat cloth, (K, ..., 2), hang: the same shape, pixels."""
        x, y = flat[..., 0], flat[..., 1]
        folds = self._fold * np.sin(2 * np.pi * self._pitch * x) * (1 + y / self._size)
        x = x * (1 + self._fan * y / self._size) + folds
        points = turned(np.stack([x, y], -1), self._angle)
        grid = ((points / self._size + 1) / 2 * 63).clip(0, 63).astype(np.float32)
        grid = grid.reshape(len(points), -1, 2)
        shift = np.asarray(cv2.remap(self._noise, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR), np.float64)
        return np.asarray(points + shift.reshape(points.shape) + self._centre)


def _threads(rng: Generator, canvas: Canvas, lines: Points, width: float) -> None:
    """Draw threads, (K, M, 2) pixels, each of its own brightness."""
    canvas.strokes(lines, width, rng.normal(128, 16, len(lines)), 1.0)


def _steps(size: int, cell: float) -> Points:
    """Return the places of threads, (N,) pixels about 0, `cell` apart, over more than the frame."""
    return np.arange(-0.95 * size, 0.95 * size, cell)


def _mesh(rng: Generator, canvas: Canvas, drape: _Drape, cell: float, width: float) -> None:
    """Draw a fishing net: two sets of threads, knotted where they cross.

    cell: the threads' distance, in pixels. width: of a thread, in pixels.
    """
    steps = _steps(canvas.size, cell)
    run = np.linspace(-0.95, 0.95, 120) * canvas.size
    lines = np.stack(np.broadcast_arrays(run[None], steps[:, None]), -1)
    _threads(rng, canvas, drape(lines), width)
    _threads(rng, canvas, drape(lines[..., ::-1]), width)
    if cell > 0.01 * canvas.size + 5 * width and rng.random() < 0.8:
        knots = drape(np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2))
        inside = ((knots > -20) & (knots < canvas.size + 20)).all(1)
        across = rng.normal(0, 1, (inside.sum(), 1, 2))
        across *= width * 1.3 / (np.linalg.norm(across, axis=-1, keepdims=True) + 1e-6)
        ends = knots[inside][:, None] + np.concatenate([-across, 0 * across, across], 1)
        canvas.strokes(ends, width * 2.8, rng.normal(105, 15, len(ends)), 1.0)


def _tulle(rng: Generator, canvas: Canvas, drape: _Drape, cell: float, width: float) -> None:
    """Draw hexagons: threads that run together and apart again.

    cell, width: as those of `_mesh`.
    """
    side = max(cell * 0.4, 3 * width)
    rise = side * 0.87
    steps = _steps(canvas.size, rise)
    k = np.arange(int(1.9 * canvas.size / (3 * side)) * 4)
    x = (3 * (k // 4) + np.array([0, 1, 1.5, 2.5])[k % 4]) * side - 0.95 * canvas.size
    wave = np.array([0, 0, rise, rise])[k % 4]
    odd = (np.arange(len(steps)) % 2)[:, None]
    y = steps[:, None] + np.where(odd, rise - wave, wave)
    _threads(rng, canvas, drape(np.stack(np.broadcast_arrays(x, y), -1)), width)


def _chain(rng: Generator, canvas: Canvas, drape: _Drape, cell: float, width: float) -> None:
    """Draw chain-link wire: zigzags that hook into each other.

    cell, width: as those of `_mesh`.
    """
    steps = _steps(canvas.size, cell)
    x = _steps(canvas.size, cell / 2)
    zigzag = np.where(np.arange(len(x)) % 2, 1, -1) * cell * 0.53
    lines = np.stack([np.broadcast_to(x, (len(steps), len(x))), steps[:, None] + zigzag], -1)
    lines[1::2, :, 1] -= 2 * zigzag
    _threads(rng, canvas, drape(lines), width)


def _lace(rng: Generator, canvas: Canvas, drape: _Drape, cell: float, width: float) -> None:
    """Draw cloth pierced by a repeated flower, on a ground of fine mesh, with threads across its holes.

    cell, width: as those of `_mesh`; a flower takes three cells.
    """
    cell = max(cell * 3, 36)
    petals, reach = int(rng.integers(4, 9)), rng.uniform(0.24, 0.34)
    canvas.fill(drape(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.95 * canvas.size), 120)
    motif: list[Points] = [ellipse(0, 0, 0.09, 0.09, count=16)]
    for k in range(petals):
        angle = 2 * np.pi * k / petals
        motif.append(turned(ellipse(reach, 0, reach * 0.55, reach * min(2.2 / petals, 0.5), count=20), angle))
        motif.append(turned(ellipse(reach * 1.35, 0, 0.035, 0.035, count=10), angle + np.pi / petals))
    motif += [ellipse(0.5, 0.5, 0.13, 0.13, count=16) + off for off in ([0, 0], [-0.5, 0], [0, -0.5])]
    span = np.arange(-0.95 * canvas.size / cell, 0.95 * canvas.size / cell)
    for x, y in product(span, span):
        middle = np.array([[x, y]]) * cell
        if (np.abs(drape(middle)[0] - canvas.size / 2) < canvas.size / 2 + cell).all():
            for hole in motif:
                canvas.erase(drape(hole * cell + middle))
    if rng.random() < 0.6:
        _mesh(rng, canvas, drape, max(cell * 0.1, 5), max(width * 0.4, 0.6))


def _cut(rng: Generator, size: int, sheet: Sheet, centre: Points, radius: float) -> Sheet:
    """Return the cloth cut to a piece with a hem; perhaps something solid behind it.

    sheet: (S, S, 2) float32. centre: (2,) pixels. radius: of the piece, in pixels.
    """
    piece = rounded(rng) if rng.random() < 0.4 else blob(rng, 0.2)
    piece = turned(piece, rng.uniform(0, 6.3)) * radius + centre
    stencil = Canvas(size)
    stencil.fill(piece)
    sheet = sheet * stencil.sheet()[..., :1]
    if rng.random() < 0.7:
        hem = Canvas(size)
        hem.outlined(piece, rng.uniform(1, 6), [rng.uniform(90, 160)])
        sheet = over(hem.sheet(), sheet)
    return np.asarray(sheet, np.float32)


def net(rng: Generator, size: int) -> Layer:
    """Draw fishing nets, tulle, chain-link fence and lace, hanging in folds, some of it over something solid."""
    centre, radius = place(rng, size, 0.25, 0.75)
    canvas, drape = Canvas(size), _Drape(rng, size, centre)
    kind = (_mesh, _tulle, _chain, _lace)[int(rng.choice(4, p=[0.35, 0.2, 0.15, 0.3]))]
    width = rng.lognormal(np.log(1.5), 0.5)
    cell = max(size * np.exp(rng.uniform(np.log(0.012), np.log(0.07))), 4.5 * width)
    kind(rng, canvas, drape, cell, width)
    sheet = canvas.sheet()
    if rng.random() < 0.65:
        sheet = _cut(rng, size, sheet, centre, radius)
    if rng.random() < 0.55:
        at = centre + rng.normal(0, 0.4, 2) * radius
        shape = something(rng) if rng.random() < 0.6 else Shape([blob(rng)])
        behind = radius * rng.uniform(0.3, 0.8), rng.normal(0, 0.3), rng.uniform(60, 200)
        sheet = over(sheet, solid(size, shape, at, *behind))
    return finish(lit(rng, sheet, 0.15, 0.1))
