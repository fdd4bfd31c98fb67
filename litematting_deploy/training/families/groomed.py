"""Groomed hair and fur from files, seen from any side: strands as thin as a third of a pixel over their body."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .canvas import Canvas, Floats, Layer, Sheet, blur, finish, over, unit
from .figures import Figure, figure, with_parts
from .layout import lit, log_uniform
from .locks import Locks, grown

_FINE, _COARSE, _WIDE = 4, 2, 1.6
"""Canvas pixels per pixel for thin strands, and for those of _WIDE pixels and more."""
_SHADES, _PIECE = 20, 4
_THINNEST = 1.3
"""The width of OpenCV's antialiased line of thickness 1; one of an even thickness is 1.4 wider than it."""
_DRAWN, _COVERED = 1.9, 3.0
"""At most: length of all strands in the frame, in pixels per pixel of the frame; how often they cover it."""
_TOGETHER = 0.8
"""How often the parts of a head that lie in several files are shown together."""
_HAIRS = 110_000
"""On a whole head."""


class _View(NamedTuple):
    """A camera: turn, (3, 3), then perspective from `distance`; `scale` pixels per unit at the figure's centre."""

    turn: NDArray[np.float32]
    distance: float
    scale: float
    shift: NDArray[np.float32]

    def see(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        """Return positions, (..., 2) pixels, nearness, (...), and pixels per unit there, (...)."""
        seen = points @ self.turn.T
        scale = self.scale * self.distance / np.maximum(self.distance - seen[..., 2], 0.3 * self.distance)
        return seen[..., :2] * [1, -1] * scale[..., None] + self.shift, seen[..., 2], scale


class _Strokes(NamedTuple):
    """Pieces of strands, nearest last: (P, _PIECE + 1, 2) pixels, (P,) nearness, widths in pixels, and shades."""

    lines: Floats
    near: Floats
    widths: Floats
    shades: Floats


def groomed(files: Sequence[str], rng: Generator, size: int) -> Layer:
    """Return a groom of one of `files` in a random cut and light, (size, size). Raises `InputError` for its file."""
    path = files[int(rng.integers(len(files)))]
    shown = figure(*(with_parts(path, tuple(files)) if rng.random() < _TOGETHER else (path,)))
    view = _camera(rng, size, shown)
    locks = Locks.random(rng, shown)
    chosen, widths, length = _chosen(rng, size, shown, view, locks)
    strands, widths = grown(rng, shown, locks, chosen, widths, length)
    strokes = _strokes(rng, size, view, strands, widths)
    return finish(lit(rng, _painted(rng, size, view, shown, strokes), 0.25, 0.06))


def _camera(rng: Generator, size: int, shown: Figure) -> _View:
    """Return a camera on any side, whole or as near as a few hundred strands."""
    azimuth, elevation, roll = rng.uniform(0, 2 * np.pi), rng.normal(0.05, 0.3), rng.normal(0, 0.15)
    turn = _rotation(2, roll) @ _rotation(0, elevation) @ _rotation(1, azimuth)
    scale = size * log_uniform(rng, 0.16, 3.0 if rng.random() < 0.4 else 0.8)
    view = _View(turn.astype(np.float32), float(rng.uniform(5, 14)), scale, np.zeros(2, np.float32))
    tips = shown.strands[rng.integers(len(shown.strands), size=300), rng.integers(8, 24, size=300)]
    seen = view.see(tips)[0]
    middle = (seen.max(0) + seen.min(0)) / 2
    if np.ptp(seen, axis=0).max() > size * rng.uniform(0.8, 1.4):  # too large for the frame: where hair is seen through
        centres, _, near = view.see(shown.balls[:, :3])
        apart = np.linalg.norm(seen[:, None] - centres, axis=2) - shown.balls[:, 3] * near
        outside = np.flatnonzero(apart.min(1) > 0)
        middle = seen[rng.choice(outside)] if len(outside) else seen[apart.min(1).argmax()]
    shift = size * (0.5 + rng.uniform(-0.18, 0.18, 2)) - middle
    return view._replace(shift=shift.astype(np.float32))


def _rotation(axis: int, angle: float) -> NDArray[np.float64]:
    """Return the rotation about an axis (0, 1 or 2) by an angle in radians, (3, 3)."""
    turn, (i, j) = np.eye(3), [k for k in range(3) if k != axis]
    turn[i, i] = turn[j, j] = np.cos(angle)
    turn[i, j], turn[j, i] = np.sin(angle), -np.sin(angle)
    return turn


def _chosen(
    rng: Generator, size: int, shown: Figure, view: _View, locks: Locks
) -> tuple[NDArray[np.int64], Floats, float]:
    """Return which strand of the groom each drawn one grows beside, (N,), its width, (N,), and their usual length, in
    pixels.

    As many as hair has there, but no more than can be drawn; these are the wider for it, never twice.
    """
    seen, _, scale = view.see(shown.strands)
    middle = (seen[:, 1:] + seen[:, :-1]) / 2
    inside = ((middle > -0.05 * size) & (middle < 1.05 * size)).all(2)
    whole = np.linalg.norm(np.diff(seen, axis=1), axis=2) * locks.length
    lengths = (whole * inside).sum(1)
    visible = np.flatnonzero(lengths > 0)
    if not len(visible):
        return visible, np.zeros(0, np.float32), 1.0
    wanted = _HAIRS * (2.5 if shown.closed else 1) * len(visible) / len(shown.strands) * locks.density
    width = locks.width * float(scale.mean())
    affordable = min(_DRAWN, _COVERED / width) * size**2 / float(lengths[visible].mean())
    thinnest = _THINNEST / _FINE
    if width < thinnest:
        wanted, width = wanted * width / thinnest, thinnest
    if wanted > affordable:
        wanted, width = affordable, width * min((wanted / affordable) ** 0.5, 2.0)
    chosen = visible[rng.integers(len(visible), size=max(int(wanted), 1))]
    widths = (width * rng.lognormal(0, 0.25, len(chosen))).astype(np.float32)
    return chosen, widths, float(np.percentile(whole.sum(1)[visible], 80))


def _strokes(rng: Generator, size: int, view: _View, strands: Floats, widths: Floats) -> _Strokes:
    """Project strands, (N, M, 3), cut them into pieces, shade these, and leave out those outside the frame."""
    points = strands.shape[1]
    seen, near, scale = view.see(strands)
    starts = np.arange(0, points - _PIECE, _PIECE)
    index = starts[:, None] + np.arange(_PIECE + 1)
    lines = seen[:, index]
    along = np.interp(np.linspace(0, 1, len(starts)), [0, 0.12, 0.6, 1], [0.75, 1, 0.9, 0.3])
    width = widths[:, None] * along * scale[:, starts + 2] / view.scale
    shade = _kajiya_kay(rng, view, strands, starts)
    kept = ((lines.max(2) > -8) & (lines.min(2) < size + 8)).all(2)
    near = near[:, starts + 2]
    return _Strokes(*(array[kept].astype(np.float32) for array in (lines, near, width, shade)))


def _kajiya_kay(rng: Generator, view: _View, strands: Floats, starts: NDArray[np.int64]) -> Floats:
    """Return how bright each piece is, (N, pieces), 0..255: diffuse light and two highlights, darker at the root."""
    along = unit((strands[:, starts + _PIECE] - strands[:, starts]) @ view.turn.T)
    light = rng.normal(0, 1, 3) * [1, 0.7, 0.7] + [0, 0.9, 0.3]
    light /= np.linalg.norm(light)
    aslant, towards = along @ light, along[..., 2]
    count = len(strands)
    gloss = np.zeros_like(aslant)
    for shift, power in ((-0.08, rng.uniform(20, 90)), (0.12, rng.uniform(8, 25))):
        lean = np.arcsin(aslant.clip(-1, 1)) + np.arcsin(towards.clip(-1, 1)) + rng.normal(shift, 0.12, (count, 1))
        gloss += np.cos(lean.clip(-1.57, 1.57)) ** power * 0.5
    diffuse = np.sqrt(1 - aslant.clip(-1, 1) ** 2)
    tone = rng.uniform(85, 135) * rng.lognormal(0, rng.uniform(0.08, 0.3), (count, 1))
    depth = np.interp(np.linspace(0, 1, len(starts)), [0, 0.5, 1], [rng.uniform(0.55, 0.9), 1, rng.uniform(0.95, 1.2)])
    lit_up = tone * (0.45 + 0.6 * diffuse) * depth + rng.uniform(10, 110) * gloss
    return np.asarray(lit_up.clip(8, 250), np.float32)


def _painted(rng: Generator, size: int, view: _View, shown: Figure, strokes: _Strokes) -> Sheet:
    """Return the body and the strands from far to near; sometimes what is far from one distance is out of focus."""
    edges = np.quantile(strokes.near, np.linspace(0, 1, 33)[1:-1]) if len(strokes.near) else np.zeros(1)
    slices = np.searchsorted(edges, strokes.near)
    centres, near, scale = view.see(shown.balls[:, :3])
    near = near - shown.balls[:, 3] * shown.closed  # a body's near side is under its own fur
    behind = np.searchsorted(edges, near)
    finely = len(strokes.widths) == 0 or float(np.median(strokes.widths)) < _WIDE
    groups, softness = 1, np.zeros(1)
    if rng.random() < 0.3:
        groups = 6
        softness = np.abs(np.arange(6) - rng.uniform(2, 6)) * size / 1024 * rng.uniform(0.3, 2.2)
    skin, cloth = rng.uniform(60, 190), rng.uniform(30, 210)
    sheet = np.zeros((size, size, 2), np.float32)
    count = len(edges) + 1
    for group in range(groups):
        easel = _Easel(size, _FINE if finely else _COARSE)
        for level in range(group * count // groups, (group + 1) * count // groups):
            for ball in np.flatnonzero(behind == level)[np.argsort(near[behind == level])]:
                shade = cloth if shown.dressed[ball] else skin
                easel.disc(centres[ball], float(shown.balls[ball, 3] * scale[ball]), shade)
            easel.strands(rng, strokes, np.flatnonzero(slices == level))
        part = easel.sheet()
        if softness[group] > 0.3:
            part = blur(part, float(softness[group]))
        sheet = over(part, sheet)
    return sheet


class _Easel(Canvas):
    """A canvas for strands by the ten thousand."""

    def disc(self, centre: Floats, radius: float, shade: float) -> None:
        """Fill a circle of `radius` pixels."""
        if (centre + radius > 0).all() and (centre - radius < self.size).all():
            at = tuple(np.rint((centre * self.scale - 0.5) * 16).astype(int).tolist())
            cv2.circle(self._pixels, at, max(round(radius * self.scale * 16), 1), (255, shade, 0), -1, cv2.LINE_AA, 4)

    def strands(self, rng: Generator, strokes: _Strokes, which: NDArray[np.int64]) -> None:
        """Draw pieces of about one distance; those of like width and shade in one call, in random order."""
        if not len(which):
            return
        wide = strokes.widths[which] * self.scale + rng.uniform(-0.6, 0.6, len(which))
        thick = np.where(wide < 2.3, 1, np.maximum(2 * np.rint((wide - 1.4) / 2), 2)).astype(int)
        keys = thick * _SHADES + (strokes.shades[which] * (_SHADES / 256)).astype(int)
        ring = np.rint((strokes.lines[which] * self.scale - 0.5) * 16).clip(-(2**18), 2**18).astype(np.int32)
        for key in rng.permutation(np.unique(keys)).tolist():
            width, shade = key // _SHADES, (key % _SHADES + 0.5) * 256 / _SHADES
            lines = list(ring[keys == key])
            if width < 8:
                cv2.polylines(self._pixels, lines, False, (255, shade, 0), width, cv2.LINE_AA, 4)
                continue
            for share, light in ((1.0, 0.8), (0.7, 1.0), (0.3, 1.12)):  # round, not flat
                colour = (255, min(shade * light, 255), 0)
                cv2.polylines(self._pixels, lines, False, colour, max(int(width * share), 1), cv2.LINE_AA, 4)
