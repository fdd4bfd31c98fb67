"""Leaves: their outlines, and a leaf with its veins."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas
from .layout import Points, turned


def simple(rng: Generator) -> Points:
    """Return a leaf from (0, 0) to (1, 0): pointed, perhaps serrated, lobed or notched. (N, 2)."""
    t = np.linspace(0, 1, 48)
    profile = np.sin(np.pi * t ** rng.uniform(0.6, 1.3)) ** rng.uniform(0.7, 1.6) * rng.uniform(0.1, 0.38)
    kind = rng.integers(4)
    if kind == 1:  # serrated
        profile *= 1 - rng.uniform(0.1, 0.3) * ((t * rng.integers(9, 18)) % 1)
    elif kind == 2:  # lobed, as an oak's
        profile *= 1 - rng.uniform(0.2, 0.5) * (0.5 + 0.5 * np.cos(2 * np.pi * t * rng.integers(3, 6)))
    bend = rng.normal(0, 0.12) * np.sin(np.pi * t)
    return np.concatenate([np.stack([t, bend + profile], 1), np.stack([t, bend - profile], 1)[-2:0:-1]])


def palmate(rng: Generator) -> Points:
    """Return a maple-like leaf whose stem ends at (0, 0). (N, 2)."""
    lobes = int(rng.choice([3, 5, 7]))
    angle = np.linspace(-2.3, 2.3, lobes * 12 + 1)
    ripple = np.abs(np.cos(angle / 4.6 * lobes * np.pi)) ** rng.uniform(0.6, 1.6)
    radius = (0.3 + 0.45 * ripple) * (1 - 0.05 * np.abs(angle)) * (1 - 0.12 * (np.arange(len(angle)) % 3 == 1))
    tips = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + np.array([0.3, 0])
    return np.vstack([np.zeros(2), tips])


def leaf(rng: Generator, canvas: Canvas, outline: Points, at: Points, angle: float, length: float) -> None:
    """Draw one leaf with veins, foreshortened as it happens to hang."""
    shade = float(rng.normal(125, 28))
    form = np.array([length, length * rng.choice([-1, 1]) * rng.uniform(0.35, 1.05)])
    canvas.fill(turned(outline * form, angle) + at, np.clip(shade, 30, 230))
    if length < 14:
        return
    ends = np.array([[0.95, 0.0]] + [[x + 0.16, side * 0.17] for x in (0.15, 0.35, 0.55) for side in (-1, 1)])
    starts = np.array([[0.0, 0.0]] + [[x, 0.0] for x in (0.15, 0.35, 0.55) for _ in (-1, 1)])
    high = np.abs(outline[:, 1]).max()
    ends[1:, 1] *= high / 0.26
    veins = np.stack([starts, (starts + ends) / 2, ends], 1) * form
    tone = shade * rng.choice([0.72, 1.3])
    canvas.strokes(turned(veins[:1], angle) + at, max(length * 0.02, 0.7), [tone], 0.3)
    inner = outline[:, 1].max() > 0.12
    if inner:
        canvas.strokes(turned(veins[1:] * [1, 0.6], angle) + at, max(length * 0.008, 0.6), np.full(6, tone * 0.95), 0.3)
