"""Fences, railings, lattices and gates in perspective."""

from itertools import pairwise, product

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, Sheet, finish
from .layout import lit, log_uniform, place, stacked, straight, toward
from .perspective import Camera, Sketch, chain_link, hexagons, square, upright
from .shapes import ellipse, solid, something


def slab(sketch: Sketch, outline: Points, y: float, thick: float, shade: float) -> None:
    """Fill a board's convex outline, (N, 2) in x and z, whose face lies at `y` and which is `thick` units deep.

    sketch: gets a face, a side and, where the board is long, its grain. shade: of the face, 0..255.
    """
    rng, canvas = sketch.rng, sketch.canvas
    face, back = (sketch.seen(upright(outline, at)) for at in (y, y + thick))
    hull = cv2.convexHull(np.concatenate([face, back]).astype(np.float32))[:, 0]
    canvas.fill(hull.astype(np.float64), shade * 0.55)
    # Held within the hull, so that an edge of both is drawn once.
    middle, reach = face.mean(0), np.ptp(face, axis=0) / 2 + 1e-9
    canvas.fill(middle + (face - middle) * (1 - 0.7 / reach).clip(0.1), shade)
    low, high = outline.min(0), outline.max(0)
    long = int(np.argmax(high - low))  # grain runs along the longer side
    if np.linalg.norm(np.ptp(face, axis=0)) > 60:
        t = np.linspace(0.03, 0.97, 8)
        for share in rng.uniform(0.15, 0.85, 3):
            line = np.full((8, 2), low + (high - low) * share)
            line[:, long] = (low + (high - low) * t[:, None])[:, long]
            line[:, 1 - long] += np.cumsum(rng.normal(0, 0.02, 8)) * (high - low)[1 - long]
            canvas.strokes(sketch.seen(upright(line, y))[None], 0.8, shade * rng.uniform(0.75, 0.92), 0.5)


def _box(left: float, right: float, bottom: float, top: float) -> Points:
    """Return the corners of an upright rectangle, (4, 2) in x and z."""
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]])


def _rods(sketch: Sketch, y: float, starts: Points, ends: Points, width: float, shade: float) -> None:
    """Draw round rods from `starts` to `ends`, (K, 2) in x and z; long ones in pieces, which grow with their
    nearness."""
    canvas, pieces = sketch.canvas, int(np.clip(np.linalg.norm(ends - starts, axis=1).max() / 0.4, 1, 12))
    lines = upright(straight(starts, ends, pieces * 4 + 1), y)
    seen = sketch.camera(np.concatenate([lines[:, k * 4 : k * 4 + 5] for k in range(pieces)]))
    thick = width * sketch.camera.radius * seen[..., 2].mean(1)
    tones = np.tile(shade * sketch.rng.normal(1, 0.08, len(starts)), pieces).clip(20, 245)
    canvas.strokes(seen[..., :2], thick.clip(0.7), tones * np.where(thick > 2.5, 0.8, 1), 1.0)
    round_ones = thick > 2.5
    if round_ones.any():
        bright = seen[round_ones, :, :2] + thick[round_ones, None, None] * np.array([-0.13, -0.16])
        canvas.strokes(bright, thick[round_ones] * 0.34, (tones[round_ones] * 1.45 + 20).clip(0, 250), 1.0)


def _chain_link(sketch: Sketch, half: float, y: float, shade: float) -> None:
    """Draw chain link, chicken wire or a square mesh, with posts and rails.

    half: half its length, in units. y: how far behind the middle it stands, in units. shade: 0..255.
    """
    rng = sketch.rng
    height, cell = rng.uniform(0.8, 1.4), log_uniform(rng, 0.04, 0.22)
    thick = cell * rng.uniform(0.04, 0.13)
    across, down = int(np.clip(2 * half / cell, 4, 90)), int(np.clip(2 * height / cell, 4, 70))
    kind = int(rng.choice(3, p=[0.6, 0.2, 0.2]))
    lines = (chain_link, hexagons, square)[kind](across, down // (2 if kind == 1 else 1))
    lines = (lines - 0.5) * np.array([2 * half, -2 * height])
    if kind == 2:  # long wires in pieces
        lines = np.concatenate([lines[:, k : k + 7] for k in range(0, 24, 6)])
    sketch.wires(upright(lines, y), max(thick * sketch.camera.radius, 0.7), shade)
    post, gap = rng.uniform(0.02, 0.06), rng.uniform(0.8, 2.5)
    if rng.random() < 0.7:
        for x in np.arange(-half + rng.uniform(0, gap), half, gap):
            _rods(sketch, y, np.array([[x, -2.5]]), np.array([[x, height * 1.06]]), post, shade * 0.9)
        ends = np.array([[half, height], [half, -height]])[: int(rng.integers(1, 3))]
        _rods(sketch, y, ends * [-1, 1], ends, post * 0.7, shade)


def _pickets(sketch: Sketch, half: float, y: float, shade: float) -> None:
    """Draw pickets with crowns of four kinds over two rails; now and then one is missing.

    half, y, shade: as those of `_chain_link`.
    """
    rng = sketch.rng
    pitch, kind = log_uniform(rng, 0.1, 0.35), int(rng.integers(4))
    wide, top, deep = pitch * rng.uniform(0.4, 0.92), rng.uniform(0.6, 1.2), rng.uniform(0.02, 0.05)
    wave = rng.uniform(0, 0.2) * (rng.random() < 0.3)
    for z in (top * 0.55, -top * 0.5):
        slab(sketch, _box(-half, half, z - 0.06, z + 0.06), y + deep, deep, shade * 0.7)
    for x in np.arange(-half, half, pitch):
        if rng.random() < 0.02:
            continue  # one is missing
        high = top + wave * np.sin(4 * x) + rng.normal(0, 0.008)
        a, b = x - wide / 2, x + wide / 2
        crown = (
            [[b, high], [a, high]],
            [[b, high - wide * 0.6], [x, high], [a, high - wide * 0.6]],
            ellipse(x, high - wide / 2, wide / 2, wide / 2, count=24)[:13],
            [[b, high - 0.2 * wide], [x + 0.25 * wide, high], [x - 0.25 * wide, high], [a, high - 0.2 * wide]],
        )[kind]
        outline = np.array([[a, -2.2], [b, -2.2], *crown])
        outline[:, 0] += rng.normal(0, 0.006) * outline[:, 1]
        slab(sketch, outline, y, deep, shade * float(rng.normal(1, 0.08)))


def _bars(sketch: Sketch, half: float, y: float, shade: float) -> None:
    """Draw iron railings and gates, with spears, balls, rings and scrolls.

    half, y, shade: as those of `_chain_link`.
    """
    rng, pixels = sketch.rng, sketch.camera.radius
    pitch, top = log_uniform(rng, 0.08, 0.28), rng.uniform(0.7, 1.3)
    thick, kind = pitch * rng.uniform(0.1, 0.3), int(rng.integers(4))
    xs = np.arange(-half, half, pitch)
    tall = top + np.where(np.arange(len(xs)) % 2, 0, rng.choice([0, 0.12])) + rng.uniform(0.05, 0.2)
    _rods(sketch, y, np.stack([xs, xs * 0 - 2.2], 1), np.stack([xs, tall], 1), thick, shade)
    bar = np.array([[half, z] for z in (top, top - 1.6 * pitch, -top)])
    _rods(sketch, y, bar * [-1, 1], bar, thick * 1.2, shade)
    rings = rng.random() < 0.45
    plain = ellipse(0, 0, thick / 2, thick / 3, count=12)
    spear = np.array([[0, 3.5], [0.9, 1.0], [0.4, -0.6], [-0.4, -0.6], [-0.9, 1.0]]) * thick
    head = (plain, spear, ellipse(0, 0.6 * thick, thick, thick, count=20), plain)[kind]
    around = (0.5 * pitch - thick / 2) * toward(np.linspace(0, 2 * np.pi, 33))
    for x, high in zip(xs, tall, strict=True):
        sketch.canvas.fill(sketch.seen(upright(head + np.array([x, high]), y)), shade)
        if rings:
            ring = np.array([x + pitch / 2, top - 0.8 * pitch]) + around
            sketch.wires(upright(ring[None], y), thick * 0.7 * pixels, shade)
    if kind == 3:  # scrolls between the bars
        t = np.linspace(0, 1, 49)
        for x in xs[:: int(rng.integers(1, 3))]:
            for flip in (-1, 1):
                scroll = toward(3.6 * np.pi * t) * [1, flip] * (0.42 * pitch * (1 - 0.8 * t))[:, None]
                line = scroll + np.array([x + pitch / 2, flip * 0.45 * pitch])
                sketch.wires(upright(line[None], y), thick * 0.6 * pixels, shade)


def _lattice(sketch: Sketch, half: float, y: float, shade: float) -> None:
    """Draw slats that cross, upright or at a slant, one set behind the other, in a frame.

    half, y, shade: as those of `_chain_link`.
    """
    rng = sketch.rng
    height, pitch = rng.uniform(0.6, 1.1), log_uniform(rng, 0.1, 0.35)
    wide, deep = pitch * rng.uniform(0.15, 0.45), 0.025
    slanted, half = rng.random() < 0.7, min(half, 2.0)
    for side in (1, -1):
        layer_y = y + deep * (side > 0)
        if slanted:
            for c in np.arange(-half - height, half + height, pitch):
                # z = side (x - c), held within the frame
                x0, x1 = max(-half, c - height), min(half, c + height)
                if x1 - x0 > wide:
                    line = np.array([[x0, side * (x0 - c)], [x1, side * (x1 - c)]])
                    shift = np.array([-side, 1]) / np.sqrt(2) * wide / 2
                    outline = np.concatenate([line - shift, line[::-1] + shift])
                    slab(sketch, outline, layer_y, deep, shade * float(rng.normal(1, 0.07)))
        elif side > 0:
            for z in np.arange(-height, height, pitch):
                slab(sketch, _box(-half, half, z, z + wide), layer_y, deep, shade * 0.85)
        else:
            for x in np.arange(-half, half, pitch):
                slab(sketch, _box(x, x + wide, -height, height), layer_y, deep, shade)
    edge = max(wide, 0.06)
    frame = [_box(-half, half, z - edge, z + edge) for z in (height, -height)]
    frame += [_box(x - edge, x + edge, -height - edge, height + edge) for x in (-half, half)]
    for outline in frame:
        slab(sketch, outline, y - deep, deep * 2, shade)


def _rails(sketch: Sketch, half: float, y: float, shade: float) -> None:
    """Draw posts with rails, boards or wires between them; a gate has a brace across.

    half, y, shade: as those of `_chain_link`.
    """
    rng = sketch.rng
    gap, top, thick = rng.uniform(0.7, 1.8), rng.uniform(0.5, 1.0), rng.uniform(0.03, 0.09)
    posts = np.arange(-half, half, gap)
    levels = np.linspace(top * 0.85, -top, int(rng.integers(2, 7)))
    round_ones, brace = rng.random() < 0.5, rng.random() < 0.4
    for z, (a, b) in product(levels, pairwise(posts)):
        sag = rng.normal(0, 0.02)
        if round_ones:
            _rods(sketch, y, np.array([[a, z]]), np.array([[b, z + sag]]), thick * 0.8, shade)
        else:
            box = _box(a, b, z - thick, z + thick) + np.array([[0, 0], [0, sag], [0, sag], [0, 0]])
            slab(sketch, box, y, 0.03, shade * float(rng.normal(1, 0.07)))
    if brace:
        for a, b in pairwise(posts):
            _rods(sketch, y - 0.02, np.array([[a, -top]]), np.array([[b, top * 0.85]]), thick * 0.8, shade)
    for x in posts:
        slab(sketch, _box(x - thick, x + thick, -2.2, top), y - 0.05, 2 * thick, shade * 0.85)


def fence(rng: Generator, size: int) -> Layer:
    """Draw wire fences, pickets, railings, lattices and gates in perspective, some with things before or behind
    them."""
    makes, chances = (_chain_link, _pickets, _bars, _lattice, _rails), [0.36, 0.16, 0.22, 0.16, 0.1]
    if rng.random() < 0.55:  # the whole frame
        centre, radius = np.array([0.5, 0.5]) * size + rng.normal(0, 0.06, 2) * size, size * rng.uniform(0.4, 0.8)
    else:
        centre, radius = place(rng, size, 0.25, 0.5)
    yaw = rng.choice([-1, 1]) * rng.uniform(0, 0.95)
    camera = Camera(centre, radius, yaw, rng.normal(0.05, 0.12), rng.uniform(2.5, 8))
    # What comes nearer than this would be larger than the picture.
    most = min(0.6 * camera.distance / max(abs(np.sin(yaw)), 0.1), 3.5)
    half = most if rng.random() < 0.7 else min(most, rng.uniform(0.6, 1.4))
    shade, sheets = rng.uniform(60, 185), list[Sheet]()
    for behind in (True, False) if rng.random() < 0.3 else (False,):  # perhaps a second one behind
        sketch, make = Sketch(rng, Canvas(size), camera), makes[int(rng.choice(5, p=chances))]
        make(sketch, half, rng.uniform(0.3, 1.2) if behind else 0.0, shade * 0.7 if behind else shade)
        sheets.append(sketch.canvas.sheet())
    for chance, where in ((0.2, 0), (0.12, len(sheets) + 1)):  # something behind, something before
        if rng.random() < chance:
            shape, at = something(rng), centre + rng.normal(0, 0.6, 2) * radius
            sheets.insert(where, solid(size, shape, at, radius * rng.uniform(0.3, 0.7), 0.0, rng.uniform(60, 190)))
    return finish(lit(rng, stacked(sheets, radius * 0.03, 0.4), 0.12, 0.07))
