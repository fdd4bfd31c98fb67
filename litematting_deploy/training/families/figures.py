"""What groomed strands grow on: a head with neck and shoulders, or a body that follows their roots."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..grooms import Strands, read_groom
from .canvas import unit

_LOCKS = 1500
_INTERPOLATED = 12_000
"""Grooms of more strands than this are dense enough without strands between them."""
_WHOLE = 0.55
"""The share of a sphere that a head's hair covers where it is no mere part."""
_ROUND = 0.12
"""How far roots on a scalp lie from a sphere, at most, in radii."""


class Figure(NamedTuple):
    """A groom and the body under it, scaled so that the head's, or the whole figure's, radius is 1, about its centre.

    strands: (K, POINTS, 3) float32, y up. balls: (B, 4) float32, centre and radius, whose union is the body.
    dressed: (B,) bool, which of them wear cloth. near: (K, 3) int, neighbours that run alike, itself where there is
    none. lock: (K,) int, the strand in the middle of each one's lock. spacing: between roots. closed: whether roots
    lie all around.
    """

    strands: Strands
    balls: NDArray[np.float32]
    dressed: NDArray[np.bool_]
    near: NDArray[np.int64]
    lock: NDArray[np.int64]
    spacing: float
    closed: bool


class _Place(NamedTuple):
    """Where a groom grows: centre, (3,), and radius in the file's unit, whether on a head, whether all around, and
    how much of a sphere about its centre it covers, 0..1."""

    centre: NDArray[np.float64]
    radius: float
    head: bool
    closed: bool
    cover: float


@lru_cache(maxsize=64)
def with_parts(path: str, files: tuple[str, ...]) -> tuple[str, ...]:
    """Return a groom's file and those that go with it: some grooms are parts of one head, in files of their own."""
    own = _place(path)
    if not own.head or own.cover > _WHOLE:
        return (path,)
    parts: tuple[str, ...] = (path,)
    for other in files:
        its = _place(other)
        apart = float(np.linalg.norm(own.centre - its.centre)) / own.radius
        alike = its.head and apart < 0.6 and 0.7 < its.radius / own.radius < 1.4
        if other not in parts and alike and _place(*parts, other).head:
            parts = tuple(sorted((*parts, other)))
    return parts


@lru_cache(maxsize=64)
def figure(*paths: str) -> Figure:
    """Return the figure of a groom, whose parts are in files of their own. Raises `InputError`."""
    place = _place(*paths)
    strands = np.concatenate([read_groom(path) for path in paths])
    strands = ((strands - place.centre) / place.radius).astype(np.float32)
    spacing = float(np.sqrt(4 * np.pi * place.cover / len(strands)))
    if place.head:
        balls, dressed = _bust(strands[:, 0])
    else:
        balls = _stuffing(strands, 0.0 if place.closed else 0.17, 0.055 if place.closed else 0.1)
        dressed = np.zeros(len(balls), bool)
    return Figure(strands, balls, dressed, _neighbours(strands), _locks(strands), spacing, place.closed)


@lru_cache(maxsize=64)
def _place(*paths: str) -> _Place:
    """Return where the groom in some files grows: on a scalp, all over a body, or on a patch."""
    roots = np.concatenate([read_groom(path)[:, 0] for path in paths]).astype(np.float64)
    middle, extent = (roots.max(0) + roots.min(0)) / 2, float(np.ptp(roots, axis=0).max()) + 1e-9
    around = _covered(roots - middle, 0.35)
    if around > 0.95 and len(paths) == 1:
        return _Place(middle, extent / 2, head=False, closed=True, cover=1.0)
    centre, radius, deviation = _sphere(roots)
    if deviation < _ROUND * radius and 0.3 * extent < radius < 1.2 * extent:
        return _Place(centre, radius, head=True, closed=False, cover=_covered(roots - centre, 0.25))
    return _Place(middle, extent / 2, head=False, closed=False, cover=around)


def _sphere(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Centre, radius and root mean square deviation of the sphere through points (least squares, algebraic)."""
    middle = points.mean(0)
    shifted = points - middle
    system = np.concatenate([2 * shifted, np.ones((len(points), 1))], 1)
    solution = np.linalg.lstsq(system, (shifted**2).sum(1), rcond=None)[0]
    radius = float(np.sqrt(max(solution[3] + solution[:3] @ solution[:3], 1e-18)))
    away = np.linalg.norm(shifted - solution[:3], axis=1) - radius
    return middle + solution[:3], radius, float(np.sqrt((away**2).mean()))


def _covered(roots: NDArray[np.float64], within: float) -> float:
    """Return the share of directions that have one of `roots`, seen from the origin, within so many radians.

    roots: (K, 3). Returns 0..1.
    """
    index = np.arange(200) + 0.5
    polar, turn = np.arccos(1 - index / 100), np.pi * (1 + 5**0.5) * index
    ways = np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)])
    ways_of_roots = roots / (np.linalg.norm(roots, axis=1, keepdims=True) + 1e-12)
    return float(((ways_of_roots @ ways).max(0) > np.cos(within)).mean())


def _bust(roots: Strands) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a head of radius 1 whose face looks away from most roots, its neck and shoulders."""
    forward = -roots.mean(0) * [1, 0, 1]
    length = float(np.linalg.norm(forward))
    forward = forward / length if length > 0.05 else np.array([0.0, 0.0, 1.0])
    aside, t = np.array([forward[2], 0, -forward[0]]), np.linspace(0, 1, 24)[:, None]
    up = np.array([0.0, 1.0, 0.0])
    jaw = t * (0.34 * forward - 0.72 * up)
    neck = (0.05 * forward - 0.7 * up) * (1 - t) + (-0.12 * forward - 2.2 * up) * t
    across = np.linspace(-1.9, 1.9, 48)[:, None]
    shoulders = across * aside - (2.55 + 0.12 * across**2) * up - 0.12 * forward
    depth = np.linspace(-3, -9, 50)[:, None, None]
    torso = ((np.linspace(-1.5, 1.5, 3)[:, None] * aside)[None] + depth * up).reshape(-1, 3)
    centres = np.concatenate([jaw, neck, shoulders, torso])
    radii = [0.97 - 0.42 * t[:, 0], 0.5 + 0.12 * t[:, 0] ** 3, np.full(48, 0.55), np.full(len(torso), 0.8)]
    return np.column_stack([centres, np.concatenate(radii)]).astype(np.float32), np.arange(len(centres)) >= 48


def _stuffing(strands: Strands, depth: float, radius: float) -> NDArray[np.float32]:
    """Return a ball `depth` below every root, against the way the strands leave; at most some 4,000 where there are
    more."""
    some = strands[:: max(1, len(strands) // 3000)]
    roots, ways = some[:, 0], unit(some[:, 6] - some[:, 0])
    # Strands lean; their mean around each root leans less.
    few = roots[:: max(1, len(roots) // 400)]
    kernel = np.exp(-((few[:, None] - roots[None]) ** 2).sum(2) / 0.02)
    smooth = kernel @ ways / kernel.sum(1, keepdims=True)
    nearest = ((roots[:, None] - few[None]) ** 2).sum(2).argmin(1) if depth else np.zeros(len(roots), int)
    centres = roots + (depth * -unit(smooth[nearest]) if depth else -radius * 0.7 * ways)
    return np.column_stack([centres, np.full(len(centres), max(radius, depth * 0.95))]).astype(np.float32)


def _neighbours(strands: Strands) -> NDArray[np.int64]:
    """Return three strands near each one that leave alike and are about as long, or itself."""
    count = len(strands)
    own = np.repeat(np.arange(count)[:, None], 3, 1)
    if not 4 <= count <= _INTERPOLATED:
        return own
    roots, way = strands[:, 0], strands[:, -1] - strands[:, 0]
    length = np.linalg.norm(way, axis=1) + 1e-9
    for start in range(0, count, 500):
        rows = np.arange(start, min(start + 500, count))
        apart = (roots[rows] ** 2).sum(1)[:, None] - 2 * roots[rows] @ roots.T + (roots**2).sum(1)
        near = np.argpartition(apart, 3, axis=1)[:, :4]
        near = np.where(near[:, :3] == rows[:, None], near[:, 3:], near[:, :3])
        alike = np.einsum("ijk,ik->ij", way[near], way[rows]) / (length[near] * length[rows, None]) > 0.85
        ratio = length[near] / length[rows, None]
        own[rows] = np.where(alike & (ratio > 0.6) & (ratio < 1.6), near, rows[:, None])
    return own


def _locks(strands: Strands) -> NDArray[np.int64]:
    """Return the middle strand of the lock that each belongs to."""
    count = len(strands)
    middles = np.random.default_rng(0).permutation(count)[: max(1, min(count // 3, _LOCKS))]
    roots = strands[:, :8].mean(1)
    centres, found = roots[middles], np.empty(count, np.int64)
    for start in range(0, count, 2000):
        part = roots[start : start + 2000]
        found[start : start + 2000] = middles[((centres**2).sum(1) - 2 * part @ centres.T).argmin(1)]
    return found
