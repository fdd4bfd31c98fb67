"""The outlines of solid things."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Points, Sheet
from .layout import angles, toward, turned


class Shape(NamedTuple):
    """Outlines in a square of about -1..1, y down: the union of `solids` less the `holes`, each (N, 2) float64."""

    solids: list[Points]
    holes: Sequence[Points] = ()


def ellipse(x: float, y: float, a: float, b: float, angle: float = 0.0, count: int = 64) -> Points:
    """Return an ellipse about (x, y) with half axes a and b.

    angle: radians, by which it is turned about its middle. Returns (count, 2).
    """
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.asarray(turned(toward(t) * [a, b], angle) + np.array([x, y]))


def blob(rng: Generator, roughness: float = 0.3) -> Points:
    """Return a closed smooth outline about the unit circle."""
    t = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    order = np.arange(1, 8)
    # Falling with the order, or the outline would be jagged rather than lobed.
    swing = rng.normal(0, roughness, (2, 7)) / order**1.2
    # An exponential is positive, so that the outline never crosses itself.
    radius: Points = np.exp((swing[0] * np.cos(np.outer(t, order)) + swing[1] * np.sin(np.outer(t, order))).sum(1))
    return np.asarray(radius[:, None] * toward(t) / radius.max())


def rounded(rng: Generator) -> Points:
    """Return a superellipse: between a box with rounded corners and a lens."""
    around = toward(np.linspace(0, 2 * np.pi, 160, endpoint=False))
    box = np.sign(around) * np.abs(around) ** (2 / rng.uniform(1.5, 8))
    return np.asarray(box * [1, rng.uniform(0.3, 1)])


def star(rng: Generator) -> Points:
    """Return a star or a cog."""
    spikes = int(rng.integers(4, 12))
    t = np.linspace(0, 2 * np.pi, 2 * spikes, endpoint=False)
    return toward(t) * np.where(np.arange(2 * spikes) % 2, rng.uniform(0.35, 0.8), 1)[:, None]


def limb(start: tuple[float, float], end: tuple[float, float], thick: float, thin: float) -> Points:
    """Return a rounded bar that tapers from one point to another.

    thick, thin: half its width at `start` and at `end`. Returns (32, 2).
    """
    a, b = np.array(start), np.array(end)
    half = toward(np.linspace(np.pi / 2, 3 * np.pi / 2, 16) + angles(b - a))
    return np.concatenate([a + thick * half, b - thin * half])


def bust(wide: float, power: float, middle: float, high: float, foot: tuple[float, float]) -> Points:
    """Return shoulders about y = `middle`, rounder with `power`, and the trunk below them.

    foot: half the trunk's width at its lower end, and where that is.
    """
    around = toward(np.linspace(-np.pi, 0, 40))
    x = wide * np.sign(around[:, 0]) * np.abs(around[:, 0]) ** power
    line = np.stack([x, middle + high * around[:, 1]], 1)
    return np.concatenate([line, np.array([[1, 1], [-1, 1]]) * foot])


def person(rng: Generator) -> Shape:
    """Return head, neck and shoulders."""
    lean, wide = rng.normal(0, 0.08), rng.uniform(0.6, 0.95)
    head = ellipse(lean, -0.5, rng.uniform(0.26, 0.34), 0.4)
    return Shape([head, limb((lean, -0.3), (0, 0.3), 0.17, 0.22), bust(wide, 0.6, 0.55, 0.45, (wide, 2.5))])


def animal(rng: Generator) -> Shape:
    """Return a four-legged animal from the side, or a sitting one from the front."""
    ear = rng.uniform(0.1, 0.3)
    if rng.random() < 0.5:
        head = [ellipse(0, -0.45, 0.38, 0.33), ellipse(0, 0.35, 0.48, 0.65)]
        ears = [np.array([[s * 0.34, -0.5], [s * 0.33, -0.72 - ear], [s * 0.05, -0.7]]) for s in (-1, 1)]
        tail = limb((0.3, 0.85), (0.75, 0.4 + rng.uniform(-0.4, 0.4)), 0.12, 0.06)
        return Shape([*head, *ears, tail])
    legs = [limb((x, 0.1), (x + rng.normal(0, 0.1), 0.75), 0.13, 0.07) for x in (-0.5, -0.35, 0.3, 0.48)]
    head = [ellipse(-0.72, -0.38, 0.25, 0.2, -0.3), limb((-0.5, -0.1), (-0.7, -0.3), 0.2, 0.15)]
    ears = [np.array([[-0.75, -0.5], [-0.66, -0.6 - ear], [-0.55, -0.45]])]
    tail = limb((0.6, -0.1), (0.95, rng.uniform(-0.6, 0.3)), 0.08, 0.03)
    return Shape([ellipse(0, 0, 0.65, 0.3), *head, *legs, *ears, tail])


def hand(rng: Generator) -> Shape:
    """Return a hand with spread fingers and a piece of the arm."""
    spread = rng.uniform(0.15, 0.35)
    fingers = []
    for k in range(4):
        angle = (k - 1.5) * spread - np.pi / 2
        root = (0.24 * (k - 1.5) * 0.8, -0.1)
        length = (0.6, 0.72, 0.68, 0.5)[k] * rng.uniform(0.8, 1.05)
        fingers.append(limb(root, (root[0] + length * np.cos(angle), root[1] + length * np.sin(angle)), 0.11, 0.075))
    thumb = limb((0.2, 0.25), (0.68, -0.08 + rng.uniform(-0.2, 0.2)), 0.14, 0.08)
    return Shape([*fingers, thumb, ellipse(0, 0.15, 0.36, 0.38), limb((0, 0.3), (0, 2.5), 0.26, 0.34)])


def mug(rng: Generator) -> Shape:
    """Return a cup with a handle to look through."""
    high = rng.uniform(0.5, 0.85)
    box = rounded(rng) * [0.55, 1]
    box[:, 1] *= high / np.abs(box[:, 1]).max()
    return Shape([box, ellipse(0.6, 0, 0.32, high * 0.6)], [ellipse(0.68, 0, 0.16, high * 0.38)])


def compound(rng: Generator) -> Shape:
    """Return several plain shapes together, some pierced."""
    solids, holes = [], []
    for _ in range(int(rng.integers(1, 5))):
        make = (blob, rounded, star)[int(rng.integers(3))]
        at, scale = rng.normal(0, 0.35, 2), rng.uniform(0.3, 0.8)
        solids.append(turned(make(rng), rng.uniform(0, 6.3)) * scale + at)
        if rng.random() < 0.4:
            holes.append(turned(make(rng), rng.uniform(0, 6.3)) * scale * rng.uniform(0.2, 0.5) + at)
    return Shape(solids, holes)


SHAPES: tuple[Callable[[Generator], Shape], ...] = (person, animal, hand, mug, compound)


def paint(
    canvas: Canvas, shape: Shape, centre: Points, radius: float, angle: float = 0.0, shade: float = 128.0
) -> None:
    """Draw a shape of the given radius in pixels; its holes cut through everything below as well.

    centre: (2,) pixels. angle: radians. shade: 0..255.
    """
    for outline in shape.solids:
        canvas.fill(turned(outline, angle) * radius + centre, shade)
    for outline in shape.holes:
        canvas.erase(turned(outline, angle) * radius + centre)


def something(rng: Generator) -> Shape:
    """Return any one of `SHAPES`."""
    return SHAPES[int(rng.integers(len(SHAPES)))](rng)


def solid(size: int, shape: Shape, centre: Points, radius: float, angle: float = 0.0, shade: float = 128.0) -> Sheet:
    """Return a sheet, (size, size, 2) float32, with nothing but a shape, as `paint` draws it."""
    canvas = Canvas(size)
    paint(canvas, shape, centre, radius, angle, shade)
    return canvas.sheet()
