"""Patterns of wires in the unit square, for any surface to carry."""

import numpy as np

from .layout import Points

_POINTS = 25


def rows(count: int, first: float = 0.0, last: float = 1.0) -> Points:
    """Lines across, (count, M, 2)."""
    u = np.linspace(0, 1, _POINTS)
    return np.stack(np.broadcast_arrays(u, np.linspace(first, last, count)[:, None]), -1)


def columns(count: int) -> Points:
    """Lines from top to bottom, (count, M, 2)."""
    return rows(count)[..., ::-1]


def square(across: int, down: int) -> Points:
    """A grid of `across` by `down` cells, (K, M, 2)."""
    return np.concatenate([columns(across + 1), rows(down + 1)])


def diamond(across: int, down: int) -> Points:
    """Two sets of diagonals, `across` by `down` diamonds, (K, M, 2)."""
    t = np.linspace(0, 1, _POINTS)
    k = np.arange(1, across + down)[:, None]
    low, high = np.maximum(0, k - across), np.minimum(down, k)
    v = low + (high - low) * t
    falling = np.stack([(k - v) / across, v / down], -1)
    return np.concatenate([falling, falling * [1, -1] + [0, 1]])


def _bent(offsets: tuple[float, ...], across: int, down: int) -> Points:
    """Wires from top to bottom whose neighbours swing against each other by `offsets` in turn, (across + 1, M, 2)."""
    steps = np.arange(down * len(offsets) + 1)
    swing = np.asarray(offsets)[steps % len(offsets)]
    wire = np.arange(across + 1)[:, None]
    u = (wire + np.where(wire % 2, -1, 1) * swing) / across
    return np.stack([u.clip(0, 1), np.broadcast_to(steps / steps[-1], u.shape)], -1)


def chain_link(across: int, down: int) -> Points:
    """Zigzag wires that hook into each other, (K, M, 2)."""
    return _bent((0.53, -0.53), across, down)


def hexagons(across: int, down: int) -> Points:
    """Chicken wire: neighbours that are twisted together, part and meet the next ones, (K, M, 2)."""
    return _bent((0.47, 0.47, -0.47, -0.47), across, down)
