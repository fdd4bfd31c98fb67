"""Long loose hair that lets the background through far inside: manes, dolls' hair, brushes and tassels."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish, normal
from .layout import angles, bundled, grow, lit, log_uniform, place, toward
from .shapes import Shape, blob, bust, ellipse, paint

_POINTS, _KNOTS = 32, 6
_SCALE = 3
"""Canvas pixels per pixel: the thinnest hairs cover 0.4 of a pixel."""
_FALL = ((0.45, 0.35), (0.75, 0.4), (1.0, 0.25))
"""Lengths of the hairs relative to the longest, and how many are so long: what can be seen through grows outwards."""


def mane(rng: Generator, size: int) -> Layer:
    """Draw long hair on a solid heart, all round it or in a sheaf, in locks that open towards their tips."""
    centre, radius = place(rng, size, 0.07, 0.3)
    canvas, tone = Canvas(size, _SCALE), rng.uniform(95, 150)
    _heart(rng, canvas, centre, radius, tone)
    length = radius * log_uniform(rng, 0.8, 4.0)
    locks = int(log_uniform(rng, 12, 150))
    # A larger picture of the same hair shows more of it, not wider strands.
    hairs = int(log_uniform(rng, 700, 4500) * (0.5 + radius / size / 0.3))
    width, frizz = log_uniform(rng, 0.35, 1.4), length * log_uniform(rng, 0.004, 0.06)
    roots, ways = _rooted(rng, centre, radius, locks)
    pull = np.array([rng.normal(0, 0.5), rng.uniform(-0.2, 1.6)]) * rng.uniform(0, 1.2)
    spread, flare = radius * rng.uniform(0.02, 0.25) * np.sqrt(60 / locks), log_uniform(rng, 0.5, 3.5)
    for reach, share in _FALL:
        lengths = length * reach * rng.lognormal(0, 0.15, locks)
        guides = grow(rng, roots, ways + rng.normal(0, 0.1, locks), lengths, _POINTS, pull, rng.uniform(0.2, 0.7))
        lines, _ = bundled(rng, guides, max(int(hairs / locks * share), 2), spread, flare)
        lines = _strayed(rng, lines[rng.permutation(len(lines))], frizz * reach)
        _draw(rng, canvas, lines, width, tone * (0.75 + 0.3 * reach))
    loose = int(hairs * log_uniform(rng, 0.01, 0.2))
    which = rng.integers(locks, size=loose)
    turned, lengths = ways[which] + rng.normal(0, 0.35, loose), length * rng.uniform(0.4, 1.2, loose)
    lines = grow(rng, roots[which], turned, lengths, _POINTS, pull, rng.uniform(0.3, 1.0))
    _draw(rng, canvas, _strayed(rng, lines, 2 * frizz), width * 0.85, tone)
    return finish(lit(rng, canvas.sheet(), 0.25, 0.07))


def _heart(rng: Generator, canvas: Canvas, centre: Points, radius: float, tone: float) -> None:
    """Draw the solid thing that the hair grows on, sometimes with shoulders."""
    if rng.random() < 0.4:
        wide = rng.uniform(1.6, 2.6)
        body = Shape([bust(wide, rng.uniform(0.7, 1.2), 2.5, 1.0, (wide, 9))])
        paint(canvas, body, centre, radius, shade=rng.uniform(60, 190))
    shade = tone * 0.6 if rng.random() < 0.5 else rng.uniform(60, 190)
    paint(canvas, Shape([blob(rng, 0.1), ellipse(0, 0, 0.8, 0.95)]), centre, radius, shade=shade)


def _rooted(rng: Generator, centre: Points, radius: float, locks: int) -> tuple[Points, Points]:
    """Return where locks begin, (K, 2) pixels, and the ways that they set out, (K,) radians."""
    heading, reach, together = rng.normal(-np.pi / 2, 0.9), np.pi, 0.0
    if rng.random() < 0.65:
        reach, together = log_uniform(rng, 0.35, 1.9), rng.uniform(0, 0.9)
    out = toward(heading + reach * rng.uniform(-1, 1, locks))
    ways = angles(out * (1 - together) + toward(heading) * together) + rng.normal(0, 0.2, locks)
    return centre + out * radius * np.sqrt(rng.uniform(0.2, 0.9, (locks, 1))), ways


def _strayed(rng: Generator, lines: Points, far: float) -> Points:
    """Return lines, (K, M, 2), each of which wanders to both sides, by `far` pixels and more at its tip."""
    knots = np.cumsum(rng.normal(0, 1, (len(lines), _KNOTS)), 1)
    knots -= knots[:, :1]
    at = np.linspace(0, _KNOTS - 1, lines.shape[1])
    low = np.minimum(at.astype(int), _KNOTS - 2)
    part = at - low
    part = part * part * (3 - 2 * part)
    wander = far * (knots[:, low] * (1 - part) + knots[:, low + 1] * part)
    # Across the whole line: across each of its pieces, it would fold where it bends.
    return np.asarray(lines + wander[..., None] * normal(lines[:, -1] - lines[:, 0])[:, None])


def _draw(rng: Generator, canvas: Canvas, lines: Points, width: float, tone: float) -> None:
    """Draw hairs along lines, (K, M, 2), about `width` pixels wide, each with a shade of its own that shines."""
    count = len(lines)
    shine = 1 + 0.25 * np.sin(np.linspace(0, rng.uniform(3, 9), 4) + rng.uniform(0, 2 * np.pi, (count, 1)))
    shades = tone * rng.lognormal(0, 0.28, (count, 1)) * shine
    canvas.strokes(lines, width * rng.lognormal(0, 0.25, count), shades, 0.4, 4)
