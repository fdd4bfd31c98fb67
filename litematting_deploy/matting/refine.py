"""Refinement: a photo decides where each strand ends that the network has found.

The alpha minimises x'Lx + sum(w (x - prior)^2) over the unknown pixels, where L is the matting Laplacian and the prior
what is known of alpha beforehand: on the image halved `HALVINGS` times the network's alpha, and on each finer level the
weighted mean of the network's alpha and of the coarser level's, carried over by the colours (He, Sun and Tang 2013,
Guided Image Filtering). So what is far apart meets on a small image, and each level needs few steps.

Levels are solved in tiles that overlap. What a tile begins with, and holds at its border, is the prior alone and no
other tile's result; how the image is tiled shows by less than a level of 8 bits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..profiling import stage
from ..system import core_count
from .laplacian import Floats, Laplacian
from .trimap import FOREGROUND, UNKNOWN

Window: TypeAlias = tuple[slice, slice]
Progress: TypeAlias = Callable[[int, int], None]
"""Called with the tiles done and the tiles to solve."""

HALVINGS = 3
COARSEST_WEIGHT = 3e-3
"""The weight of the network's alpha on the coarsest level, for a pixel of the photo; a halved pixel stands for four."""
WEIGHT = 1e-2
"""The weight of the alpha that a finer level gets from the coarser one, for a pixel of its own."""
OWN_WEIGHT = 7e-3
"""The weight of the network's own alpha on a finer level."""
SURE_WEIGHT, SURE_POWER, APART = 0.4, 16, 0.3
"""The further weight of the network's alpha where it is 0 or 1. Elsewhere it is multiplied by this power of twice the
distance from a half. Where the carried alpha is `APART` from the network's, a quarter of it remains, because what is
sure but far from what the colours say is often wrong."""
SCALE_POWER = 3
"""Where the network saw a smaller photo, its alpha is blurred at full size. On the finer levels its weights are
multiplied by this power of the scale: by an eighth if it saw half the size."""
TILE, OVERLAP = 512, 64
MOST_THREADS = 4
"""Tiles that are solved at a time, at most; each takes 60 MB."""
RESIDUAL = 2e-5
"""A tile is solved when no pixel alone would change its alpha by more than that."""
MOST_STEPS = 150
RING = 2
"""How far pixels meet in the matting Laplacian."""
CONTEXT = 4
"""Halved pixels around a tile that an alpha is carried over from."""
SLOPE_EPSILON = 1e-5


class _Level(NamedTuple):
    """image: (h, w, 3) uint8. unknown: (h, w) bool. alpha: (h, w) float32, 0..1, exact where it is known."""

    image: NDArray[np.uint8]
    unknown: NDArray[np.bool_]
    alpha: Floats


@stage("refine")
def refine(
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    alpha: Floats,
    progress: Progress | None = None,
    scale: float = 1.0,
) -> Floats:
    """Return a refined alpha (H, W) float32, 0..1. Known pixels are 0 or 1.

    image: (H, W, 3) uint8 RGB. trimap: (H, W) uint8 of 0 / 128 / 255. alpha: (H, W) float32, 0..1, the network's.
    progress: called after each tile. scale: the size at which the network saw the photo, 0..1; if it is
    small, its alpha counts less.
    """
    unknown = trimap == UNKNOWN
    levels = [_Level(image, unknown, np.where(unknown, alpha, (trimap == FOREGROUND).astype(np.float32)))]
    if not unknown.any():
        return levels[0].alpha
    while len(levels) <= HALVINGS and min(levels[-1].alpha.shape) >= 2 * CONTEXT:
        levels.append(_halved(levels[-1]))
    tiles = [[tile for tile in tiles_of(level.alpha.shape, TILE) if level.unknown[tile].any()] for level in levels]
    total, done = sum(map(len, tiles)), 0
    coarser: _Level | None = None
    # OpenCV has as many threads as `--threads` allows.
    with ThreadPoolExecutor(max(1, min(MOST_THREADS, core_count(), cv2.getNumThreads())), "refine") as pool:
        while levels:
            level = levels.pop()
            refined = level.alpha.copy()
            weight, share = COARSEST_WEIGHT * 4 ** len(levels), scale**SCALE_POWER
            for _ in pool.map(partial(_refine_tile, level, coarser, weight, share, refined), tiles.pop()):
                done += 1
                if progress is not None:
                    progress(done, total)
            coarser = level._replace(alpha=refined)
    return refined


def _refine_tile(
    level: _Level, coarser: _Level | None, weight: float, share: float, refined: Floats, tile: Window
) -> None:
    """Write the alpha of a tile's unknown pixels to `refined` (h, w), which has the level's size.

    coarser: the refined level of half the size; None for the coarsest, whose prior is the network's alpha by `weight`.
    share: of the usual weights of the network's alpha on the other levels, 0..1.
    """
    window = _surroundings(tile, level.unknown)
    own = level.alpha[window]
    if coarser is None:
        prior, weights = own, np.full(own.shape, weight, np.float32)
    else:
        prior, weights = _mixed(_carried_over(level.image, coarser, window), own, share)
    solved = _solved(level, window, prior, weights)
    inner = tuple(slice(max(t.start, w.start), min(t.stop, w.stop)) for t, w in zip(tile, window, strict=True))
    cut = tuple(slice(i.start - w.start, i.stop - w.start) for i, w in zip(inner, window, strict=True))
    refined[inner] = solved[cut]


def _halved(level: _Level) -> _Level:
    """Return the means of 2x2 blocks, unknown where half of them is; an odd last row or column counts twice."""
    height, width = level.unknown.shape
    odd = height % 2, width % 2

    def means(plane: NDArray[Any]) -> NDArray[Any]:
        even = cv2.copyMakeBorder(plane, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE) if any(odd) else plane
        return cv2.resize(even, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)

    unknown = means(level.unknown.view(np.uint8) * np.uint8(255)) >= 127
    alpha = means(level.alpha)
    return _Level(means(level.image), unknown, np.where(unknown, alpha, np.rint(alpha)))


def tiles_of(shape: tuple[int, ...], tile: int) -> list[Window]:
    """Return the tiles that cover an image. tile: their side in pixels."""
    height, width = shape
    return [
        (slice(y, min(y + tile, height)), slice(x, min(x + tile, width)))
        for y in range(0, height, tile)
        for x in range(0, width, tile)
    ]


def _surroundings(tile: Window, unknown: NDArray[np.bool_]) -> Window:
    """Return what a tile is solved on: it and `OVERLAP` around it, less what is beyond its unknown pixels."""
    rows, columns = (
        slice(max(side.start - OVERLAP, 0), min(side.stop + OVERLAP, most))
        for side, most in zip(tile, unknown.shape, strict=True)
    )
    part = unknown[rows, columns]
    window = []
    for side, most, axis in ((rows, unknown.shape[0], 1), (columns, unknown.shape[1], 0)):
        (where,) = np.nonzero(part.any(axis=axis))
        first = max(side.start, side.start + int(where[0]) - RING)
        last = min(side.stop, side.start + int(where[-1]) + 1 + RING, most)
        window.append(slice(first, last))
    return window[0], window[1]


def _carried_over(image: NDArray[np.uint8], half: _Level, window: Window) -> Floats:
    """Return a window of the alpha that has the same affine functions of the colours as that of the halved image.

    image: (H, W, 3) uint8. half: it, halved. Returns (h, w) float32, 0..1.
    """
    rows, columns = (
        slice(max(side.start // 2 - CONTEXT, 0), min((side.stop + 1) // 2 + CONTEXT, most))
        for side, most in zip(window, half.alpha.shape, strict=True)
    )
    slopes = _slopes(half.image[rows, columns] / 255, half.alpha[rows, columns].astype(np.float64))
    size = 2 * slopes.shape[1], 2 * slopes.shape[0]
    fine = cv2.resize(slopes.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    top, left = window[0].start - 2 * rows.start, window[1].start - 2 * columns.start
    colours = image[window]
    fine = fine[top : top + colours.shape[0], left : left + colours.shape[1]]
    found = np.einsum("yxc,yxc->yx", fine[:, :, :3], colours.astype(np.float32) / np.float32(255)) + fine[:, :, 3]
    return np.asarray(np.clip(found, 0, 1), np.float32)


def _slopes(colours: NDArray[np.float64], alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine functions of colours that alpha is nearest to in 3x3 windows: slopes and constant, (h, w, 4).

    colours: (h, w, 3), 0..1. alpha: (h, w).
    """

    def mean(planes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.boxFilter(planes, -1, (3, 3), borderType=cv2.BORDER_REFLECT))

    middle, level = mean(colours), mean(alpha)
    apart = mean(colours * alpha[:, :, None]) - middle * level[:, :, None]
    covariance = np.empty((*alpha.shape, 3, 3))
    for i in range(3):
        covariance[:, :, i] = mean(colours[:, :, i : i + 1] * colours) - middle[:, :, i : i + 1] * middle
    slopes = np.linalg.solve(covariance + SLOPE_EPSILON * np.eye(3), apart[..., None])[..., 0]
    constant = level - (slopes * middle).sum(axis=2)
    return mean(np.dstack([slopes, constant]))


def _mixed(carried: Floats, own: Floats, share: float) -> tuple[Floats, Floats]:
    """Return the prior of a window, (h, w), and its weights: the weighted mean of the alpha that was carried over and
    of the network's own, which counts more where it is sure of itself and not far from the other.

    share: of the weights of the network's alpha, 0..1.
    """
    apart = np.square((carried - own) / np.float32(APART))
    sure = np.float32(SURE_WEIGHT) * np.abs(2 * own - 1) ** SURE_POWER / np.square(1 + apart)
    owns = np.float32(share) * (np.float32(OWN_WEIGHT) + sure)
    weights = np.float32(WEIGHT) + owns
    return (np.float32(WEIGHT) * carried + owns * own) / weights, weights


def _solved(level: _Level, window: Window, prior: Floats, weights: Floats) -> Floats:
    """Return the alpha (h, w) float32, 0..1, of a window. prior, weights: (h, w) float32."""
    free = level.unknown[window].astype(np.float32)
    # What the window cuts off keeps the prior: there the matrix lacks neighbours, but not at the image's own border.
    for axis, (side, most) in enumerate(zip(window, level.unknown.shape, strict=True)):
        edges = np.moveaxis(free, axis, 0)
        if side.start > 0:
            edges[:RING] = 0
        if side.stop < most:
            edges[-RING:] = 0
    begin = np.where(level.unknown[window], prior, level.alpha[window])
    solved = _conjugate_gradients(Laplacian.of(level.image[window]), weights * free, free, prior, begin)
    return np.clip(solved, 0, 1)


def _conjugate_gradients(laplacian: Laplacian, weights: Floats, free: Floats, prior: Floats, x: Floats) -> Floats:
    """Return x (h, w), its free pixels solved to `RESIDUAL`, preconditioned by the diagonal.

    weights: (h, w) float32, of the prior, 0 where x stays. free: (h, w) float32, 1 where x may change, else 0. prior,
    x: (h, w) float32; x is where it begins.
    """
    product, scratch, x = np.empty_like(x), np.empty_like(x), x.copy()
    laplacian.times(x, product)
    residual = weights * (prior - x) - free * product
    inverse = free / (laplacian.diagonal + weights + np.float32(1e-12))
    change = inverse * residual
    direction, size = change.copy(), float(np.vdot(residual, change))
    for step in range(MOST_STEPS):
        # Few pixels may be solved exactly, and looking at all of them takes as long as half a step.
        if size == 0 or (step % 5 == 0 and max(change.max(), -change.min()) <= RESIDUAL):
            break
        laplacian.times(direction, product)
        product *= free
        cv2.accumulateProduct(weights, direction, product)
        length = np.float32(size / float(np.vdot(direction, product)))
        x += np.multiply(direction, length, out=scratch)
        residual -= np.multiply(product, length, out=scratch)
        np.multiply(inverse, residual, out=change)
        before, size = size, float(np.vdot(residual, change))
        direction *= np.float32(size / before)
        direction += change
    return x
