"""Flowers on stems, with leaves and buds, from one to a whole bed of them."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish
from .layout import bowed, headings, lit, log_uniform, place, stacked, toward, turned, within
from .leaves import crisp_leaf, outline_of_leaf
from .shapes import blob, ellipse

Head = Callable[[Canvas, Points, float, float, float], None]
"""Draws one flower: canvas, its middle (2,), the way its stem goes (radians), its radius in pixels and its light."""


def _petal(rng: Generator, wide: float) -> Points:
    """Return a petal from (0, 0) to (1, 0), `wide` at its widest: pointed to blunt, smooth to ruffled. (N, 2)."""
    t = np.concatenate([[0], 1 - np.linspace(1, 0, 18) ** 1.6])
    profile = np.sin(np.pi * t ** (np.log(0.5) / np.log(rng.uniform(0.45, 0.8)))) ** rng.uniform(0.5, 1.1)
    profile *= wide / 2 * (1 + rng.uniform(0, 0.08) * np.sin(rng.uniform(15, 40) * t))
    return np.concatenate([np.stack([t, profile], 1), np.stack([t, -profile], 1)[-2:0:-1]])


def _ring(
    rng: Generator, canvas: Canvas, outline: Points, angles: Points, at: Points, form: Points, tone: float
) -> None:
    """Draw petals at `angles`, (K,) radians, each over the one before; `form`, (2, 2), lays their plane into the
    picture."""
    pixels = float(np.abs(np.linalg.det(form))) ** 0.5
    t = np.linspace(0.12, 0.8, 6)
    for angle in angles.tolist():
        length = float(rng.normal(1, 0.06))
        light = float(np.clip(tone * rng.normal(1, 0.08) * (1 - 0.14 * np.sin(angle)), 20, 245))
        shape = outline * [length, rng.uniform(0.85, 1.1)]
        canvas.fill(turned(shape, angle) @ form + at, light * 0.84)
        if pixels < 7:
            continue
        # A darker rim all around it is what sets a petal off from the next.
        canvas.fill(turned(shape * [0.93, 0.82] + [0.03, 0], angle) @ form + at, light)
        if pixels > 24:
            swing = np.linspace(-0.6, 0.6, 5)[:, None] * np.interp(t, outline[:19, 0], outline[:19, 1])
            veins = turned(np.stack([np.broadcast_to(t, swing.shape), swing], -1), angle) @ form + at
            canvas.strokes(veins, max(0.018 * pixels, 0.6), light * rng.normal(0.88, 0.03, 5), 0.2)


def _facing(heading: float, radius: float, tilt: float) -> Points:
    """Return the (2, 2) form of a disc of `radius` pixels that is foreshortened by `tilt` along its stem."""
    way = toward(heading)
    return np.asarray(radius * (np.eye(2) - (1 - tilt) * np.outer(way, way)))


def _open_flower(rng: Generator, plain: bool = False) -> Head:
    """Return what draws daisies, asters, anemones or roses: one to four rings of petals about a disc.

    plain: one ring of few petals, as small flowers have.
    """
    broad, rings = plain or rng.random() < 0.45, 1 if plain else int(rng.integers(1, 5))
    count = int(rng.integers(4, 9) if broad else rng.integers(9, 26))
    outline = _petal(rng, 2 * np.pi / count * (rng.uniform(0.75, 1.25) if broad else rng.uniform(0.5, 0.9)))
    disc, dark = rng.uniform(0.1, 0.34), rng.uniform(35, 215)

    def head(canvas: Canvas, at: Points, heading: float, radius: float, light: float) -> None:
        form = _facing(heading, radius, rng.uniform(0.35, 1.0))
        for ring in range(rings if radius > 60 else min(rings, 2)):
            turn = np.arange(count) * 2 * np.pi / count + rng.uniform(0, 6.3) + rng.normal(0, 0.06, count)
            _ring(rng, canvas, outline, turn, at, form * 0.8**ring, 190 * light * 0.95**ring)
        middle = at - 0.04 * radius * toward(heading)
        canvas.fill(ellipse(0, 0, disc, disc, count=24) @ form + middle, dark * light)
        if disc * radius > 5:
            for spot in rng.normal(0, 0.42, (36, 2)) * disc:
                tone = min(dark * rng.uniform(0.6, 1.7), 245) * light
                canvas.fill(ellipse(spot[0], spot[1], disc * 0.11, disc * 0.11, count=8) @ form + middle, tone)

    return head


def _cup(rng: Generator) -> Head:
    """Tulips, poppies and bells, seen from the side."""
    outline, spread = _petal(rng, rng.uniform(0.45, 0.8)), rng.uniform(0.25, 0.75)
    hangs, count = rng.random() < 0.25, int(rng.integers(3, 7))

    def head(canvas: Canvas, at: Points, heading: float, radius: float, light: float) -> None:
        heading += (np.pi * rng.uniform(0.7, 0.95)) * hangs
        form, base = np.eye(2) * radius * 1.5, at - 0.6 * radius * toward(heading)
        offsets = rng.permutation(np.linspace(-spread, spread, count))
        _ring(rng, canvas, outline, heading + offsets, base, form, 130 * light)
        _ring(rng, canvas, outline, heading + rng.normal(0, 0.3 * spread, 2), base, form * 0.95, 195 * light)

    return head


def _cluster(rng: Generator) -> Head:
    """Umbels and balls of small flowers, each on a stalk of its own; holes between them."""
    floret, count = _open_flower(rng, plain=True), int(rng.integers(12, 36))
    small, flat = rng.uniform(0.1, 0.24), rng.uniform(0.3, 1.0)

    def head(canvas: Canvas, at: Points, heading: float, radius: float, light: float) -> None:
        number = count if radius > 90 else max(count // 3, 8)
        form = _facing(heading, radius, flat)
        spots = rng.normal(0, 1, (number, 2))
        spots *= (np.sqrt(rng.uniform(0, 1, number)) / np.linalg.norm(spots, axis=1))[:, None]
        spots = spots[np.argsort(spots[:, 1])] @ form + at
        foot = at - 0.9 * radius * toward(heading)
        stalks = np.stack([np.broadcast_to(foot, spots.shape), 0.45 * foot + 0.55 * spots, spots], 1)
        canvas.strokes(stalks, max(0.02 * radius, 0.7), 80 * light, 0.8)
        grown = 1.5 if number < count else 1.0
        for spot in spots:
            turn, tone = float(rng.normal(0, 0.4)), float(rng.normal(1, 0.1))
            floret(canvas, spot, heading + turn, grown * small * radius, light * tone)

    return head


def _spike(rng: Generator) -> Head:
    """Lavender, lupins, foxgloves: flowers all along the end of the stem."""
    outline, number, long = _petal(rng, rng.uniform(0.4, 0.9)), int(rng.integers(7, 22)), rng.uniform(1.2, 2.4)

    def head(canvas: Canvas, at: Points, heading: float, radius: float, light: float) -> None:
        way = toward(heading)
        canvas.strokes(np.stack([at - way * long * radius, at + way * radius * 0.9])[None], max(0.06 * radius, 0.8), 80)
        for t in np.linspace(0, 1, number if radius > 90 else max(number // 2, 6)):
            spot = at + way * radius * (0.9 - (long + 0.6) * (1 - t))
            turn = heading + rng.normal(0, 0.9, 4)
            _ring(rng, canvas, outline, turn, spot, np.eye(2) * radius * (0.55 - 0.38 * t), 175 * light)

    return head


def _bud(rng: Generator, canvas: Canvas, at: Points, heading: float, radius: float, light: float) -> None:
    """Draw a closed flower of `radius` pixels that looks along `heading` (radians), in its sepals.

    at: (2,) pixels, where it sits on its stem. light: a factor of its brightness.
    """
    outline, form = _petal(rng, 0.5), np.eye(2) * radius
    _ring(rng, canvas, outline, heading + np.array([-0.25, 0.25, 0.0]), at, form * 1.4, 165 * light)
    _ring(rng, canvas, outline, heading + np.array([-0.5, 0.5, 0.0]), at, form * 0.75, 85 * light)


def _stems(rng: Generator, roots: Points, ends: Points) -> Points:
    """Return stems that rise from `roots` and bend over to `ends`, both (K, 2). (K, 16, 2)."""
    reach = np.linalg.norm(ends - roots, axis=1)[:, None]
    return bowed(roots, roots + [0, -0.55] * reach + rng.normal(0, 0.1, roots.shape) * reach, ends, 16)


def _depth(
    rng: Generator, canvas: Canvas, heads: list[Head], stems: Points, radius: float, leafage: float, light: float
) -> None:
    """Draw stems, (K, M, 2), with their leaves, buds and flowers, of about `radius` pixels.

    leafage: how many of a stem's points bear a leaf, 0..1. light: a factor of all brightness, less for what lies
    deeper.
    """
    outline, thick = outline_of_leaf(rng, 0.15), max(radius * log_uniform(rng, 0.03, 0.1), 0.8)
    canvas.strokes(stems, thick, 75 * light * rng.normal(1, 0.12, len(stems)), 0.6)
    ways = headings(stems)
    longest = radius * rng.uniform(0.6, 1.7)
    order = np.argsort(stems[:, -1, 1])
    for k in order.tolist():
        for node in range(2, 13):
            if rng.random() < leafage:
                swing = (-1) ** node * rng.uniform(0.4, 1.2)
                length = longest * float(rng.lognormal(0, 0.25))
                form = np.array([length, length * rng.uniform(0.4, 1.0)])
                tone = float(np.clip(rng.normal(95, 20) * light, 25, 200))
                crisp_leaf(rng, canvas, outline, stems[k, node], ways[k, node] + swing, form, tone)
        if rng.random() < 0.3:
            node, swing = int(rng.integers(6, 13)), rng.choice([-1, 1]) * rng.uniform(0.3, 0.8)
            heading = float(ways[k, node] + swing)
            tip = stems[k, node] + radius * rng.uniform(0.6, 1.5) * toward(heading)
            canvas.strokes(np.stack([stems[k, node], tip])[None], max(0.05 * radius, 0.8), 75 * light, 0.8)
            _bud(rng, canvas, tip, heading, radius * rng.uniform(0.25, 0.5), light)
    for k in order.tolist():  # the flowers come over all the green
        head = heads[int(rng.integers(len(heads)))]
        head(canvas, stems[k, -1], float(ways[k, -1]), radius * float(rng.lognormal(0, 0.18)), light)


def flowers(rng: Generator, size: int) -> Layer:
    """Draw single flowers, bunches and dense beds of them, in focus, with small gaps to the background."""
    makes = (_open_flower, _cup, _cluster, _spike)
    heads = [makes[int(rng.choice(4, p=[0.5, 0.15, 0.2, 0.15]))](rng) for _ in range(1 if rng.random() < 0.6 else 2)]
    kind = int(rng.choice(4, p=[0.4, 0.2, 0.2, 0.2]))
    centre, extent = place(rng, size, 0.28, 0.6)
    if kind == 0:  # a dense plant
        count, form = int(rng.integers(25, 110)), blob(rng, 0.2) * extent
        radius, base = extent * rng.uniform(0.6, 1.35) / np.sqrt(count), 0.5
    elif kind == 1:  # a bed, which goes on outside the frame
        count, form = int(rng.integers(30, 130)), blob(rng, 0.1) * size * [0.75, rng.uniform(0.2, 0.4)]
        centre = np.array([0.5, rng.uniform(0.4, 0.65)]) * size
        radius, base = size * rng.uniform(0.4, 0.85) / np.sqrt(count), 1.0
    elif kind == 2:  # a bunch
        count, form = int(rng.integers(5, 22)), blob(rng, 0.15) * extent * 0.75
        radius, base = extent * rng.uniform(0.6, 1.0) / np.sqrt(count), 0.05
    else:  # a few, near
        count, form = int(rng.integers(1, 5)), blob(rng, 0.1) * extent * 0.5
        radius, base = extent * rng.uniform(0.4, 0.75) / np.sqrt(count), 0.3
    leafage = rng.uniform(0.15, 0.5) if count > 12 else rng.uniform(0.05, 0.3)
    radius = max(radius, 0.016 * size, 4.0)
    layers = [Canvas(size) for _ in range(3 if count > 9 else 1)]
    number = max(count // len(layers), 1)
    drop = 1.05 * size - centre[1] if kind == 1 else 1.1 * float(np.ptp(form[:, 1])) + radius
    for depth, canvas in enumerate(layers):
        spots = within(rng, form, number)
        roots = np.stack([spots[:, 0] * base + rng.normal(0, 0.06, number) * extent, np.full(number, drop)], 1)
        light = 1.0 - 0.16 * (len(layers) - 1 - depth)
        _depth(rng, canvas, heads, _stems(rng, centre + roots, centre + spots), radius, leafage, light)
    return finish(lit(rng, stacked(layers, radius * 0.12, 0.5), 0.2, 0.06))
