"""Layers of cut-outs in their own colours: one large piece, or bushes and rows of many. Without PyTorch."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..images.photo import shrink
from .cutouts import Piece, Reals, extended, read_cutout
from .families.layout import fractal, log_uniform


def collage(files: Sequence[str], rng: Generator, size: int) -> NDArray[np.uint8]:
    """Return a layer of cut-outs of one of `files`: alpha and RGB, (4, size, size) uint8. Raises `InputError`.

    One large piece, or up to hundreds of any turn and size in a bush with holes or in rows that turn alike.
    """
    pieces = read_cutout(files[int(rng.integers(len(files)))])
    sheet = np.zeros((size, size, 4), np.float32)
    tint = rng.lognormal(0, 0.2) * rng.lognormal(0, 0.08, 3)
    if rng.random() < 0.3:
        piece = pieces[int(rng.integers(len(pieces)))]
        _paste(sheet, piece, size * rng.uniform(0.25, 0.75, 2), size * rng.uniform(0.6, 1.5), rng.uniform(0, 6.3), tint)
    else:
        _strew(sheet, pieces, rng, tint)
    cover = sheet[..., 3].clip(0, 1)
    paint = extended(np.asarray(sheet[..., :3] / np.maximum(cover, 1 / 512)[..., None], np.float32), cover)
    planes = np.concatenate([cover[None] * 255, paint.transpose(2, 0, 1)])
    return np.asarray(np.rint(planes.clip(0, 255)), np.uint8)


def _strew(sheet: Reals, pieces: tuple[Piece, ...], rng: Generator, tint: Reals) -> None:
    """Paste many pieces, the later ones over those before and lighter, thick in the middle of a bush and thin about it.

    sheet: (S, S, 4) float32, premultiplied, which is painted on. tint: (3,), a factor of the colours.
    """
    size = sheet.shape[0]
    usual = size * log_uniform(rng, 0.06, 0.4)
    density = fractal(rng, 64, 2, 4) + 1.2
    x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    middle = rng.uniform(-0.6, 0.6, 2)
    density = (density - rng.uniform(0.5, 2.5) * ((x - middle[0]) ** 2 + (y - middle[1]) ** 2)).clip(0.0, None).ravel()
    # A smaller copy is many times as fast. The colours go on beyond the edge, so that straight ones may be averaged.
    pieces = tuple(shrink(piece, usual * 1.6) for piece in pieces)
    covers = [(piece[..., 3] / 255).mean() * min(piece.shape[:2]) / max(piece.shape[:2]) for piece in pieces]
    wanted = rng.uniform(0.5, 3.5) * float((density > 0).mean()) * size**2 / (usual**2 * float(np.mean(covers)))
    count = int(np.clip(wanted, 3, 500))
    cells = rng.choice(64 * 64, count, p=density / density.sum())
    places = (np.stack([cells % 64, cells // 64], 1) + rng.random((count, 2))) * size / 64
    turns = rng.uniform(0, 6.3) + (rng.normal(0, 0.35, count) if rng.random() < 0.4 else rng.uniform(0, 6.3, count))
    shadow, spread = rng.uniform(0.35, 0.95), rng.uniform(0.05, 0.2)
    for k in range(count):
        piece = pieces[int(rng.integers(len(pieces)))]
        light = (shadow + (1 - shadow) * k / count) * rng.lognormal(0, spread)
        _paste(sheet, piece, places[k], usual * rng.lognormal(0, 0.25), turns[k], tint * light)


def _paste(sheet: Reals, piece: Piece, centre: Reals, length: float, angle: float, tint: Reals) -> None:
    """Put a piece, its longer side `length` pixels, turned and sometimes seen aslant, over a premultiplied sheet.

    sheet: (S, S, 4) float32, premultiplied. centre: (2,) pixels. angle: radians. tint: (3,), a factor of the colours.
    """
    height, width = piece.shape[:2]
    scale = min(length / max(height, width), 1.6)
    rgba: Reals = piece.astype(np.float32)
    rgba[..., 3] /= 255
    rgba[..., :3] *= rgba[..., 3:] * tint
    if scale < 0.7:  # averaged down first, to twice the size at most
        rgba = cv2.resize(rgba, None, fx=scale * 1.4, fy=scale * 1.4, interpolation=cv2.INTER_AREA)
        scale = 1 / 1.4
        height, width = rgba.shape[:2]
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    reach = np.array([abs(cos) * width + abs(sin) * height, abs(sin) * width + abs(cos) * height]) / 2 + 2
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int), sheet.shape[0])
    if (high <= low).any():
        return
    linear = np.array([[cos, -sin], [sin, cos]])
    shift = centre - low - linear @ [(width - 1) / 2, (height - 1) / 2]
    size = tuple((high - low).tolist())
    turned = cv2.warpAffine(rgba, np.column_stack([linear, shift]), size, flags=cv2.INTER_LINEAR)
    part = sheet[low[1] : high[1], low[0] : high[0]]
    part *= 1 - turned[..., 3:]
    part += turned
