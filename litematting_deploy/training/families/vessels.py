"""Glass in focus: clear inside, with crisp rims, walls, liquids and highlights."""

from collections.abc import Callable
from functools import reduce
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Floats, Layer, Points, Sheet, finish, over, plain
from .layout import around, fractal, place, straight, turned
from .shapes import ellipse
from .translucent import profile


class _Vessel:
    """One vessel of glass on its own axis: y from -1 (rim) to 1 (foot), drawn part by part, each with exact edges."""

    def __init__(self, rng: Generator, size: int, centre: Points, radius: float) -> None:
        self._rng, self._size, self._centre, self._radius = rng, size, centre, radius
        self._heights, self._widths, self._top, self._bottom = profile(rng)
        self._angle, self._flat = rng.normal(0, 0.1), rng.uniform(0.08, 0.24)
        self._wall = max(rng.uniform(0.015, 0.05), 2.5 / radius)
        # Some profiles close to a point below; glass stands on a foot.
        self._end = 1.0 if self._widths[-2] > 0.2 * self._widths.max() else 0.955
        self._x, self._y = around(size, centre, radius, self._angle)

    def half(self, y: Points) -> Points:
        """Return the half width at heights, (N,)."""
        return np.asarray(np.interp(y, self._heights, self._widths))

    def pixels(self, points: Points) -> Points:
        """Return where points on the vessel's own axes, (..., 2), lie in the picture."""
        return turned(points, self._angle) * self._radius + self._centre

    def part(self, draw: Callable[[Canvas], None]) -> Floats:
        """Return the exact coverage, (S, S) float32, of what `draw` draws."""
        canvas = Canvas(self._size)
        draw(canvas)
        return canvas.sheet()[..., 0]

    def body(self, inset: float, top: float, bottom: float) -> Points:
        """Return the outline between two heights, (N, 2) pixels; its ends are the near halves of ellipses."""
        y = np.linspace(top, bottom, 120)
        half = np.maximum(self.half(y) - inset, 0.004)
        t = np.linspace(0, np.pi, 25)
        foot = np.stack([half[-1] * np.cos(t), bottom + half[-1] * self._flat * np.sin(t)], 1)
        lid = np.stack([-half[0] * np.cos(t), top - half[0] * self._flat * np.sin(t)], 1)
        return self.pixels(np.concatenate([np.stack([half, y], 1), foot, np.stack([-half, y], 1)[::-1], lid]))

    def disc(self, y: float, inset: float = 0.0, count: int = 96) -> Points:
        """Return the ellipse of a section at a height, (N, 2) pixels."""
        half = max(float(self.half(np.array([y]))[0]) - inset, 0.004)
        return self.pixels(ellipse(0, y, half, half * self._flat, count=count))

    def around(self, ring: Points, width: float) -> Floats:
        """Return the coverage of a line of `width` pixels around an outline, (N, 2)."""
        return self.part(lambda canvas: canvas.outlined(ring, max(width, 0.9), 128.0, 4))

    def glass(self) -> Sheet:
        """Return the body, its walls and its outer line."""
        rng = self._rng
        outline, inner_end = self.body(0, -1, self._end), max(self._bottom, self._top + 0.1)
        whole = self.part(lambda canvas: canvas.fill(outline))
        inside = self.part(lambda canvas: canvas.fill(self.body(self._wall, -1, inner_end - 0.04)))
        half = np.interp(self._y, self._heights, self._widths).astype(np.float32)
        across = np.clip(np.abs(self._x) / np.maximum(half, 1e-3), 0, 1)
        clear = rng.uniform(0.02, 0.14) + rng.uniform(0.05, 0.35) * across ** rng.uniform(3, 8)
        clear = clear * (1 + 0.06 * fractal(rng, self._size, 3, 3))
        sheet = plain(whole * clear, 118 + 45 * across**4 * rng.choice([-1, 1]))
        wall = np.clip(whole - inside, 0, 1) * rng.uniform(0.2, 0.65)
        sheet = over(plain(wall, rng.uniform(70, 190)), sheet)
        edge = self.around(outline, rng.uniform(0.002, 0.007) * self._radius)
        # Lines straddle the outline; only what lies within it is glass.
        return over(plain(np.minimum(edge, whole) * np.float32(rng.uniform(0.6, 1.0)), rng.uniform(40, 220)), sheet)

    def liquid(self) -> Sheet:
        """Return what is in it: darker at its sides, with a bright surface; sometimes bubbles."""
        rng = self._rng
        low, high = self._top + 0.08, self._bottom - 0.08
        level = rng.uniform(low, max(high - 0.1, low + 0.02))
        inset = self._wall * 1.05
        filled = self.part(lambda canvas: canvas.fill(self.body(inset, level, max(high, level + 0.04))))
        surface = self.part(lambda canvas: canvas.fill(self.disc(level, inset)))
        strength, tone = rng.uniform(0.1, 0.95), rng.uniform(60, 150)
        depth = np.clip((self._y - level) / max(high - level, 0.1), 0, 1)
        alpha = filled * np.clip(strength * (0.8 + 0.35 * depth), 0, 1)
        sheet = plain(alpha, tone * (1.1 - 0.3 * depth))
        sheet = over(plain(surface * np.float32(0.5 * strength), tone * 1.4), sheet)
        line = self.around(self.disc(level, inset), 0.005 * self._radius)
        sheet = over(plain(line * np.float32(rng.uniform(0.4, 0.9)), 200), sheet)
        if rng.random() < 0.4:
            canvas = Canvas(self._size)
            for _ in range(int(rng.integers(8, 70))):
                y = rng.uniform(level, max(high, level + 0.05))
                x = rng.uniform(-0.9, 0.9) * max(float(self.half(np.array([y]))[0]) - inset, 0)
                r = rng.uniform(0.006, 0.02)
                canvas.outlined(self.pixels(ellipse(x, y, r, r, count=16)), 1.1, 220.0, 4)
            sheet = over(canvas.sheet() * np.float32(0.8), sheet)
        return sheet

    def rim(self, near: bool) -> Sheet:
        """Return a half of the rim: bright lines, that nearer to the viewer thicker."""
        rng, ring = self._rng, self.disc(-1.0, 0.3 * self._wall)
        arc = ring[:50] if near else np.concatenate([ring[48:], ring[:2]])
        width = max((0.014 if near else 0.008) * self._radius * rng.uniform(0.6, 1.4), 0.9)
        coverage = self.part(lambda canvas: canvas.strokes(arc[None], width, 128.0, 1.0, 4))
        return plain(coverage * np.float32(rng.uniform(0.7, 1.0)), rng.uniform(170, 240))

    def highlights(self) -> Sheet:
        """Reflections of windows and lamps, which follow the glass, ribs, and the lines beside its walls."""
        rng, canvas = self._rng, Canvas(self._size)
        for _ in range(int(rng.integers(1, 4))):
            at, wide = rng.uniform(-0.75, 0.75), rng.uniform(0.05, 0.2)
            low, high = np.sort(rng.uniform(-0.9, 0.85, 2))
            panes = int(rng.integers(1, 4))
            for pane in range(panes):
                bounds = low + (high - low) * (np.array([pane, pane + 0.9]) / panes)
                y = np.linspace(bounds[0], bounds[1], 24)
                half, curve = self.half(y), 0.12 * self._flat * np.sin(np.pi * (y - low) / max(high - low, 0.01))
                left, right = (np.stack([half * (at + s * wide / 2), y + curve * at], 1) for s in (-1, 1))
                if half.max() * wide * self._radius > 1.5:
                    canvas.fill(self.pixels(np.concatenate([left, right[::-1]])), rng.uniform(205, 250))
        sheet = canvas.sheet() * np.float32(rng.uniform(0.45, 1.0))
        y = np.linspace(-0.97, 0.95, 60)
        columns = rng.uniform(-0.93, 0.93, int(rng.integers(2, 6)))
        if rng.random() < 0.3:  # ribs
            columns = np.sin(np.linspace(-1.45, 1.45, int(rng.integers(7, 20))))
        lines = np.stack([np.stack([self.half(y) * column, y], 1) for column in columns])
        canvas = Canvas(self._size)
        widths = rng.uniform(0.002, 0.01, len(lines)) * self._radius
        canvas.strokes(self.pixels(lines), widths.clip(0.9), rng.choice([60.0, 215.0], len(lines)), 0.6, 4)
        return over(sheet, canvas.sheet() * np.float32(rng.uniform(0.2, 0.7)))

    def straw(self) -> Sheet:
        """Return a straw or a spoon that stands in it, opaque."""
        rng, canvas = self._rng, Canvas(self._size)
        x = 0.6 * float(self.half(np.array([-0.9]))[0])
        ends = self.pixels(np.array([[-x, self._bottom - 0.12], [x, -1.0], [x * 1.5, -1.0 - rng.uniform(0.2, 0.6)]]))
        width = max(rng.uniform(0.03, 0.09) * self._radius, 2.0)
        for a, b in pairwise(ends):
            for share, tone in ((1.0, 110.0), (0.4, 190.0)):
                canvas.strokes(straight(a, b, 9)[None], width * share, tone, 1.0)
        return canvas.sheet()

    def sheet(self) -> Sheet:
        """All of it, from back to front."""
        parts = [self.rim(near=False)]
        if self._rng.random() < 0.2:
            parts.append(self.straw())
        if self._rng.random() < 0.6:
            parts.append(self.liquid())
        parts += [self.glass(), self.rim(near=True), self.highlights()]
        return reduce(lambda bottom, top: over(top, bottom), parts)


def vessel(rng: Generator, size: int) -> Layer:
    """Draw glasses, bottles, jars and vases in focus: see-through inside, with crisp bright rims, liquids and
    highlights."""
    centre, radius = place(rng, size, 0.28, 0.65)
    sheet = _Vessel(rng, size, centre, radius).sheet()
    for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.35 else 0):
        at = centre + rng.normal(0, [0.7, 0.1]) * radius
        sheet = over(_Vessel(rng, size, at, radius * rng.uniform(0.6, 1)).sheet(), sheet)
    return finish(sheet)
