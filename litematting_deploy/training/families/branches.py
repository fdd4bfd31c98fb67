"""Bare branches and twigs in focus, down to their finest ends."""

import numpy as np
from numpy.random import Generator

from .bushes import crisp_leaf
from .canvas import Canvas, Layer, finish
from .layout import Points, lit, log_uniform, place, stacked
from .leaves import palmate, simple
from .shapes import ellipse
from .strands import grow, headings

_POINTS, _MOST = 18, 1600


def _drawn(rng: Generator, canvas: Canvas, lines: Points, widths: Points, tone: float) -> None:
    """Draw round wood, lines (K, M, 2) that halve their widths towards their ends, lit from above."""
    count = len(lines)
    tones = tone * rng.normal(1, 0.1, count)
    thick = widths > 3
    canvas.strokes(lines, widths, tones * np.where(thick, 0.75, 1), 0.5)
    if thick.any():
        lit_side = lines[thick] + (widths[thick, None, None] * np.array([-0.1, -0.14]))
        canvas.strokes(lit_side, widths[thick] * 0.45, (tones[thick] * 1.25).clip(0, 245), 0.4)


def _offshoots(
    rng: Generator, lines: Points, widths: Points, lengths: Points, share: float, pull: Points, zigzag: float
) -> tuple[Points, Points, Points]:
    """Side branches of lines, (K, M, 2): theirs, their widths and their lengths."""
    heading = headings(lines)
    picked = rng.random(lines.shape[:2]) < share
    picked[:, : max(_POINTS // 6, 1)] = False
    picked[:, -1] = True  # a fork at the end
    which, node = np.nonzero(picked)
    if len(which) > _MOST:
        keep = rng.permutation(len(which))[:_MOST]
        which, node = which[keep], node[keep]
    t = node / (_POINTS - 1)
    side = np.where((node + which) % 2, 1, -1) * rng.uniform(0.3, 1.1, len(which))
    size = lengths[which] * rng.uniform(0.3, 0.75, len(which)) * (1.15 - 0.6 * t)
    grown = grow(rng, lines[which, node], heading[which, node] + side, size, _POINTS, pull, zigzag)
    return grown, widths[which] * (1 - 0.5 * t) * rng.uniform(0.5, 0.72, len(which)), size


def _wood(
    rng: Generator, canvas: Canvas, roots: Points, angles: Points, length: float, width: float, tone: float
) -> Points:
    """Draw branches that leave `roots`, (K, 2), and all that grows on them; return its finest twigs, (L, M, 2)."""
    pull = np.array([rng.normal(0, 0.15), rng.choice([-0.5, 0.0, 0.9])])  # to the light, straight or hanging
    zigzag, share, levels = rng.uniform(0.3, 1.0), rng.uniform(0.12, 0.4), int(rng.integers(2, 5))
    lengths, widths = length * rng.uniform(0.7, 1.2, len(roots)), np.full(len(roots), width)
    lines = grow(rng, roots, angles, lengths, _POINTS, pull * 0.4, zigzag * 0.7)
    made = [(lines, widths)]
    for _ in range(levels):
        lines, widths, lengths = _offshoots(rng, lines, widths, lengths, share, pull, zigzag)
        made.append((lines, widths))
    for level, (branch, thick) in enumerate(reversed(made)):  # the thick ones lie over the fine ones
        _drawn(rng, canvas, branch, thick.clip(0.8), tone * (1.15 - 0.06 * level))
    return lines


def _trimmings(rng: Generator, canvas: Canvas, twigs: Points, length: float, tone: float) -> None:
    """Draw a few leaves, berries, buds or thorns on twigs, (K, M, 2)."""
    kind = int(rng.integers(4))
    outline = palmate(rng) if rng.random() < 0.2 else simple(rng)
    ways = headings(twigs)
    number = min(int(log_uniform(rng, 3, 150)), len(twigs) * 3)
    size = max(length * log_uniform(rng, 0.025, 0.09), 3.0)
    for k, node in zip(rng.integers(len(twigs), size=number), rng.integers(4, _POINTS, number), strict=True):
        at, heading = twigs[k, node], float(ways[k, node])
        if kind < 2:
            scale = size * rng.lognormal(0, 0.3) * 1.6
            form = np.array([scale, scale * rng.uniform(0.4, 1.0)])
            crisp_leaf(rng, canvas, outline, at, heading + float(rng.normal(0, 0.9)), form, rng.uniform(80, 180))
        elif kind == 2:  # berries
            r = size * 0.28
            middle = at + np.array([0, 1.6 * r])
            canvas.strokes(np.stack([at, middle])[None], 0.9, tone, 1.0)
            canvas.fill(ellipse(middle[0], middle[1], r, r, count=24), rng.uniform(90, 150))
            canvas.fill(ellipse(middle[0] - 0.3 * r, middle[1] - 0.35 * r, r * 0.25, r * 0.2, count=12), 225)
        else:  # buds and thorns
            side = np.array([np.cos(heading + 1.0), np.sin(heading + 1.0)]) * rng.choice([-1, 1])
            canvas.strokes(np.stack([at, at + side * size * 0.5])[None], max(size * 0.16, 1.0), tone * 0.9, 0.15)


def branches(rng: Generator, size: int) -> Layer:
    """Draw branches and twigs against the sky: of a tree, into the frame, hanging, or a tangle; a few keep their
    leaves."""
    kind = int(rng.choice(4, p=[0.3, 0.35, 0.15, 0.2]))
    centre, radius = place(rng, size, 0.3, 0.6)
    sheets = []
    for depth in range(int(rng.integers(1, 4))):
        canvas, tone = Canvas(size), rng.uniform(60, 110) * (0.8 + 0.1 * depth)
        number = int(rng.integers(1, 4))
        if kind == 0:  # a tree or shrub
            roots = centre + np.array([0, radius]) + rng.normal(0, 0.08, (number, 2)) * radius
            angles, length = rng.normal(-np.pi / 2, 0.3, number), radius * rng.uniform(1.0, 1.5)
        elif kind == 1:  # into the frame from its sides
            way = rng.uniform(0, 2 * np.pi, number)
            roots = size * (0.5 + 0.72 * np.stack([np.cos(way), np.sin(way)], 1))
            angles, length = way + np.pi + rng.normal(0, 0.35, number), size * rng.uniform(0.6, 1.1)
        elif kind == 2:  # from above
            number = int(rng.integers(2, 7))
            roots = np.stack([rng.uniform(-0.1, 1.1, number), np.full(number, -0.05)], 1) * size
            angles, length = rng.normal(np.pi / 2, 0.5, number), size * rng.uniform(0.4, 0.9)
        else:  # a tangle
            number = int(rng.integers(4, 9))
            roots = np.stack([centre[0] + rng.normal(0, 0.6, number) * radius, np.full(number, 1.03 * size)], 1)
            angles, length = rng.normal(-np.pi / 2, 0.5, number), size * rng.uniform(0.4, 0.9)
        width = max(length * log_uniform(rng, 0.012, 0.07) * (0.4 if kind == 3 else 1), 1.2)
        twigs = _wood(rng, canvas, roots, angles, length, width, tone)
        if rng.random() < 0.6:
            _trimmings(rng, canvas, twigs, length, tone)
        sheets.append(canvas.sheet())
    return finish(lit(rng, stacked(sheets, size * 0.004, 0.35), 0.12, 0.1))
