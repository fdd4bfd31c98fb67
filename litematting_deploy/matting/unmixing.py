"""Unmixing soft pixels: the colours F and B of which light is alpha * F + (1 - alpha) * B.

Three numbers a pixel do not tell two colours apart; both are also smooth. As in Germer et al. 2020 (Fast Multi-Level
Foreground Estimation), F and B are found on halved images first, and each level begins with those of the coarser one.
As in Forte 2021 (Approximate Fast Foreground Colour Estimation), a sweep replaces them by weighted means of their
surroundings, in which clear pixels hardly count for F nor opaque ones for B, and then shares out between the two what
these lack of the light.

A level is worked on tile by tile. A tile reads as many pixels around it as it has sweeps, so that tiles meet without
seams; the photo itself is never held as light as a whole, and of its half and all that is coarser, 13 numbers for each
of the half's pixels.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Window: TypeAlias = tuple[slice, slice]
Bounds: TypeAlias = tuple[float | np.float32, float | np.float32]
Source: TypeAlias = Callable[[Window], Floats]
"""Returns the light of a window of an image, (3, h, w) float32."""
Unmix: TypeAlias = Callable[[Source, Floats, Bounds], Iterator[tuple[Window, Floats]]]
"""Unmixes an image part by part: `unmix`, or what does the same elsewhere."""

TILE = 192
"""The side of a tile in pixels, even; what is computed for one stays in the processor's cache."""
SWEEPS = (2, 4, 8, 16)
"""How often each level is swept: the image, its half, and so on; the last is for all coarser ones, too."""
LEAST_WEIGHT = 1e-4
"""A pixel weighs alpha**3 and this in means of F, (1 - alpha)**3 and this in those of B."""
_ONES = np.ones(3, np.float32)


class _Level(NamedTuple):
    """A halved image. light: (3, h, w) float32. alpha: (h, w) float32, 0..1."""

    light: Floats
    alpha: Floats


def unmix(light_of: Source, alpha: Floats, bounds: Bounds) -> Iterator[tuple[Window, Floats]]:
    """Yield each tile of an image with the light of its foreground, (3, h, w) float32.

    light_of: is asked for every pixel twice or more.
    alpha: (H, W) float32, 0..1.
    bounds: the least and the most light that an estimate may have.
    """
    levels = [_halved(light_of, alpha)]
    while max(levels[-1].alpha.shape) > 1:
        levels.append(_halved(_window_of(levels[-1].light), levels[-1].alpha))
    colours = np.stack([levels[-1].light] * 2)
    while levels:
        number, level = len(levels), levels.pop()
        found = np.empty((2, *level.light.shape), np.float32)
        for tile, swept in _swept_tiles(_window_of(level.light), level.alpha, colours, number, bounds):
            found[:, :, *tile] = swept
        colours = found
    for tile, swept in _swept_tiles(light_of, alpha, colours, 0, bounds):
        yield tile, swept[0]


def _window_of(light: Floats) -> Source:
    """Return the source of an image's light, (3, H, W)."""
    return lambda window: light[:, *window]


def _tiles(height: int, width: int) -> list[Window]:
    """Return the tiles that cover an image."""
    corners = [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]
    return [(slice(y, min(y + TILE, height)), slice(x, min(x + TILE, width))) for y, x in corners]


def _halved(light_of: Source, alpha: Floats) -> _Level:
    """Return the means of an image's 2x2 blocks; an odd last row or column counts twice."""
    height, width = alpha.shape
    halves = np.empty((4, (height + 1) // 2, (width + 1) // 2), np.float32)
    for rows, columns in _tiles(height, width):
        planes = [*light_of((rows, columns)), alpha[rows, columns]]
        odd = planes[-1].shape[0] % 2, planes[-1].shape[1] % 2
        target = halves[:, rows.start // 2 : (rows.stop + 1) // 2, columns.start // 2 : (columns.stop + 1) // 2]
        for plane, half in zip(planes, target, strict=True):
            even = cv2.copyMakeBorder(plane, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE) if any(odd) else plane
            half[:] = cv2.resize(even, half.shape[::-1], interpolation=cv2.INTER_AREA)
    return _Level(halves[:3], halves[3])


def _swept_tiles(
    light_of: Source, alpha: Floats, coarser: Floats, number: int, bounds: Bounds
) -> Iterator[tuple[Window, Floats]]:
    """Yield each tile of a level with its F and B, (2, 3, h, w).

    coarser: F and B of the next coarser level, (2, 3, (H + 1) // 2, (W + 1) // 2).
    number: of the level, 0 for the image itself.
    """
    sweeps = SWEEPS[min(number, len(SWEEPS) - 1)]
    for tile in _tiles(*alpha.shape):
        rows, columns = (
            slice(max(side.start - sweeps, 0), min(side.stop + sweeps, most))
            for side, most in zip(tile, alpha.shape, strict=True)
        )
        begin = _doubled(coarser, (rows, columns))
        swept = _swept(light_of((rows, columns)), alpha[rows, columns], begin, sweeps, bounds)
        top, left = tile[0].start - rows.start, tile[1].start - columns.start
        height, width = alpha[tile].shape
        yield tile, swept[:, :, top : top + height, left : left + width]


def _doubled(coarser: Floats, window: Window) -> Floats:
    """Return a window of the next finer level, linearly between the pixels of `coarser`."""
    # One more pixel on each side, between which and the first the window begins; repeated at the image's own border.
    (top, bottom), (left, right) = (
        (max(side.start // 2 - 1, 0), min((side.stop + 1) // 2 + 1, most))
        for side, most in zip(window, coarser.shape[2:], strict=True)
    )
    few = coarser[:, :, top:bottom, left:right].reshape(-1, bottom - top, right - left)
    rows, columns = window
    shown = slice(rows.start - 2 * top, rows.stop - 2 * top), slice(columns.start - 2 * left, columns.stop - 2 * left)
    size = 2 * (right - left), 2 * (bottom - top)
    many = [cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)[shown] for plane in few]
    return np.asarray(np.stack(many), np.float32).reshape(*coarser.shape[:2], *many[0].shape)


def _swept(light: Floats, alpha: Floats, colours: Floats, sweeps: int, bounds: Bounds) -> Floats:
    """Return F and B, (2, 3, h, w), swept so often.

    Where alpha is one and the same, there is nothing to spread, and nothing is swept.

    light: (3, h, w). alpha: (h, w). colours: F and B to begin with, (2, 3, h, w).
    """
    low, high = map(np.float32, bounds)
    clear = 1 - alpha
    mixed = bool(alpha.min() < alpha.max() or 0 < alpha.min() < 1)
    share = 1 / (alpha * alpha + clear * clear)
    opaque_share, clear_share = alpha * share, clear * share
    weights = [cover * cover * cover + np.float32(LEAST_WEIGHT) for cover in (alpha, clear)]
    scales = [1 / _sums(weight) for weight in weights]
    result = np.empty_like(colours)
    for channel, seen in enumerate(light):
        front, behind = colours[:, channel]
        for _ in range(sweeps if mixed else 1):
            if mixed:
                front, behind = _sums(front * weights[0]) * scales[0], _sums(behind * weights[1]) * scales[1]
            rest = seen - alpha * front - clear * behind
            front = np.minimum(np.maximum(front + opaque_share * rest, low), high)
            behind = np.minimum(np.maximum(behind + clear_share * rest, low), high)
        result[:, channel] = front, behind
    return result


def _sums(plane: Floats) -> Floats:
    """Return the sums of 3x3 neighbours, (h, w); beyond its border a plane is mirrored."""
    return np.asarray(cv2.sepFilter2D(plane, cv2.CV_32F, _ONES, _ONES), np.float32)
