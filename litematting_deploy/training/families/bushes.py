"""Foliage and wood in focus: hundreds of overlapping leaves, and branches down to their finest twigs."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, Sheet, finish
from .layout import angles, grow, headings, lit, log_uniform, place, sides, stacked, straight, toward, within
from .leaves import crisp_leaf, outline_of_leaf
from .shapes import blob, ellipse

_MOST_LEAVES, _MOST_BRANCHES = 2800, 1600
_POINTS = 18
"""Points of a branch."""


def _sprigs(rng: Generator, roots: Points, ways: Points, length: float, each: int) -> tuple[Points, Points, Points]:
    """Return twigs from `roots`, (K, 2), and where their leaves sit: twigs (K, 12, 2), places (L, 2) and headings
    (L,)."""
    twigs = grow(rng, roots, ways, length * rng.uniform(0.5, 1.3, len(roots)), 12, np.array([0, 0.2]), 0.7)
    at = np.linspace(2, 11, each).astype(int)
    swing = np.where(np.arange(each) % 2, 1, -1) * rng.uniform(0.4, 1.1, (len(roots), each))
    swing[:, -1] *= 0.2
    return twigs, twigs[:, at].reshape(-1, 2), (headings(twigs)[:, at] + swing).reshape(-1)


def _branching(rng: Generator, spots: Points, base: Points) -> Points:
    """Return branches that reach each of `spots`, (K, 2), from its nearest neighbour on the side of `base`, (K, 5,
    2)."""
    known = np.concatenate([base[None], spots])
    far = np.linalg.norm(known - base, axis=1)
    gaps = np.linalg.norm(spots[:, None] - known[None], axis=2)
    gaps[far[None] >= 0.97 * far[1:, None]] = np.inf
    gaps[:, 0] = np.minimum(gaps[:, 0], 1e6)
    roots = known[np.argmin(gaps, 1)]
    bow = rng.normal(0, 0.12, (len(spots), 1, 2)) * np.linalg.norm(spots - roots, axis=1)[:, None, None]
    return np.asarray(straight(roots, spots, 5) + bow * np.sin(np.pi * np.linspace(0, 1, 5)[:, None]))


def _leafage(
    rng: Generator, size: int, form: Points, centre: Points, base: Points, length: float, open_share: float
) -> Sheet:
    """Return leaves within an outline, (N, 2) pixels about `centre`, that leave about `open_share` of it open.

    base: (2,) pixels, where the branches come from.
    """
    outlines = [outline_of_leaf(rng, 0.2) for _ in range(1 if rng.random() < 0.7 else 2)]
    # Narrow leaves would make a meadow of needles.
    wide = max(float(np.abs(outlines[0][:, 1]).max()), 0.05)
    form_y = max(1.0, rng.uniform(0.2, 0.45) / wide)
    area = 0.5 * abs(float(form[:, 0] @ np.roll(form[:, 1], -1) - form[:, 1] @ np.roll(form[:, 0], -1)))
    # Mean area of a leaf as it is seen: about two thirds of its box, foreshortened by about two thirds.
    leaf_area = 0.75 * length**2 * wide * form_y
    count = int(np.clip(-np.log(open_share) * area / leaf_area, 12, _MOST_LEAVES))
    per_twig, layers = int(rng.integers(4, 10)), [Canvas(size) for _ in range(3)]
    number, reach = max(count // len(layers) // per_twig, 1), length * 0.28 * per_twig
    for depth, canvas in enumerate(layers):
        spots = within(rng, form, number)
        outward = angles(spots) + rng.normal(0, 0.9, number)
        spots = spots - 0.5 * reach * toward(outward)
        if depth == 0:  # the branches that carry it all
            canvas.strokes(_branching(rng, centre + spots, base), log_uniform(rng, 0.06, 0.14) * length, 65, 0.8)
        twigs, places, ways = _sprigs(rng, centre + spots, outward, reach, per_twig)
        canvas.strokes(twigs, log_uniform(rng, 0.03, 0.08) * length, rng.uniform(40, 90, number), 0.4)
        tone = (70, 105, 135)[depth]
        for at, heading in zip(places, ways.tolist(), strict=True):
            outline = outlines[int(rng.integers(len(outlines)))]
            scale = length * float(rng.lognormal(0, 0.22))
            squash = form_y * rng.choice([-1, 1]) * rng.uniform(0.35, 1.0)
            shade = float(np.clip(rng.normal(tone, 24) + 45 * (rng.random() < 0.12), 25, 235))
            crisp_leaf(rng, canvas, outline, at, heading, np.array([scale, scale * squash]), shade)
    return stacked(layers, length * 0.15, 0.55)


def bush(rng: Generator, size: int) -> Layer:
    """Draw bushes, hedges, hanging foliage and sprays of large leaves, in focus, with small holes to the background."""
    kind = int(rng.choice(4, p=[0.45, 0.2, 0.15, 0.2]))
    centre, radius = place(rng, size, 0.3, 0.62)
    if kind == 0:  # a bush
        form = blob(rng, 0.22) * radius
        length = radius * log_uniform(rng, 0.05, 0.22)
    elif kind == 1:  # a hedge, which goes on outside the frame
        centre = np.array([0.5, rng.uniform(0.6, 0.9)]) * size
        form = np.array([[-0.7, -0.5], [-0.3, -0.48], [0, -0.52], [0.3, -0.47], [0.7, -0.5], [0.7, 0.6], [-0.7, 0.6]])
        form = np.concatenate([np.linspace(a, b, 12) for a, b in sides(form)]) * size
        length = size * log_uniform(rng, 0.02, 0.09)
    elif kind == 2:  # foliage that hangs into the frame
        centre = np.array([rng.uniform(0.1, 0.9), rng.uniform(-0.1, 0.1)]) * size
        form = blob(rng, 0.35) * size * rng.uniform(0.45, 0.75)
        length = size * log_uniform(rng, 0.025, 0.12)
    else:  # a few large leaves
        form = blob(rng, 0.2) * radius
        length = radius * log_uniform(rng, 0.3, 0.7)
    length = max(length, 0.011 * size, 5.0)
    base = centre + form[np.argmin(form[:, 1]) if kind == 2 else np.argmax(form[:, 1])]
    sheet = _leafage(rng, size, form, centre, base, length, log_uniform(rng, 0.03, 0.3))
    return finish(lit(rng, sheet, 0.25, 0.08))


def _drawn(rng: Generator, canvas: Canvas, lines: Points, widths: Points, tone: float) -> None:
    """Draw round wood, lines (K, M, 2) that halve their widths towards their ends, lit from above.

    widths: (K,) pixels. tone: 0..255, of which single branches differ by a tenth.
    """
    tones = tone * rng.normal(1, 0.1, len(lines))
    thick = widths > 3
    canvas.strokes(lines, widths, tones * np.where(thick, 0.75, 1), 0.5)
    if thick.any():
        lit_side = lines[thick] + (widths[thick, None, None] * np.array([-0.1, -0.14]))
        canvas.strokes(lit_side, widths[thick] * 0.45, (tones[thick] * 1.25).clip(0, 245), 0.4)


def _offshoots(
    rng: Generator, lines: Points, widths: Points, lengths: Points, share: float, pull: Points, zigzag: float
) -> tuple[Points, Points, Points]:
    """Return side branches of lines, (K, M, 2): (L, _POINTS, 2), their widths and their lengths, (L,) pixels.

    widths, lengths: (K,) pixels. share: of the points that bear one, 0..1. pull: (2,), see `grow`. zigzag: how much
    each strays.
    """
    heading = headings(lines)
    picked = rng.random(lines.shape[:2]) < share
    picked[:, : max(_POINTS // 6, 1)] = False
    picked[:, -1] = True  # a fork at the end
    which, node = np.nonzero(picked)
    if len(which) > _MOST_BRANCHES:
        keep = rng.permutation(len(which))[:_MOST_BRANCHES]
        which, node = which[keep], node[keep]
    t = node / (_POINTS - 1)
    side = np.where((node + which) % 2, 1, -1) * rng.uniform(0.3, 1.1, len(which))
    size = lengths[which] * rng.uniform(0.3, 0.75, len(which)) * (1.15 - 0.6 * t)
    grown = grow(rng, lines[which, node], heading[which, node] + side, size, _POINTS, pull, zigzag)
    return grown, widths[which] * (1 - 0.5 * t) * rng.uniform(0.5, 0.72, len(which)), size


def _wood(
    rng: Generator, canvas: Canvas, roots: Points, ways: Points, length: float, width: float, tone: float
) -> Points:
    """Draw branches that leave `roots`, (K, 2), and all that grows on them; return its finest twigs, (L, M, 2).

    ways: (K,) radians. length, width: of the first branches, in pixels. tone: 0..255.
    """
    pull = np.array([rng.normal(0, 0.15), rng.choice([-0.5, 0.0, 0.9])])  # to the light, straight or hanging
    zigzag, share, levels = rng.uniform(0.3, 1.0), rng.uniform(0.12, 0.4), int(rng.integers(2, 5))
    lengths, widths = length * rng.uniform(0.7, 1.2, len(roots)), np.full(len(roots), width)
    lines = grow(rng, roots, ways, lengths, _POINTS, pull * 0.4, zigzag * 0.7)
    made = [(lines, widths)]
    for _ in range(levels):
        lines, widths, lengths = _offshoots(rng, lines, widths, lengths, share, pull, zigzag)
        made.append((lines, widths))
    for level, (branch, thick) in enumerate(reversed(made)):  # the thick ones lie over the fine ones
        _drawn(rng, canvas, branch, thick.clip(0.8), tone * (1.15 - 0.06 * level))
    return lines


def _trimmings(rng: Generator, canvas: Canvas, twigs: Points, length: float, tone: float) -> None:
    """Draw a few leaves, berries, buds or thorns on twigs, (K, M, 2).

    length: of the branches that bear the twigs, in pixels. tone: of the wood, 0..255.
    """
    kind = int(rng.integers(4))
    outline = outline_of_leaf(rng, 0.2)
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
            side = toward(heading + 1.0) * rng.choice([-1, 1])
            canvas.strokes(np.stack([at, at + side * size * 0.5])[None], max(size * 0.16, 1.0), tone * 0.9, 0.15)


def branches(rng: Generator, size: int) -> Layer:
    """Draw branches and twigs against the sky: of a tree, into the frame, hanging, or a tangle; a few keep their
    leaves."""
    kind = int(rng.choice(4, p=[0.3, 0.35, 0.15, 0.2]))
    centre, radius = place(rng, size, 0.3, 0.6)
    layers = [Canvas(size) for _ in range(int(rng.integers(1, 4)))]
    for depth, canvas in enumerate(layers):
        tone = rng.uniform(60, 110) * (0.8 + 0.1 * depth)
        number = int(rng.integers(1, 4))
        if kind == 0:  # a tree or shrub
            roots = centre + np.array([0, radius]) + rng.normal(0, 0.08, (number, 2)) * radius
            ways, length = rng.normal(-np.pi / 2, 0.3, number), radius * rng.uniform(1.0, 1.5)
        elif kind == 1:  # into the frame from its sides
            way = rng.uniform(0, 2 * np.pi, number)
            roots = size * (0.5 + 0.72 * toward(way))
            ways, length = way + np.pi + rng.normal(0, 0.35, number), size * rng.uniform(0.6, 1.1)
        elif kind == 2:  # from above
            number = int(rng.integers(2, 7))
            roots = np.stack([rng.uniform(-0.1, 1.1, number), np.full(number, -0.05)], 1) * size
            ways, length = rng.normal(np.pi / 2, 0.5, number), size * rng.uniform(0.4, 0.9)
        else:  # a tangle
            number = int(rng.integers(4, 9))
            roots = np.stack([centre[0] + rng.normal(0, 0.6, number) * radius, np.full(number, 1.03 * size)], 1)
            ways, length = rng.normal(-np.pi / 2, 0.5, number), size * rng.uniform(0.4, 0.9)
        width = max(length * log_uniform(rng, 0.012, 0.07) * (0.4 if kind == 3 else 1), 1.2)
        twigs = _wood(rng, canvas, roots, ways, length, width, tone)
        if rng.random() < 0.6:
            _trimmings(rng, canvas, twigs, length, tone)
    return finish(lit(rng, stacked(layers, size * 0.004, 0.35), 0.12, 0.1))
