"""Solid things out of focus or in motion."""

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Layer, Points, Sheet, blur, finish, over
from .layout import fractal, lit, log_uniform, place, toward, turned
from .shapes import Shape, blob, ellipse, limb, paint, solid, something


def _thing(rng: Generator, size: int, centre: Points, radius: float) -> Sheet:
    """Return a solid object with shaded parts, (size, size, 2) float32."""
    shape, angle = something(rng), rng.normal(0, 0.4)
    sheet, marks = solid(size, shape, centre, radius, angle, rng.uniform(70, 180)), Canvas(size)
    for outline in shape.solids:  # parts and patterns that only the shade shows
        middle = outline.mean(0)
        for _ in range(int(rng.integers(0, 4))):
            mark = (outline - middle) * rng.uniform(0.1, 0.9) + middle + rng.normal(0, 0.2, 2)
            marks.fill(turned(mark, angle) * radius + centre, rng.uniform(40, 220))
    drawn = marks.sheet()
    sheet[..., 1] += (drawn[..., 1] - sheet[..., 1] * drawn[..., 0]) * sheet[..., 0]
    return lit(rng, sheet, 0.4)


def disc_blur(sheet: Sheet, radius: float) -> Sheet:
    """Return a lens's blur of (S, S, 2) float32: the mean over a disc of `radius` pixels with a soft edge.

    radius: above 0; the discs of wide ones are applied to a smaller copy.
    """
    shrink = max(1, int(radius // 8))  # a wide disc leaves nothing that a coarser grid would lose
    size = sheet.shape[0]
    small = cv2.resize(sheet, (size // shrink,) * 2, interpolation=cv2.INTER_AREA) if shrink > 1 else sheet
    r = radius / shrink
    reach = int(np.ceil(r)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(r + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    soft = cv2.filter2D(small, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    if shrink > 1:
        soft = cv2.resize(soft, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 255)
        soft[..., 0] = soft[..., 0].clip(0, 1)
    return np.asarray(soft, np.float32)


def _focused(rng: Generator, sheet: Sheet, widest: float) -> Sheet:
    """Return a blur that grows across the picture from sharp to `widest` pixels of disc radius.

    sheet: (S, S, 2) float32. Returns the same.
    """
    size = sheet.shape[0]
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    depth = ramp[:, None] * np.float32(np.sin(angle)) + ramp * np.float32(np.cos(angle))
    depth += 0.15 * fractal(rng, size, 2, 2)
    depth = np.clip((depth + rng.uniform(0, 1)) / 1.4, 0, 1) * 3
    result = sheet * np.clip(1 - depth, 0, 1)[..., None]
    for step, radius in ((1, widest / 4), (2, widest / 2), (3, widest)):
        weight = np.clip(1 - np.abs(depth - step), 0, 1)
        result += disc_blur(sheet, max(radius, 0.6)) * weight[..., None]
    return np.asarray(result, np.float32)


def defocused(rng: Generator, size: int) -> Layer:
    """Draw solid objects from slightly soft to far out of focus, evenly or with depth."""
    centre, radius = place(rng, size, 0.15, 0.7)
    sheet = _thing(rng, size, centre, radius)
    kind = rng.random()
    if kind < 0.35:
        return finish(blur(sheet, log_uniform(rng, 0.4, 1.6)))
    widest = 2 * log_uniform(rng, 1.5, 25)
    if kind < 0.6:
        return finish(_focused(rng, sheet, widest))
    if kind < 0.8:  # something near and blurred before something sharp
        near = _thing(rng, size, centre + rng.normal(0, 0.8, 2) * radius, radius * rng.uniform(0.3, 0.9))
        return finish(over(disc_blur(near, widest), blur(sheet, rng.uniform(0.4, 1.2))))
    return finish(disc_blur(sheet, widest))


def smear(sheet: Sheet, length: float, angle: float, turn: float, pivot: Points) -> Sheet:
    """Return the mean of (S, S, 2) float32 over a motion of `length` pixels along `angle` while turning `turn`
    radians."""
    size = sheet.shape[0]
    count = int(np.clip((length + abs(turn) * size * 0.3) / 1.6, 4, 70))
    total = np.zeros_like(sheet)
    for step in (np.arange(count) + 0.5) / count - 0.5:
        matrix = cv2.getRotationMatrix2D((float(pivot[0]), float(pivot[1])), float(np.degrees(turn * step)), 1.0)
        matrix[:, 2] += length * step * toward(angle)
        cv2.accumulate(cv2.warpAffine(sheet, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE), total)
    return np.asarray(total / count, np.float32)


def _ball(rng: Generator, size: int, centre: Points, radius: float) -> Sheet:
    """Return a ball with marks that show how it turns, (size, size, 2) float32."""
    canvas = Canvas(size)
    paint(canvas, Shape([ellipse(0, 0, 1, rng.uniform(0.8, 1))]), centre, radius, shade=rng.uniform(80, 170))
    for outline in (blob(rng) * 0.4 + rng.uniform(-0.5, 0.5, 2), limb((-0.6, 0), (0.6, 0.2), 0.06, 0.06)):
        canvas.fill(turned(outline, rng.uniform(0, 6.3)) * radius + centre, rng.uniform(40, 220))
    return lit(rng, canvas.sheet(), 0.6, 0.05)


def motion_blurred(rng: Generator, size: int) -> Layer:
    """Draw things that move along a line or a slight curve: whole, or only a part while the rest holds still."""
    centre, radius = place(rng, size, 0.12, 0.5)
    length = 5 + 75 * float(rng.random()) ** 1.2
    angle = rng.uniform(0, 2 * np.pi)
    turn = rng.normal(0, 0.2) if rng.random() < 0.5 else 0.0
    pivot = centre + rng.normal(0, 1.5, 2) * radius
    moving = (_ball if rng.random() < 0.25 else _thing)(rng, size, centre, radius)
    smeared = smear(moving, length, angle, turn, pivot)
    kind = rng.random()
    if kind < 0.4:
        return finish(smeared)
    if kind < 0.7:  # the far side of the thing moves, the near side hardly
        ramp = np.linspace(0, 1, size, dtype=np.float32)
        across = ramp * np.float32(np.cos(angle)) + ramp[:, None] * np.float32(np.sin(angle))
        offset = float(centre @ toward(angle)) / size
        weight = np.clip((across - offset) * size / radius + 0.5, 0, 1)[..., None]
        return finish(np.asarray(smeared * weight + blur(moving, 0.5) * (1 - weight), np.float32))
    still = _thing(rng, size, centre + rng.normal(0, 0.7, 2) * radius, radius * rng.uniform(0.6, 1.4))
    return finish(over(smeared, still) if rng.random() < 0.5 else over(still, smeared))
