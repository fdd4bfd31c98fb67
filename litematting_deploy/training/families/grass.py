"""Grass and ferns."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas
from .layout import Points
from .strands import grow, headings


def grass(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Draw blades from the ground, some with ears; the ground itself may be solid."""
    count = int(rng.integers(80, 500))
    ground = centre[1] + radius * 0.8
    across = centre[0] + rng.normal(0, rng.uniform(0.3, 1.2), count) * radius
    roots = np.stack([across, ground + rng.uniform(0, 0.15, count) * radius], 1)
    lean = rng.normal(0, 0.5)
    angles, lengths = rng.normal(-np.pi / 2, 0.25, count), radius * rng.uniform(0.5, 1.9, count)
    pull = np.stack([rng.normal(lean, 0.8, count), rng.uniform(0, 0.8, count)], 1)
    blades = grow(rng, roots, angles, lengths, 16, pull, 0.3)
    widths = rng.lognormal(np.log(radius * rng.uniform(0.008, 0.025)), 0.3, count).clip(0.8)
    canvas.strokes(blades, widths, rng.normal(120, 28, count), 0.15)
    if rng.random() < 0.5:
        for blade in blades[: int(rng.integers(3, 25))]:
            ways = rng.normal(np.arctan2(*(blade[-1] - blade[-3])[::-1]), 0.5, 36)
            ears = grow(rng, blade[-6:].repeat(6, 0), ways, radius * rng.uniform(0.05, 0.14, 36), 4, np.zeros(2), 0.1)
            canvas.strokes(ears, rng.uniform(0.7, 2.5, 36), rng.normal(150, 20, 36), 0.3)
    x = np.linspace(-9, 9, 160)
    top = 0.85 + 0.04 * np.cumsum(rng.normal(0, 0.5, 160)).clip(-2, 2) + rng.normal(0, 0.012, 160)
    soil = np.concatenate([np.stack([x, top], 1), [[9, 9], [-9, 9]]])
    canvas.fill(soil * radius + centre, 80)
    front = int(count * 0.4)
    low = np.stack([blades[:front, 0, 0], np.full(front, ground + 0.2 * radius)], 1)
    angles, lengths = rng.normal(-np.pi / 2, 0.3, front), radius * rng.uniform(0.2, 0.7, front)
    short = grow(rng, low, angles, lengths, 10, np.zeros(2), 0.4)
    canvas.strokes(short, widths[:front], rng.normal(120, 28, front), 0.15)


def fern(rng: Generator, canvas: Canvas, centre: Points, radius: float) -> None:
    """Draw fronds whose leaflets shrink towards the tip; needles where the leaflets are thin."""
    count, points = int(rng.integers(3, 9)), 28
    root = centre + np.array([0, radius * 0.6])
    angles, lengths = rng.normal(-np.pi / 2, 0.8, count), radius * rng.uniform(1, 1.8, count)
    pull = np.array([rng.normal(0, 0.5), 0.8])
    fronds = grow(rng, np.repeat(root[None], count, 0), angles, lengths, points, pull, 0.3)
    leaflet = radius * rng.uniform(0.12, 0.35)
    thick, droop = leaflet * rng.uniform(0.03, 0.25), rng.uniform(0.5, 1.1)
    for frond in fronds:
        ways, lengths = headings(frond)[2:], leaflet * np.linspace(1, 0.1, points - 2)
        widths = np.linspace(thick, thick * 0.3, points - 2).clip(0.7)
        for side in (-1, 1):
            lines = grow(rng, frond[2:], ways + side * droop, lengths, 7, np.array([0, 0.3]), 0.15)
            canvas.strokes(lines, widths, rng.normal(125, 22, points - 2), 0.2)
    canvas.strokes(fronds, max(radius * 0.015, 1), rng.uniform(60, 120, count), 0.3)
