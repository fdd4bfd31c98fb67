"""Leaves: their outlines, and leaves with veins or in focus."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Points
from .layout import turned


def outline_of_leaf(rng: Generator, lobed: float) -> Points:
    """Return the outline of a leaf, (N, 2), from (0, 0) to about (1, 0). lobed: how often it is a maple's, 0..1."""
    return _palmate(rng) if rng.random() < lobed else _simple(rng)


def _simple(rng: Generator) -> Points:
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


def _palmate(rng: Generator) -> Points:
    """Return a maple-like leaf whose stem ends at (0, 0). (N, 2)."""
    lobes = int(rng.choice([3, 5, 7]))
    angle = np.linspace(-2.3, 2.3, lobes * 12 + 1)
    ripple = np.abs(np.cos(angle / 4.6 * lobes * np.pi)) ** rng.uniform(0.6, 1.6)
    radius = (0.3 + 0.45 * ripple) * (1 - 0.05 * np.abs(angle)) * (1 - 0.12 * (np.arange(len(angle)) % 3 == 1))
    tips = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + np.array([0.3, 0])
    return np.vstack([np.zeros(2), tips])


def leaf(rng: Generator, canvas: Canvas, outline: Points, at: Points, angle: float, length: float) -> None:
    """Draw one leaf with veins, foreshortened as it happens to hang.

    outline: (N, 2), see `outline_of_leaf`. at: (2,) pixels, where its stem is. angle: radians. length: in pixels.
    """
    shade = float(rng.normal(125, 28))
    form = np.array([length, length * rng.choice([-1, 1]) * rng.uniform(0.35, 1.05)])
    canvas.fill(turned(outline * form, angle) + at, np.clip(shade, 30, 230))
    if length < 14:
        return
    tone, midrib = shade * rng.choice([0.72, 1.3]), np.array([[[0.0, 0.0], [0.475, 0.0], [0.95, 0.0]]])
    canvas.strokes(turned(midrib * form, angle) + at, max(length * 0.02, 0.7), [tone], 0.3)
    if outline[:, 1].max() > 0.12:
        x = np.repeat([0.15, 0.35, 0.55], 2)
        feet, reach = np.stack([x, 0 * x], 1), np.tile([-0.17, 0.17], 3) * (np.abs(outline[:, 1]).max() / 0.26)
        tips = np.stack([x + 0.16, reach], 1)
        veins = np.stack([feet, (feet + tips) / 2, tips], 1) * form
        canvas.strokes(turned(veins * [1, 0.6], angle) + at, max(length * 0.008, 0.6), np.full(6, tone * 0.95), 0.3)


def crisp_leaf(
    rng: Generator, canvas: Canvas, outline: Points, at: Points, angle: float, form: Points, shade: float
) -> None:
    """Draw a leaf that is folded along its midrib: a lit half, a dark half and, where there is room, veins.

    outline: (N, 2), from (0, 0) to about (1, 0), as `outline_of_leaf` returns it. form: (2,) pixels, the
    length and the foreshortened width's factor. shade: 0..255.
    """
    length = float(abs(form[0]))
    canvas.fill(turned((outline if length > 24 else outline[::2]) * form, angle) + at, shade)
    if length < 7:
        return
    # Point k of an outline faces point -k; the midrib runs between them.
    half = np.arange(len(outline) // 2 + 1)
    upper, lower = outline[half], outline[-half]
    middle = (upper + lower) / 2
    # The dark half stays inside the leaf, so that the leaf's edge is drawn once.
    side = np.concatenate([middle + (upper - middle) * 0.86, middle[::-1]])
    canvas.fill(turned(side * form, angle) + at, shade * rng.uniform(0.62, 0.92))
    if length < 16 or (np.diff(middle[:, 0]) < 0).any():  # lobed like a hand, which has no single midrib
        return
    canvas.strokes(turned(middle[None, 1:-2] * form, angle) + at, max(length * 0.022, 0.7), [min(shade * 1.35, 250)])
    if length > 34:
        feet, ends = (half[-1] * np.array([[0.05, 0.2, 0.35, 0.5, 0.65], [0.2, 0.35, 0.5, 0.65, 0.8]])).astype(int)
        tips = np.concatenate([middle[ends] + 0.6 * (edge[ends] - middle[ends]) for edge in (upper, lower)])
        feet = np.tile(middle[feet], (2, 1))
        veins = np.stack([feet, feet * 0.45 + tips * 0.55, tips], 1) * form
        canvas.strokes(turned(veins, angle) + at, max(length * 0.008, 0.6), [min(shade * 1.2, 250)], 0.3)
