"""Wires and surfaces in space, seen by a camera, and the patterns of wires that they carry."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Points
from .layout import sides

_POINTS = 25
"""Points of a wire that is straight on its surface."""

Surface = Callable[[Points], Points]
"""The way from (..., 2) in the unit square to (..., 3) in space: x to the right, y away from the viewer, z up."""


class Camera(NamedTuple):
    """A pinhole camera that looks at the origin from `distance`, turned by `yaw` and raised by `pitch` (radians).

    centre: (2,) pixels, where the origin appears. radius: the pixels of one unit there.
    """

    centre: Points
    radius: float
    yaw: float
    pitch: float
    distance: float

    def __call__(self, points: Points) -> Points:
        """Project (..., 3) in space to (..., 3): x and y in pixels, and the scale relative to that at the origin."""
        x = np.cos(self.yaw) * points[..., 0] - np.sin(self.yaw) * points[..., 1]
        away = np.sin(self.yaw) * points[..., 0] + np.cos(self.yaw) * points[..., 1]
        depth = away * np.cos(self.pitch) - points[..., 2] * np.sin(self.pitch)
        up = points[..., 2] * np.cos(self.pitch) + away * np.sin(self.pitch)
        # What lies behind the camera would be seen upside down, and infinitely large on its plane.
        scale = self.distance / np.maximum(self.distance + depth, 0.15 * self.distance)
        picture = np.stack([x, -up], -1) * (scale * self.radius)[..., None] + self.centre
        return np.concatenate([picture, scale[..., None]], -1)


class Sketch(NamedTuple):
    """A canvas on which things in space are drawn as a camera sees them.

    rng: for the light on each thing.
    """

    rng: Generator
    canvas: Canvas
    camera: Camera

    def seen(self, points: Points) -> Points:
        """Return where points in space, (..., 3), appear: (..., 2) pixels."""
        return self.camera(points)[..., :2]

    def wires(self, lines: Points, width: float, shade: float) -> None:
        """Draw round wires, lines (K, M, 3) in space, `width` pixels thick at the origin, with a highlight each.

        shade: 0..255, which the light of each wire varies by a third.
        """
        seen = self.camera(lines)
        count, points = lines.shape[:2]
        # A gloss changes slowly along a wire, and each piece of another tone is drawn by itself.
        pieces = min(points - 1, 8)
        middle = (np.arange(pieces) + 0.5) / pieces * (points - 1)
        x, rng = seen[:, middle.astype(int), 0] / self.canvas.size, self.rng
        gloss = 1 + 0.35 * np.sin(rng.uniform(6, 14) * x + rng.uniform(0, 6.3)) + rng.normal(0, 0.08, (count, 1))
        tone, thick = (shade * gloss).clip(15, 250), width * seen[..., 2].mean(1)
        # On so thin a wire a highlight would not be seen.
        if width < 2.5:
            self.canvas.strokes(seen[..., :2], thick, tone, 1.0, pieces)
            return
        shift, tones = thick[:, None, None] * np.array([-0.12, -0.16]), (tone * 0.8, (tone * 1.5 + 25).clip(0, 250))
        self.canvas.twofold(seen[..., :2], shift, (thick, thick * 0.34), tones, tip=1.0, pieces=pieces)


def upright(flat: Points, away: float) -> Points:
    """Put points, (..., 2) in x and z, into the plane that faces the viewer `away` from the origin: (..., 3)."""
    return np.stack([flat[..., 0], np.full(flat.shape[:-1], away), flat[..., 1]], -1)


def box(half: float, deep: float, height: float, top: Points) -> list[Surface]:
    """Return the walls of a box, 2 · `half` by 2 · `deep`, about the middle of its upper rim, (3,).

    The first one faces the viewer, and the others follow to the right and around.
    """
    corners = np.array([[-half, -deep, 0], [half, -deep, 0], [half, deep, 0], [-half, deep, 0]])
    return [_plane(top + a, b - a, np.array([0, 0, -height])) for a, b in sides(corners)]


def _plane(corner: Points, across: Points, down: Points) -> Surface:
    """Return a flat rectangle from `corner` along `across` and `down`, each (3,)."""
    return lambda flat: np.asarray(corner + flat[..., :1] * across + flat[..., 1:] * down)


def revolved(profile: Callable[[Points], Points], height: float, start: float, stop: float, power: float) -> Surface:
    """Return a part of a vessel's wall, from angle `start` to `stop` (radians) and from its top (0) to its bottom (1).

    profile: radii over the height. power: the vessel's section goes from a circle (2) towards a square (8).
    """

    def surface(flat: Points) -> Points:
        angle = start + (stop - start) * flat[..., 0]
        cos, sin = np.cos(angle), np.sin(angle)
        radius = profile(flat[..., 1]) * (np.abs(cos) ** power + np.abs(sin) ** power) ** (-1 / power)
        return np.stack([cos * radius, sin * radius, height * (0.5 - flat[..., 1])], -1)

    return surface


def rows(count: int, first: float = 0.0, last: float = 1.0) -> Points:
    """Return lines across, (count, M, 2)."""
    u = np.linspace(0, 1, _POINTS)
    return np.stack(np.broadcast_arrays(u, np.linspace(first, last, count)[:, None]), -1)


def columns(count: int) -> Points:
    """Return lines from top to bottom, (count, M, 2)."""
    return rows(count)[..., ::-1]


def square(across: int, down: int) -> Points:
    """Return a grid of `across` by `down` cells, (K, M, 2)."""
    return np.concatenate([columns(across + 1), rows(down + 1)])


def diamond(across: int, down: int) -> Points:
    """Return two sets of diagonals, `across` by `down` diamonds, (K, M, 2)."""
    t = np.linspace(0, 1, _POINTS)
    k = np.arange(1, across + down)[:, None]
    low, high = np.maximum(0, k - across), np.minimum(down, k)
    v = low + (high - low) * t
    falling = np.stack([(k - v) / across, v / down], -1)
    return np.concatenate([falling, falling * [1, -1] + [0, 1]])


def _bent(offsets: tuple[float, ...], across: int, down: int) -> Points:
    """Return wires from top to bottom whose neighbours swing against each other by `offsets` in turn, (across + 1, M,
    2)."""
    steps = np.arange(down * len(offsets) + 1)
    swing = np.asarray(offsets)[steps % len(offsets)]
    wire = np.arange(across + 1)[:, None]
    u = (wire + np.where(wire % 2, -1, 1) * swing) / across
    return np.stack([u.clip(0, 1), np.broadcast_to(steps / steps[-1], u.shape)], -1)


def chain_link(across: int, down: int) -> Points:
    """Return zigzag wires that hook into each other, (K, M, 2)."""
    return _bent((0.53, -0.53), across, down)


def hexagons(across: int, down: int) -> Points:
    """Return chicken wire: neighbours that are twisted together, part and meet the next ones, (K, M, 2)."""
    return _bent((0.47, 0.47, -0.47, -0.47), across, down)
