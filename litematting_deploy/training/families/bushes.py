"""Dense foliage in focus: hundreds of overlapping leaves with hard edges and small holes between them."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Sheet, finish
from .layout import Points, lit, log_uniform, place, stacked, turned
from .leaves import palmate, simple
from .shapes import blob
from .strands import grow, headings

_MOST_LEAVES = 2800


def crisp_leaf(
    rng: Generator, canvas: Canvas, outline: Points, at: Points, angle: float, form: Points, shade: float
) -> None:
    """Draw a leaf that is folded along its midrib: a lit half, a dark half and, where there is room, veins.

    outline: (N, 2), from (0, 0) to about (1, 0), as the functions in `leaves` return it. form: (2,) pixels, the
    length and the foreshortened width's factor. shade: 0..255.
    """
    length = float(abs(form[0]))
    ring = turned((outline if length > 24 else outline[::2]) * form, angle) + at
    canvas.fill(ring, shade)
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


def _sprigs(rng: Generator, roots: Points, angles: Points, length: float, each: int) -> tuple[Points, Points, Points]:
    """Return twigs from `roots`, (K, 2), and where their leaves sit: twigs (K, 12, 2), places (L, 2) and headings
    (L,)."""
    twigs = grow(rng, roots, angles, length * rng.uniform(0.5, 1.3, len(roots)), 12, np.array([0, 0.2]), 0.7)
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
    t = np.linspace(0, 1, 5)[:, None]
    bow = rng.normal(0, 0.12, (len(spots), 1, 2)) * np.linalg.norm(spots - roots, axis=1)[:, None, None]
    return np.asarray(roots[:, None] * (1 - t) + spots[:, None] * t + bow * np.sin(np.pi * t))


def _leafage(
    rng: Generator, size: int, form: Points, centre: Points, base: Points, length: float, open_share: float
) -> Sheet:
    """Return leaves within an outline, (N, 2) pixels about `centre`, that leave about `open_share` of it open.

    base: (2,) pixels, where the branches come from.
    """
    outlines = [palmate(rng) if rng.random() < 0.2 else simple(rng) for _ in range(1 if rng.random() < 0.7 else 2)]
    # Narrow leaves would make a meadow of needles.
    wide = max(float(np.abs(outlines[0][:, 1]).max()), 0.05)
    form_y = max(1.0, rng.uniform(0.2, 0.45) / wide)
    area = 0.5 * abs(float(form[:, 0] @ np.roll(form[:, 1], -1) - form[:, 1] @ np.roll(form[:, 0], -1)))
    # Mean area of a leaf as it is seen: about two thirds of its box, foreshortened by about two thirds.
    leaf_area = 0.75 * length**2 * wide * form_y
    count = int(np.clip(-np.log(open_share) * area / leaf_area, 12, _MOST_LEAVES))
    per_twig, depths = int(rng.integers(4, 10)), 3
    sheets = []
    for depth in range(depths):
        canvas, number = Canvas(size), max(count // depths // per_twig, 1)
        spots = form[rng.integers(len(form), size=number)] * np.sqrt(rng.uniform(0, 1, (number, 1)))
        outward = np.arctan2(spots[:, 1], spots[:, 0]) + rng.normal(0, 0.9, number)
        reach = length * 0.28 * per_twig
        spots = spots - 0.5 * reach * np.stack([np.cos(outward), np.sin(outward)], 1)
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
        sheets.append(canvas.sheet())
    return stacked(sheets, length * 0.15, 0.55)


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
        form = np.concatenate([np.linspace(a, b, 12) for a, b in zip(form, np.roll(form, -1, 0), strict=True)]) * size
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
