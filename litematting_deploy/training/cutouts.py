"""Cut-outs with colours of their own: from files to pieces, and from pieces to layers. Without PyTorch."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.decoding import decode
from ..matting.image_io import EXR_SUFFIX, looks_like_image, read_mask
from .families.layout import fractal

MAX_SIDE = 1024
_MAX_MEGAPIXELS = 64.0
_COLOUR, _OPACITY = "_Color", "_Opacity"
_SMALLEST = 0.01
"""The share of a file that a piece of it has at least, counted in rectangles around them."""
_PIECES = 24
_CLEAR, _SOLID = 8, 230

_Reals = NDArray[Any]
Piece = NDArray[np.uint8]
"""(H, W, 4) uint8, straight RGBA, whose colours go on where alpha is 0."""


def list_cutouts(folder: str | Path) -> list[Path]:
    """Return the cut-outs of a folder, by name: images with alpha, and of pairs X_Color, X_Opacity the first.

    Raises `InputError` where there is none, and for half a pair.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds cut-outs (images with alpha)")
    images = sorted(path for path in folder.iterdir() if _may_be_read(path))
    found = [path for path in images if not path.stem.endswith(_OPACITY)]
    for path in images:
        if path.stem.endswith(_OPACITY) and not any(
            other.stem == path.stem[: -len(_OPACITY)] + _COLOUR for other in found
        ):
            raise InputError(
                f"{path}: its colours, {path.stem[: -len(_OPACITY)]}{_COLOUR}, are not there; add or remove it"
            )
    if not found:
        raise InputError(f"{folder}: holds no cut-out (an image with alpha, or X{_COLOUR} and X{_OPACITY}); add some")
    return found


def _may_be_read(path: Path) -> bool:
    return looks_like_image(path) and path.suffix.lower() != EXR_SUFFIX


def opacity_file(path: Path) -> Path | None:
    """Return the file that holds the alpha of `path`, None where that is in `path`. Raises `InputError`."""
    if not path.stem.endswith(_COLOUR):
        return None
    stem = path.stem[: -len(_COLOUR)] + _OPACITY
    found = sorted(other for other in path.parent.glob(f"{stem}.*") if _may_be_read(other))
    if not found:
        raise InputError(f"{path}: its opacity, {stem}, is not there; add it, or rename the file if it has an alpha")
    return found[0]


@lru_cache(maxsize=64)
def read_cutout(path: str) -> tuple[Piece, ...]:
    """Return the pieces of a file that lie apart, the largest first, at most MAX_SIDE pixels a side.

    An alpha that covers all of the file in one grey, as some sheets of hair have, counts as clear. Raises `InputError`.
    """
    other = opacity_file(Path(path))
    decoded = decode(path, _MAX_MEGAPIXELS)
    if other is None and decoded.alpha is None:
        raise InputError(f"{path}: has no transparent pixel; save it with alpha, or name its alpha X{_OPACITY}")
    colours, alpha = _8_bits(decoded.levels), decoded.alpha
    colours = colours if colours.ndim == 3 else np.repeat(colours[:, :, None], 3, axis=2)
    alpha = _8_bits(alpha) if other is None and alpha is not None else read_mask(other or path, _MAX_MEGAPIXELS)
    if alpha.shape != colours.shape[:2]:
        raise InputError(f"{other}: is {alpha.shape[::-1]}, its colours {path} {colours.shape[1::-1]}; resize one")
    alpha = _without_grey(alpha)
    pieces = [_trimmed(colours, alpha, box) for box in _boxes(alpha)]
    if not pieces:
        raise InputError(f"{path}: is clear nearly everywhere, its alpha reaches {alpha.max()}; remove it")
    return tuple(pieces)


def _8_bits(levels: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(levels if levels.dtype == np.uint8 else levels >> 8, np.uint8)


def _without_grey(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) uint8 whose background, a grey found on more than a fifth of it, is 0."""
    counts = np.bincount(alpha.ravel(), minlength=256).astype(float)
    counts = np.convolve(counts, np.ones(5), "same")
    counts[:_CLEAR], counts[_SOLID:] = 0, 0
    grey = int(counts.argmax())
    if counts[grey] < 0.2 * alpha.size:
        return alpha
    return np.asarray(((alpha.astype(np.float32) - grey - 4) * 255 / (251 - grey)).clip(0, 255), np.uint8)


def _boxes(alpha: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """x, y, width and height of the pieces that lie apart by more than a few pixels."""
    near = cv2.dilate((alpha > _CLEAR).astype(np.uint8), np.ones((5, 5), np.uint8))
    stats = cv2.connectedComponentsWithStats(near, connectivity=8)[2][1:]
    boxes = [tuple(row[:4].tolist()) for row in stats]
    large = [box for box in boxes if box[2] * box[3] > _SMALLEST * alpha.size and min(box[2:]) >= 8]
    return sorted(large, key=lambda box: -box[2] * box[3])[:_PIECES]


def _trimmed(colours: NDArray[np.uint8], alpha: NDArray[np.uint8], box: tuple[int, int, int, int]) -> Piece:
    x, y, width, height = box
    window = slice(y, y + height), slice(x, x + width)
    cover: _Reals = alpha[window].astype(np.float32) / 255
    paint: _Reals = colours[window].astype(np.float32)
    factor = MAX_SIDE / max(width, height)
    if factor < 1:
        sheet: _Reals = cv2.resize(
            np.dstack([paint * cover[..., None], cover]), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA
        )
        cover = sheet[..., 3]
        paint = sheet[..., :3] / np.maximum(cover, 1 / 512)[..., None]
    paint = extended(paint, cover)
    if paint.mean() < 60 and paint.max() > 1:  # hair sheets are nearly black, to be tinted
        paint = paint * (120 / max(float(np.percentile(paint, 90)), 1.0))
    return np.asarray(np.rint(np.dstack([paint, cover * 255]).clip(0, 255)), np.uint8)


def extended(colours: _Reals, cover: _Reals) -> _Reals:
    """Colours, (H, W, 3) float32, that go on beyond where they are known: those of solid places, blurred outwards.

    cover: (H, W) float32, 0..1. At its edges the file's own colours have that of another background in them.
    """
    solid = cv2.erode((cover > _SOLID / 255).astype(np.float32), np.ones((3, 3), np.uint8))
    seen, covered = np.asarray(cover**2, np.float32), (cover > 0.02).astype(np.float32)
    inside, known = colours, solid
    for weight, sigma in ((solid, 1.5), (solid, 4), (seen, 1.5), (seen, 4)):
        inside, known = _spread(inside, known, colours, weight, sigma, covered)
    result, known = inside, known * covered
    for sigma in (1.5, 4, 16, 64):
        result, known = _spread(result, known, inside, covered, sigma, np.ones_like(cover))
    mean = (colours * seen[..., None]).sum((0, 1)) / max(float(seen.sum()), 1e-5)
    return np.asarray(result * known[..., None] + (1 - known[..., None]) * mean, np.float32)


def _spread(
    result: _Reals, known: _Reals, colours: _Reals, weight: _Reals, sigma: float, where: _Reals
) -> tuple[_Reals, _Reals]:
    """Set `result` to the blur of weighted colours where it is not `known` yet but wanted; return both."""
    step = max(1, int(sigma / 3))  # blurred at a size that sigma fits
    small = (max(1, weight.shape[1] // step), max(1, weight.shape[0] // step))
    both = cv2.resize(np.dstack([colours * weight[..., None], weight]), small, interpolation=cv2.INTER_AREA)
    both = cv2.resize(cv2.GaussianBlur(both, (0, 0), sigma / step), weight.shape[::-1])
    found = ((both[..., 3] > 1e-5) * (known == 0) * where)[..., None].astype(np.float32)
    return result * (1 - found) + found * both[..., :3] / np.maximum(both[..., 3:], 1e-5), known + found[..., 0]


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


def _strew(sheet: _Reals, pieces: tuple[Piece, ...], rng: Generator, tint: _Reals) -> None:
    """Many pieces, the later ones over those before and lighter, thick in the middle of a bush and thin about it."""
    size = sheet.shape[0]
    usual = size * float(np.exp(rng.uniform(np.log(0.06), np.log(0.4))))
    density = fractal(rng, 64, 2, 4) + 1.2
    x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    middle = rng.uniform(-0.6, 0.6, 2)
    density = (density - rng.uniform(0.5, 2.5) * ((x - middle[0]) ** 2 + (y - middle[1]) ** 2)).clip(0.0, None).ravel()
    largest = usual * 1.6  # of all that follow, read from a smaller copy, which is many times as fast
    pieces = tuple(_shrunk(piece, largest) for piece in pieces)
    cover = float(
        np.mean([(piece[..., 3] / 255).mean() * min(piece.shape[:2]) / max(piece.shape[:2]) for piece in pieces])
    )
    wanted = rng.uniform(0.5, 3.5) * float((density > 0).mean()) * size**2 / (usual**2 * cover)
    count = int(np.clip(wanted, 3, 500))
    cells = rng.choice(64 * 64, count, p=density / density.sum())
    places = (np.stack([cells % 64, cells // 64], 1) + rng.random((count, 2))) * size / 64
    turns = rng.uniform(0, 6.3) + (rng.normal(0, 0.35, count) if rng.random() < 0.4 else rng.uniform(0, 6.3, count))
    shadow, spread = rng.uniform(0.35, 0.95), rng.uniform(0.05, 0.2)
    for k in range(count):
        piece = pieces[int(rng.integers(len(pieces)))]
        light = (shadow + (1 - shadow) * k / count) * rng.lognormal(0, spread)
        _paste(sheet, piece, places[k], usual * rng.lognormal(0, 0.25), turns[k], tint * light)


def _shrunk(piece: Piece, longest: float) -> Piece:
    factor = longest / max(piece.shape[:2])
    if factor >= 1:
        return piece
    # The colours go on beyond the edge, so that straight ones may be averaged.
    return np.asarray(cv2.resize(piece, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _paste(sheet: _Reals, piece: Piece, centre: _Reals, length: float, angle: float, tint: _Reals) -> None:
    """Put a piece, its longer side `length` pixels, turned and sometimes seen aslant, over a premultiplied sheet."""
    height, width = piece.shape[:2]
    scale = min(length / max(height, width), 1.6)
    rgba: _Reals = piece.astype(np.float32)
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
