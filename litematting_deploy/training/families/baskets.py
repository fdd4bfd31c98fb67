"""Vessels of wire and wicker: pencil holders, bins, cages and baskets, seen through front and back."""

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, Sheet, finish, normal, unit
from .layout import lit, log_uniform, place, sides, stacked, toward
from .perspective import Camera, Sketch, Surface, box, columns, diamond, hexagons, revolved, rows, square
from .shapes import Shape, animal, blob, compound, ellipse, mug, paint, solid, something


def pencil(rng: Generator, canvas: Canvas, foot: Points, head: Points, width: float) -> None:
    """Draw a pencil, pen or brush from `foot` to its point or end at `head`, (2,) pixels.

    width: in pixels. Its light is random.
    """
    along, side, shade = unit(head - foot), normal(head - foot), rng.uniform(50, 170)
    for k, light in enumerate((0.75, 1.3, 0.95)):  # three of its six faces
        start, stop = (k / 3 - 0.5) * width, ((k + 1) / 3 - 0.5) * width + (0.3 if k < 2 else 0)
        face = np.stack([foot + side * start, head + side * start, head + side * stop, foot + side * stop])
        canvas.fill(face, min(shade * light, 245))
    kind = rng.integers(3)
    if kind == 0:  # sharpened: wood and lead
        tip = head + along * width * 2.2
        for back, half, wood in ((head, side * width / 2, 190), (tip - along * width * 0.7, side * width * 0.16, 35)):
            canvas.fill(np.stack([back + half, tip, back - half]), wood)
    elif kind == 1:  # an eraser in its ferrule
        for low, high, tone in ((0.0, 0.9, 200.0), (0.9, 1.9, 120.0)):
            ends = head + along * width * np.array([[low], [high]])
            canvas.strokes(ends[None], width, [tone], 1.0)
    else:  # a brush
        bristles = np.repeat((head + side * 0)[None], 14, 0) + side * rng.uniform(-0.5, 0.5, (14, 1)) * width
        ends = head + along * width * rng.uniform(2.0, 3.2, (14, 1)) + side * rng.normal(0, 0.35, (14, 1)) * width
        hairs = np.stack([bristles, (bristles + ends) / 2 + side * 0.1, ends], 1)
        canvas.strokes(hairs, max(width * 0.2, 0.8), rng.uniform(40, 120, 14), 0.3)


def _contents(rng: Generator, size: int, camera: Camera, wide: float, height: float) -> Sheet:
    """Return what stands or lies in a vessel `wide` across and `height` high, in units of the camera's radius.

    Returns (S, S, 2) float32.
    """
    canvas, kind = Canvas(size), rng.integers(3)
    if kind == 0:
        for _ in range(int(rng.integers(3, 14))):
            angle, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.85) * wide
            direction = np.append(toward(angle), 0.0)
            foot = direction * -0.4 * lean + np.array([0, 0, -0.48 * height])
            head = direction * lean * 1.05 + np.array([0, 0, height * rng.uniform(0.6, 1.2)])
            ends = camera(np.stack([foot, head]))[:, :2]
            pencil(rng, canvas, ends[0], ends[1], camera.radius * wide * rng.uniform(0.08, 0.16))
    elif kind == 1:  # balls, fruit, paper
        for _ in range(int(rng.integers(2, 12))):
            r = wide * rng.uniform(0.25, 0.45)
            at = np.append(rng.uniform(-1, 1, 2) * max(wide - r, 0) * 0.8, rng.uniform(-0.25, 0.35) * height)
            x, y, scale = camera(at)
            middle, pixels = np.array([x, y]), r * scale * camera.radius
            shade = rng.uniform(60, 170)
            paint(canvas, Shape([blob(rng, 0.06)]), middle, pixels, shade=shade)
            paint(canvas, Shape([ellipse(-0.25, -0.3, 0.5, 0.42)]), middle, pixels, shade=min(shade * 1.25, 240))
    else:
        middle = camera(np.zeros(3))[:2]
        shape = (animal, mug, compound)[int(rng.integers(3))](rng)
        paint(canvas, shape, middle, camera.radius * min(wide, height / 2) * 0.85, 0, rng.uniform(60, 180))
    return canvas.sheet()


def _mesh(rng: Generator, around: float, height: float, cell: float) -> Points:
    """Return the lines of a mesh on a wall `around` by `height`, with cells of about `cell`, all in one unit."""
    across, down = (int(np.clip(length / cell, 2, 70)) for length in (around, height))
    kind = int(rng.choice(4, p=[0.35, 0.4, 0.15, 0.1]))
    if kind == 3:
        return np.concatenate([columns(across + 1), rows(int(rng.integers(2, 5)))])
    return (square, diamond, hexagons)[kind](across, max(down // 2, 1) if kind == 2 else down)


def _perforated(sketch: Sketch, surface: Surface, across: int, down: int, wide: float, shade: float) -> None:
    """Draw a sheet of metal pierced by rows of round holes, `wide` of a cell across.

    surface: the wall. across, down: cells. shade: 0..255.
    """
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    edge = np.concatenate([np.linspace(a, b, 20) for a, b in sides(corners)])
    sketch.canvas.fill(sketch.seen(surface(edge)), shade)
    hole = ellipse(0, 0, wide / 2 / across, wide / 2 / down, count=12)
    for row in range(1, down - 1):
        for column in range(across):
            at = np.array([(column + 0.25 + 0.5 * (row % 2)) / across, (row + 0.5) / down])
            sketch.canvas.erase(sketch.seen(surface(hole + at)))


def _wicker(sketch: Sketch, surface: Surface, stakes: int, weavers: int, gap: float) -> None:
    """Draw rods woven over and under stakes. gap: the open share of the rows' height, 0..1.

    surface: the wall. stakes, weavers: how many stand and lie.
    """
    rng, lines = sketch.rng, sketch.seen(surface(rows(weavers, 0.02, 0.98)))
    pitch = float(np.linalg.norm(np.diff(lines[:, lines.shape[1] // 2], axis=0), axis=1).mean())
    thick = pitch * (1 - gap)
    sketch.wires(surface(columns(stakes + 1)), max(thick * 0.9, 1.2), 85)
    tones = np.array([85.0, 115, 140, 148, 138, 112, 85])
    for row in range(weavers):
        v = 0.02 + 0.96 * row / max(weavers - 1, 1)
        first = np.arange(-1 + row % 2, stakes, 2)
        t = np.linspace(0, 2, 9)
        u = ((first[:, None] + t) / stakes).clip(0, 1)
        keep = np.ptp(u, axis=1) > 1e-6
        bulge = 0.18 * np.sin(np.pi * t / 2) / weavers
        flat = np.stack([u, np.broadcast_to(v - bulge + rng.normal(0, 0.04) / weavers, u.shape)], -1)[keep]
        seen = sketch.camera(surface(flat))
        shades = tones * rng.normal(1, 0.06, (len(flat), 1))
        sketch.canvas.strokes(seen[..., :2], thick * seen[..., 2].mean(1), shades, 1.0, 7)


def _walls(rng: Generator, wide: float, height: float, kinds: int) -> tuple[list[Surface], list[Surface], float]:
    """Return the walls of a vessel behind and before its contents, and the length of one.

    kinds: how many of the forms are possible; the fourth and last is a bird cage, which only wires can make.
    """
    kind, power = rng.integers(kinds), 2.0
    taper, belly = rng.uniform(0.65, 1.0), rng.uniform(0.1, 0.35)

    def profile(v: Points) -> Points:
        """Return the radius at heights `v`, 0 at the top and 1 at the bottom."""
        if kind == 1:  # a bowl
            return np.asarray(wide * np.sqrt(np.clip(1.02 - v.clip(0, 1) ** 2.5, 0.05, None)))
        if kind == 3:  # a bird cage
            return np.asarray(wide * np.sqrt(np.clip(1 - (1 - v / 0.4).clip(0, 1) ** 2, 0.0004, 1)))
        return np.asarray(wide * (1 - (1 - taper) * v) * (1 + belly * np.sin(np.pi * v) * (kind == 2)))

    if rng.random() < 0.25 and kind == 0:
        power = rng.uniform(3, 8)
    back, front = (revolved(profile, height, start, start + np.pi, power) for start in (0.0, np.pi))
    return [back], [front], np.pi * wide


def basket(rng: Generator, size: int) -> Layer:
    """Draw pencil holders, bins, cages and baskets of wire, pierced metal or wicker, with and without things inside."""
    centre, radius = place(rng, size, 0.28, 0.6)
    boxed = rng.random() < 0.25
    kind = int(rng.choice(3, p=[0.62, 0.15, 0.23]))  # wire, pierced metal or wicker
    camera = Camera(centre, radius, rng.uniform(0.2, 1.3) if boxed else 0.0, rng.uniform(0.05, 0.75), rng.uniform(3, 9))
    wide, height = rng.uniform(0.5, 0.9), rng.uniform(0.7, 1.8)
    if boxed:
        half, around = wide * 0.8, 2 * wide
        walls = box(half, half * rng.uniform(0.6, 1.2), height, np.array([0, 0, height / 2]))
        # Seen with a yaw between 0 and a quarter turn the first and the last wall face the viewer.
        back, front = walls[1:3], [walls[3], walls[0]]
    else:
        back, front, around = _walls(rng, wide, height, 4 if kind == 0 else 3)
    width = max(log_uniform(rng, 0.0012, 0.008) * size, 0.6)
    cell = max(log_uniform(rng, 0.045, 0.25 if kind == 0 else 0.11), 3.2 * width / radius)
    lines = _mesh(rng, around, height, cell)
    shade = rng.uniform(50, 170)
    across, down = (int(np.clip(length / cell, 3, 45)) for length in (around, height))
    gap, hole = rng.uniform(0.2, 0.6), rng.uniform(0.5, 0.8)
    rim = min(width * rng.uniform(1.6, 4), 0.05 * radius)
    sheets: list[Sheet] = []
    for walls, dim in ((back, 0.7), (front, 1.0)):
        sketch = Sketch(rng, Canvas(size), camera)
        if walls is back and rng.random() < 0.35:  # the floor
            edge = rows(2)[1]
            sketch.canvas.fill(np.concatenate([sketch.seen(wall(edge)) for wall in back + front]), shade * 0.45)
        for wall in walls:
            if kind == 0:
                sketch.wires(wall(lines), width, shade * dim)
            elif kind == 1:
                _perforated(sketch, wall, across, down, hole, shade * dim)
            else:
                _wicker(sketch, wall, max(across // 2, 6), max(down, 8), gap)
            sketch.wires(wall(rows(2)), rim, shade * dim * 1.1)
            if boxed:
                sketch.wires(wall(columns(2)), rim, shade * dim)
        sheet = sketch.canvas.sheet()
        sheets.append(sheet * np.array([1, dim], np.float32) if kind == 2 else sheet)
    if rng.random() < 0.65:
        sheets.insert(1, _contents(rng, size, camera, wide * 0.75, height))
    if rng.random() < 0.15:  # something behind it all
        sheets.insert(0, solid(size, something(rng), centre + rng.normal(0, 0.5, 2) * radius, radius * 0.8))
    return finish(lit(rng, stacked(sheets, radius * 0.03, 0.45), 0.15, 0.06))
