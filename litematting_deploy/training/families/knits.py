"""Knitted and crocheted cloth: loops of yarn with holes between them, loose ends and lace edges."""

from itertools import islice, product

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish
from .layout import coiled, grow, lit, log_uniform, place, sideways, straight, toward, turned


def _yarn(rng: Generator, canvas: Canvas, lines: Points, width: float, tone: float, twist: bool) -> None:
    """Draw short pieces of yarn, (K, M, 2) pixels: a dark border and a bright core each, so that they cross in
    order."""
    tones, shift = tone * rng.normal(1, 0.05, len(lines)), width * np.array([-0.05, -0.08])
    canvas.twofold(lines, shift, (width, width * 0.66), (tones * 0.62, tones), tip=0.95, pieces=2, root=0.95)
    if twist and width > 7:  # its plies
        side = sideways(lines)
        along = np.stack([side[..., 1], -side[..., 0]], -1)
        at = lines[:, 1:-1:2].reshape(-1, 1, 2)
        slant = (side * 0.36 + along * 0.3)[:, 1:-1:2].reshape(-1, 1, 2) * width
        plies = at + slant * np.linspace(-1, 1, 4)[:, None]
        canvas.strokes(plies, max(width * 0.09, 0.7), tone * 0.7, 0.6, root=0.6)


def _eyelets(rng: Generator, flat: Points, columns: int, rows: int) -> Points:
    """Return cloth coordinates, (..., 2), pushed aside by holes that form a pattern."""
    across, down = rng.integers(4, 10, 2).tolist()
    phase, reach = rng.integers(0, 2), rng.uniform(0.4, 1.1)
    places = product(enumerate(range(down // 2, rows, down)), range(across // 2, columns, across))
    for (k, row), column in islice(places, 60):
        away = flat - np.array([column + (across / 2) * phase * (k % 2), row]) - 0.5
        far = np.linalg.norm(away, axis=-1, keepdims=True) + 1e-6
        # The push dies away, so that neighbours keep their places.
        flat = flat + away / far * (np.sqrt(far**2 + reach**2) - far) * np.exp(-np.square(far / (3 * reach)))
    return flat


def _knitted(rng: Generator, columns: int, rows: int) -> Points:
    """Return the stitches of knitted cloth in their own units, (K, M, 2), row by row; loops stand out at its
    borders."""
    t = np.linspace(-0.02, 1.02, 17) * 2 * np.pi
    lean, high = rng.uniform(0.12, 0.24), rng.uniform(0.65, 0.95)
    stitch = np.stack([t / (2 * np.pi) + lean * np.sin(2 * t), 0.5 + high * np.cos(t)], 1)
    order = range(rows) if rng.random() < 0.5 else range(rows - 1, -1, -1)
    places = np.array([(c, r) for r in order for c in range(columns)], np.float64)
    # Every place is one loop and the half of either neighbour that it needs to be whole.
    lines = places[:, None] + stitch
    lines = _eyelets(rng, lines, columns, rows) if rng.random() < 0.5 else lines
    return lines + rng.normal(0, 0.02, (len(lines), 1, 2))


def _arches(columns: int, row: int, depth: float, count: int) -> Points:
    """Return a row of arches between neighbouring places, each hung up in the middle of those above. (columns, count,
    2)."""
    t = np.linspace(0, 1, count)
    start = np.arange(columns)[:, None] + 0.5 * (row % 2)
    sag = (4 * t * (1 - t)) ** 0.7 * depth
    return np.stack([start + t, np.broadcast_to(row + sag, (columns, count))], -1)


def _crocheted(rng: Generator, columns: int, rows: int) -> Points:
    """Return chains and posts of crochet in their own units, (K, 5, 2): arches, fans and a scalloped edge."""
    links, filled = 7, rng.uniform(0, 0.5)
    period, parts = int(rng.integers(2, 6)), []
    for row in range(rows):
        last = row == rows - 1
        arches = _arches(columns, row, 1.6 if last else 1.12, links * 4 + 1)
        parts.append(np.concatenate([arches[:, k * 4 : k * 4 + 5] for k in range(links)]))
        for k in range(columns):
            fan = (k + row) % period == 0 and rng.random() < filled * 2
            if fan or last:  # posts that fill the arch
                ends = arches[k, 3 : links * 4 - 2 : 3]
                root = np.array([arches[k, [0, -1], 0].mean(), row + 0.02])
                if not last:
                    root = np.stack([ends[:, 0], np.full(len(ends), row + 0.1)], 1)
                parts.append(straight(root, ends, 5))
        if last:  # picots
            turn = np.linspace(0, 2 * np.pi, 13)
            for at in arches[:, [6, 14, 22]].reshape(-1, 2):
                loop = at + 0.13 * np.stack([np.sin(turn), 1 - np.cos(turn)], 1)
                parts.append(np.stack([loop[k : k + 5] for k in (0, 4, 8)]))
    return np.concatenate(parts)


def knit(rng: Generator, size: int) -> Layer:
    """Draw knitted cloth, loose or dense, with eyelets; crochet, flat or round; loops at the border, loose yarn,
    fuzz."""
    centre, radius = place(rng, size, 0.28, 0.55)
    crochet = rng.random() < 0.4
    columns = int(log_uniform(rng, 7, 24 if crochet else 44))
    rows = int(np.clip(columns * rng.uniform(0.6, 1.3), 5, 40))
    disc = crochet and rng.random() < 0.45
    cell = 2 * radius / columns
    if crochet:
        lines, width = _crocheted(rng, columns, rows), rng.uniform(0.1, 0.22)
    else:
        lines, width = _knitted(rng, columns, rows), rng.uniform(0.2, 0.5)
    if disc:
        rows = max(rows // 2, 3)
        lines = _crocheted(rng, columns, rows)
        angle, reach = lines[..., 0] * 2 * np.pi / columns, (lines[..., 1] + 0.4) * radius / (rows + 1)
        spots, cell = reach[..., None] * toward(angle), radius / (rows + 1)
    else:
        spots = (lines - np.array([columns, rows]) / 2) * cell
        spots = spots * [1, rng.uniform(0.75, 1.0)]
    wave, phase = rng.uniform(0.5, 2.5, 2) / radius, rng.uniform(0, 6.3, 2)
    spots = turned(spots, rng.normal(0, 0.5) if rng.random() < 0.7 else rng.uniform(0, 6.3))
    spots = spots + 0.1 * radius * np.sin(spots[..., ::-1] * wave + phase) + centre
    thick, tone, canvas = max(width * cell, 1.2), rng.uniform(90, 185), Canvas(size)
    _yarn(rng, canvas, spots, thick, tone, twist=rng.random() < 0.6)
    for _ in range(int(rng.integers(0, 4))):  # loose ends
        root = spots[int(rng.integers(len(spots))), :1]
        loose = grow(rng, root, rng.uniform(0, 6.3, 1), [radius * rng.uniform(0.4, 1.5)], 61, np.array([0, 0.8]), 1.2)
        loose = coiled(rng, loose, [cell * rng.uniform(0.1, 0.5)], [rng.uniform(3, 12)], 0.6, [0.0])
        _yarn(rng, canvas, np.concatenate([loose[:, k : k + 6] for k in range(0, 56, 5)]), thick, tone, twist=False)
    if rng.random() < 0.45:  # fuzz
        count = int(rng.integers(150, 1200))
        roots = spots[rng.integers(len(spots), size=count), rng.integers(spots.shape[1], size=count)]
        hairs = grow(rng, roots, rng.uniform(0, 6.3, count), thick * rng.uniform(0.6, 2, count), 6, np.zeros(2), 1.2)
        canvas.strokes(hairs, 0.7, tone * rng.uniform(0.8, 1.2, count), 0.5)
    return finish(lit(rng, canvas.sheet(), 0.15, 0.06))
