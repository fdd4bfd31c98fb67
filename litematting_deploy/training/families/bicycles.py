"""Bicycles: spokes, tubes, chains and baskets in perspective."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, finish
from .layout import bowed, lit, place, stacked, straight, toward
from .perspective import Camera, Sketch, box, diamond, rows, square, upright

# In units: (x, z), x forwards and z up, the hubs at height 0.
_WHEEL, _REAR, _FRONT = 0.42, np.array([-0.62, 0.0]), np.array([0.6, 0.0])
_CRANK, _SEAT, _HEAD = np.array([-0.12, -0.06]), np.array([-0.3, 0.48]), np.array([0.4, 0.5])


class _Bicycle:
    """Draws the parts of one bicycle that stands at `at`, (3,) units, turned by `lean` in its own plane.

    flip: 1 or -1, to the right or the left. shade: of its tubes, 0..255.
    """

    def __init__(self, sketch: Sketch, at: Points, lean: float, flip: float, shade: float) -> None:
        self._sketch, self._rng, self._shade = sketch, sketch.rng, shade
        cos, sin = np.cos(lean), np.sin(lean)
        self._turn = np.array([[flip * cos, 0, sin], [0, 1, 0], [-flip * sin, 0, cos]])
        self._at = at

    def place(self, points: Points) -> Points:
        """Put (..., 3) in the bicycle's own units into space."""
        return np.asarray(points @ self._turn + self._at)

    def tubes(self, lines: Points, width: float, light: float = 1.0, y: float = 0.0) -> None:
        """Draw lines, (K, M, 2) in x and z or (K, M, 3), `width` units thick.

        light: a factor of the shade. y: how far from the middle plane flat lines lie, in units.
        """
        if lines.shape[-1] == 2:
            lines = upright(lines, y)
        self._sketch.wires(self.place(lines), max(width * self._sketch.camera.radius, 0.7), self._shade * light)

    def ring(self, centre: Points, radius: float, start: float = 0.0, stop: float = 2 * np.pi) -> Points:
        """Return an arc about `centre`, (1, 97, 2); a whole ring overlaps itself a little."""
        return np.asarray(centre + radius * toward(np.linspace(start, stop + 0.02, 97))[None])

    def wheel(self, centre: Points, spokes: int, tyre: float) -> None:
        """Draw a wheel about `centre`, (2,): its spokes, those of the far flange first, rim, tyre and hub.

        tyre: its thickness, in units.
        """
        turn = self._rng.uniform(0, 6.3)
        k = np.arange(spokes)
        for side in (1, -1):  # the far flange first
            mine = k[k % 2 == (side > 0)]
            rim = turn + 2 * np.pi * mine / spokes
            hub = rim + np.where(mine % 4 < 2, 1, -1) * 1.2
            start, end = centre + 0.045 * toward(hub), centre + (_WHEEL - 0.03) * toward(rim)
            self.tubes(np.stack([upright(start, 0.035 * side), upright(end, 0.0)], 1), 0.005, 1.5)
        self.tubes(self.ring(centre, _WHEEL - 0.03), 0.022, 1.4)
        self.tubes(self.ring(centre, _WHEEL), tyre, 0.45)
        self.tubes(self.ring(centre, 0.025), 0.04, 1.2)

    def saddle_and_bars(self) -> None:
        """Draw the seat post with its saddle, and handlebars, straight or dropped, with brakes and cables."""
        rng = self._rng
        top = _SEAT + np.array([-0.03, rng.uniform(0.08, 0.2)])
        self.tubes(np.stack([_SEAT, top])[None], 0.03, 1.3)
        x = np.array([-0.17, -0.12, 0.0, 0.17, 0.17, 0.02, -0.1, -0.17])
        z = np.array([0.05, 0.065, 0.035, 0.035, 0.01, 0.0, -0.03, 0.0])
        outline = np.stack([x, z], -1) + top
        for y in (0.07, 0.0, -0.07):
            self._sketch.canvas.fill(self._sketch.seen(self.place(upright(outline, y - 0.03))), self._shade * 0.4)
        grip, drop = _HEAD + np.array([-0.04, rng.uniform(0.08, 0.2)]), rng.random() < 0.4
        self.tubes(np.stack([_HEAD, grip])[None], 0.035, 1.0)
        t = np.linspace(0, 1, 15)
        for side in (1, -1):
            out = 0.24 * side * np.minimum(t * 2, 1)
            later = np.clip(2 * t - 1, 0, 1)
            if drop:
                curve = np.stack([0.13 * np.sin(np.pi * later), out, -0.14 * (1 - np.cos(np.pi * later)) / 2], -1)
            else:
                curve = np.stack([-0.16 * later, out, 0.05 * np.sin(np.pi * t)], -1)
            bar = np.insert(grip, 1, 0) + curve
            self.tubes(bar[None], 0.026, 1.2)
            self.tubes(bar[None, -5:], 0.038, 0.4)
            if rng.random() < 0.6:  # a brake and its cable
                self.tubes((bar[8] + np.linspace(0, 1, 5)[:, None] * [0.02, -0.03 * side, -0.09])[None], 0.013, 1.3)
                far = np.array([_HEAD[0] + 0.09, 0, _HEAD[1] - 0.05])
                self.tubes(bowed(bar[7], bar[7] + [0.14, 0, 0.05], far, 15)[None], 0.009, 0.4)

    def drive(self, y: float) -> None:
        """The chain wheel, the chain with its links, the rear cog and a crank with its pedal."""
        rng, big, small = self._rng, 0.1, 0.04
        self.tubes(self.ring(_CRANK, big), 0.018, 1.2, y)
        arms = _CRANK + big * toward(rng.uniform(0, 6.3) + np.arange(5) * 2 * np.pi / 5)
        self.tubes(straight(_CRANK, arms, 2), 0.02, 1.1, y)
        self.tubes(self.ring(_REAR, small), 0.02, 1.1, y)
        t = np.linspace(0, 1, 43)
        for side in (1, -1):
            run = np.linspace(_REAR + np.array([0, side * small]), _CRANK + np.array([0, side * big]), 43)
            run[:, 1] -= 0.02 * np.sin(np.pi * t) * (side < 0)
            links = np.stack([run[:-1], run[1:]], 1)
            self.tubes(links[::2], 0.02, 0.7, y)
            self.tubes(links[1::2], 0.012, 1.0, y)
        way = rng.uniform(0, 6.3)
        for side in (-1, 1):  # the far crank first
            tip = _CRANK + 0.17 * side * toward(way)
            self.tubes(np.stack([_CRANK, tip])[None], 0.024, 1.2, y * side)
            self.tubes((tip + np.array([[-0.05, 0], [0.05, 0]]))[None], 0.035, 0.5, (y - 0.05) * side)

    def frame(self) -> None:
        """Draw the tubes: stays and fork on both sides, then those of the middle."""
        rng, low = self._rng, _HEAD + np.array([0.05, -0.15])
        step = rng.random() < 0.3  # a low-step frame
        tube = rng.uniform(0.028, 0.05)
        for side in (0.05, -0.05):
            for near, far in ((_CRANK, _REAR), (_SEAT, _REAR)):
                self.tubes(np.stack([upright(near, 0.2 * side), upright(far, side)])[None], tube * 0.5)
            fork = np.linspace(upright(low, 0.6 * side), upright(_FRONT, side), 9)
            fork[:, 0] -= 0.04 * np.sin(np.pi * np.linspace(0, 1, 9))
            self.tubes(fork[None], tube * 0.6)
        top = np.stack([_SEAT * 0.45 + _CRANK * 0.55 if step else _SEAT, _HEAD - [-0.01, 0.04]])
        main = [top, np.stack([_CRANK, low]), np.stack([_CRANK, _SEAT]), np.stack([_HEAD, low])]
        self.tubes(np.stack(main), tube)

    def extras(self) -> None:
        """Draw mudguards, a carrier and a basket, each on some bicycles."""
        rng = self._rng
        if rng.random() < 0.5:  # mudguards
            for centre, start, stop in ((_REAR, 0.3, 3.4), (_FRONT, 0.5, 2.9)):
                self.tubes(self.ring(centre, _WHEEL + 0.045, start, stop), 0.025, 1.0)
        if rng.random() < 0.45:  # a carrier
            y = 0.07, 0.0, -0.07
            deck = [[[-0.38, v, 0.5], [-0.92, v, 0.5]] for v in y]
            legs = [[[-0.75, v, 0.5], [-0.62, v, 0.02]] for v in y[::2]]
            self.tubes(np.array([*deck, *legs]), 0.016, 0.9)
        if rng.random() < 0.55:  # a basket
            self.basket(np.array([0.48, 0.0, 0.72]) if rng.random() < 0.75 else np.array([-0.66, 0.0, 0.7]))

    def basket(self, middle: Points) -> None:
        """Draw a basket of wire below `middle`, (3,) units."""
        rng = self._rng
        walls = box(0.2, rng.uniform(0.1, 0.18), 0.25, middle)
        make = (square, diamond)[int(rng.integers(2))]
        mesh = make(int(rng.integers(5, 14)), int(rng.integers(4, 9)))
        for k in (2, 1, 3, 0):  # from back to front
            self.tubes(walls[k](mesh), 0.007, 1.1)
            self.tubes(walls[k](rows(2)), 0.016, 1.2)

    def draw(self) -> None:
        """Draw all of it, from what is far to what is near."""
        tyre, spokes = self._rng.uniform(0.025, 0.06), int(self._rng.choice([20, 24, 28, 32, 36]))
        for centre in (_REAR, _FRONT):
            self.wheel(centre, spokes, tyre)
        self.frame()
        self.drive(-0.07)
        self.saddle_and_bars()
        self.extras()


def bicycle(rng: Generator, size: int) -> Layer:
    """Draw bicycles: whole ones, several, a part of one that fills the frame, or a wheel alone."""
    kind = int(rng.choice(4, p=[0.45, 0.2, 0.25, 0.1]))
    centre, radius = place(rng, size, 0.28, 0.6)
    if kind == 2:  # near
        centre, radius = rng.uniform(0.1, 0.9, 2) * size, size * rng.uniform(0.6, 1.3)
    camera = Camera(centre, radius, rng.normal(0, 0.4), rng.uniform(-0.05, 0.4), rng.uniform(3, 9))
    number = int(rng.integers(2, 5)) if kind == 1 else 1
    layers = [Canvas(size) for _ in range(number)]
    for k, canvas in enumerate(layers):
        at = np.array([rng.normal(0, 0.5), 0.45 * (number - 1 - k), 0.0]) * (number > 1)
        lean = rng.normal(0, 0.04) if rng.random() < 0.85 else rng.uniform(-0.6, 0.6)
        one = _Bicycle(Sketch(rng, canvas, camera), at, lean, float(rng.choice([-1, 1])), rng.uniform(70, 170))
        if kind == 3:
            one.wheel(np.zeros(2), int(rng.choice([20, 28, 36])), rng.uniform(0.025, 0.06))
        else:
            one.draw()
    return finish(lit(rng, stacked(layers, radius * 0.03, 0.35), 0.1, 0.05))
