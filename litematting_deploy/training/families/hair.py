"""Hair on heads: straight, wavy and curly."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish, over
from .layout import angles, bundled, coiled, grow, lit, place, toward
from .shapes import Shape, bust, ellipse, limb, paint


class _Style(NamedTuple):
    """Ranges to draw from. Lengths are in radii of the head, `turns` in windings per such length."""

    points: int
    locks: tuple[int, int]
    each: tuple[int, int]
    length: tuple[float, float]
    pull: tuple[float, float]
    sleek: tuple[float, float]
    spread: tuple[float, float]
    radius: tuple[float, float]
    turns: tuple[float, float]
    depth: float
    pieces: int
    frizz: float


STRAIGHT = _Style(
    22, (60, 130), (16, 30), (0.8, 4.5), (3, 9), (0.3, 1.0), (0.03, 0.08), (0.0, 0.01), (0.2, 0.6), 0.0, 1, 0.4
)
# The strands of a lock share its wave.
WAVY = _Style(
    48, (60, 110), (14, 26), (1.0, 4.0), (2, 7), (0.2, 0.9), (0.02, 0.05), (0.05, 0.12), (0.5, 1.1), 0.2, 6, 0.8
)
# Ringlets and frizz.
CURLY = _Style(
    110, (90, 150), (6, 11), (0.6, 2.6), (0.4, 5), (0.0, 0.5), (0.012, 0.022), (0.03, 0.07), (2.5, 5.0), 0.85, 22, 1.6
)


class _Cut:
    """One head of hair: where it is, how it hangs, and the canvas it is drawn on."""

    def __init__(self, rng: Generator, size: int, style: _Style) -> None:
        self.rng, self.size, self.style, self.canvas = rng, size, style, Canvas(size)
        self.centre, self.radius = place(rng, size, 0.1, 0.55)
        if rng.random() < 0.12:  # hair that falls into the picture from above
            self.centre[1] = -0.4 * self.radius
        wind = rng.normal(0, 1.0 if rng.random() < 0.2 else 0.2)
        self.pull = np.array([np.sin(wind), np.cos(wind)]) * rng.uniform(*style.pull)
        self.sleek, self.length = rng.uniform(*style.sleek), rng.uniform(*style.length)
        self.spread = self.radius * rng.uniform(*style.spread)
        self.wave = self.radius * rng.uniform(*style.radius)
        self.turns = rng.uniform(*style.turns)
        # The share of a lock that has a solid inside; beyond it the background shows between the strands.
        self.solid = rng.uniform(0.15, 0.45 if style.depth > 0.5 else 0.65)
        self.part = rng.normal(0, 0.15)
        self.tone = rng.uniform(95, 145)
        self.guides: list[Points] = []

    def head(self) -> None:
        """Shoulders, neck and head; nothing in them but shade."""
        rng, canvas = self.rng, self.canvas
        skin, wide = rng.uniform(90, 190), rng.uniform(2.0, 3.2)
        body = bust(wide, rng.uniform(0.7, 1.2), 2.5, 1.0, (wide * 1.1, 12))
        paint(canvas, Shape([body]), self.centre, self.radius, shade=rng.uniform(50, 200))
        paint(canvas, Shape([limb((0, 0.5), (0, 1.7), 0.42, 0.5)]), self.centre, self.radius, shade=skin * 0.85)
        paint(canvas, Shape([ellipse(0, 0, 0.76, 1.0)]), self.centre, self.radius, shade=skin)

    def locks(self, count: int, reach: float, length: float, inmost: float = 0.5) -> None:
        """`count` locks, `length` times as long as usual, rooted `inmost`..1 radii out within `reach` of the crown."""
        rng, style = self.rng, self.style
        side = rng.uniform(-1, 1, count)
        normal = toward(side * reach - np.pi / 2)
        flat = np.stack([-normal[:, 1], normal[:, 0]], 1) * np.sign(side + rng.normal(self.part, 0.07, count))[:, None]
        roots = self.centre + normal * [0.8, 1.02] * self.radius * np.sqrt(rng.uniform(inmost**2, 1, (count, 1)))
        ways = normal * (1 - self.sleek) + flat * self.sleek
        lengths = self.length * length * self.radius * rng.uniform(0.6, 1.1, count)
        guides = grow(rng, roots, angles(ways) + rng.normal(0, 0.2, count), lengths, style.points, self.pull, 0.25)
        # Ringlets wind each on its own; neighbouring waves run together.
        waving = style.depth <= 0.5
        phase = 2 * side + rng.normal(rng.uniform(0, 6.3), 0.4, count) if waving else rng.uniform(0, 6.3, count)
        turns = self.turns * lengths / self.radius * rng.uniform(0.8, 1.2, count)
        waves = self.wave * rng.uniform(0.6, 1.3, count)
        each = int(rng.integers(*style.each))
        strands, reaches = bundled(rng, guides, each, self.spread, rng.uniform(0.3, 1.4))
        phases = phase.repeat(each) + rng.normal(0, 0.15, count * each)
        radii = waves.repeat(each) * rng.lognormal(0, 0.12, count * each)
        strands = coiled(rng, strands, radii, turns.repeat(each) * reaches, style.depth, phases, each)
        for k in rng.permutation(count):
            self._lock(guides[k], strands[k * each : (k + 1) * each], turns[k], phase[k])
        self.guides.append(strands[::each])

    def _lock(self, guide: Points, strands: Points, turns: float, phase: float) -> None:
        """One lock: its hidden inside, then its strands."""
        rng, style = self.rng, self.style
        tone = float(np.clip(rng.normal(self.tone, 16), 40, 210))
        winding = style.depth > 0.5
        core = (guide if winding else strands.mean(0))[: max(int(style.points * self.solid), 3)]
        width = self.wave if winding else self.spread * 2.2
        self.canvas.strokes(core[None], width, [tone * 0.75], 0.02, style.pieces, 0.05)
        shades = tone * rng.lognormal(0, 0.2, (len(strands), 1))
        # Turns catch the light, one after the other; straight locks have a sheen.
        along = np.linspace(0, 2 * np.pi * turns, style.pieces) + phase
        self.canvas.strokes(strands, _widths(rng, len(strands)), shades * (1 + 0.25 * np.sin(along)), 0.5, style.pieces)

    def flyaways(self) -> Canvas:
        """Return single hairs that leave the locks."""
        rng, style, canvas = self.rng, self.style, Canvas(self.size)
        guides = np.concatenate(self.guides)
        count = int(rng.integers(60, 450) * style.frizz) + 10
        which = rng.integers(len(guides), size=count)
        at = (rng.uniform(0, 0.85, count) * (guides.shape[1] - 4)).astype(int)
        roots, along = guides[which, at], guides[which, at + 3] - guides[which, at]
        ways = angles(along) + rng.normal(0, 0.45, count)
        lengths = self.radius * rng.lognormal(np.log(0.6), 0.5, count)
        lines = grow(rng, roots, ways, lengths, max(40, style.points), np.array([0, 0.5]), rng.uniform(0.4, 1.2))
        waves = self.wave * rng.uniform(0.3, 1, count)
        lines = coiled(rng, lines, waves, self.turns * lengths / self.radius, style.depth, rng.uniform(0, 6.3, count))
        canvas.strokes(lines, _widths(rng, count) * 0.75, rng.normal(self.tone * 1.15, 30, count), 0.4, style.pieces)
        return canvas


def _widths(rng: Generator, count: int) -> Points:
    """Return the widths of hairs, (count,) pixels."""
    return rng.lognormal(np.log(1.0), 0.35, count).clip(0.5, 4)


def hair(style: _Style, rng: Generator, size: int) -> Layer:
    """Draw hair of a style on a head, or falling into the picture, with flyaways."""
    cut = _Cut(rng, size, style)
    count = int(rng.integers(*style.locks))
    if rng.random() < 0.6:  # from the front: hair behind the head, then a fringe
        cut.locks(count, 2.1, 1.0)
        cut.head()
        cut.locks(count // 2, 1.3, rng.uniform(0.3, 1.0))
    else:
        if rng.random() < 0.85:
            cut.head()
        paint(cut.canvas, Shape([ellipse(0, 0, 0.8, 1.03)]), cut.centre, cut.radius, shade=cut.tone * 0.7)
        cut.locks(count, 2.3, 1.0, 0.05)
        cut.locks(count // 2, 1.5, 1.0)
        cut.locks(count // 3, 3.1, 0.6, 0.0)
    loose = cut.flyaways().sheet() * np.float32(rng.uniform(0.45, 1))
    return finish(lit(rng, over(loose, cut.canvas.sheet()), 0.3, 0.07))
