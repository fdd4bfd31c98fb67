"""Cut-outs with colours of their own, from files to pieces. Without PyTorch."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.colour import upper_bits
from ..images.decode import decode
from ..images.mask import read_mask
from ..images.suffixes import files_in, is_exr_name, looks_like_image

MAX_SIDE = 1024
_MAX_MEGAPIXELS = 64.0
_COLOUR, _OPACITY = "_Color", "_Opacity"
_SMALLEST = 0.01
"""The share of a file that a piece of it has at least, counted in rectangles around them."""
_PIECES = 24
_CLEAR, _SOLID = 8, 230

Reals = NDArray[Any]
Piece = NDArray[np.uint8]
"""(H, W, 4) uint8, straight RGBA, whose colours go on where alpha is 0."""


def list_cutouts(folder: str | Path) -> list[Path]:
    """Return the cut-outs of a folder, by name: images with alpha, and of pairs X_Color, X_Opacity the first.

    Raises `InputError` where there is none, and for half a pair.
    """
    images = files_in(folder, f"cut-outs (images with alpha, or X{_COLOUR} and X{_OPACITY})", _may_be_read)
    found = [path for path in images if not path.stem.endswith(_OPACITY)]
    for path in images:
        colours = path.stem.removesuffix(_OPACITY) + _COLOUR
        if path.stem.endswith(_OPACITY) and not any(other.stem == colours for other in found):
            raise InputError(f"{path}: its colours, {colours}, were not found; add that file, or remove this one")
    return found


def _may_be_read(path: Path) -> bool:
    """Return whether a file is an image of a format that `read_cutout` takes, by its name."""
    return looks_like_image(path) and not is_exr_name(path)


def opacity_file(path: Path) -> Path | None:
    """Return the file that holds the alpha of `path`, None where that is in `path`. Raises `InputError`."""
    if not path.stem.endswith(_COLOUR):
        return None
    stem = path.stem.removesuffix(_COLOUR) + _OPACITY
    found = sorted(other for other in path.parent.glob(f"{stem}.*") if _may_be_read(other))
    if not found:
        raise InputError(
            f"{path}: its opacity, {stem}, was not found; add that file, or rename this one if it has an alpha channel"
        )
    return found[0]


@lru_cache(maxsize=64)
def read_cutout(path: str) -> tuple[Piece, ...]:
    """Return the pieces of a file that lie apart, the largest first, at most MAX_SIDE pixels a side.

    An alpha that covers all of the file in one grey, as some sheets of hair have, counts as clear. Raises `InputError`.
    """
    other = opacity_file(Path(path))
    decoded = decode(path, _MAX_MEGAPIXELS)
    if other is None and decoded.alpha is None:
        raise InputError(f"{path}: has no transparent pixels; save it with alpha, or name its alpha X{_OPACITY}")
    colours, alpha = upper_bits(decoded.levels), decoded.alpha
    colours = colours if colours.ndim == 3 else np.repeat(colours[:, :, None], 3, axis=2)
    alpha = upper_bits(alpha) if other is None and alpha is not None else read_mask(other or path, _MAX_MEGAPIXELS)
    if alpha.shape != colours.shape[:2]:
        raise InputError(
            f"{other}: is {alpha.shape[::-1]}, but its colours, {path}, are {colours.shape[1::-1]}; resize one of them"
        )
    alpha = _without_grey(alpha)
    pieces = [_trimmed(colours, alpha, box) for box in _boxes(alpha)]
    if not pieces:
        raise InputError(f"{path}: is almost entirely transparent (its alpha reaches only {alpha.max()}); remove it")
    return tuple(pieces)


def _without_grey(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return alpha, (H, W) uint8, whose background, a grey found on more than a fifth of it, is 0."""
    counts = np.bincount(alpha.ravel(), minlength=256).astype(float)
    counts = np.convolve(counts, np.ones(5), "same")
    counts[:_CLEAR], counts[_SOLID:] = 0, 0
    grey = int(counts.argmax())
    if counts[grey] < 0.2 * alpha.size:
        return alpha
    return np.asarray(((alpha.astype(np.float32) - grey - 4) * 255 / (251 - grey)).clip(0, 255), np.uint8)


def _boxes(alpha: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """Return x, y, width and height of the pieces that lie apart by more than a few pixels."""
    near = cv2.dilate((alpha > _CLEAR).astype(np.uint8), np.ones((5, 5), np.uint8))
    stats = cv2.connectedComponentsWithStats(near, connectivity=8)[2][1:]
    boxes = [tuple(row[:4].tolist()) for row in stats]
    large = [box for box in boxes if box[2] * box[3] > _SMALLEST * alpha.size and min(box[2:]) >= 8]
    return sorted(large, key=lambda box: -box[2] * box[3])[:_PIECES]


def _trimmed(colours: NDArray[np.uint8], alpha: NDArray[np.uint8], box: tuple[int, int, int, int]) -> Piece:
    """Return one piece of a file: what lies in `box` (x, y, width, height), made smaller and lit as pieces are.

    colours: (H, W, 3) uint8. alpha: (H, W) uint8.
    """
    x, y, width, height = box
    window = slice(y, y + height), slice(x, x + width)
    cover: Reals = alpha[window].astype(np.float32) / 255
    paint: Reals = colours[window].astype(np.float32)
    factor = MAX_SIDE / max(width, height)
    if factor < 1:
        premultiplied = np.dstack([paint * cover[..., None], cover])
        sheet: Reals = cv2.resize(premultiplied, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        cover = sheet[..., 3]
        paint = sheet[..., :3] / np.maximum(cover, 1 / 512)[..., None]
    paint = extended(paint, cover)
    if paint.mean() < 60 and paint.max() > 1:  # hair sheets are nearly black, to be tinted
        paint = paint * (120 / max(float(np.percentile(paint, 90)), 1.0))
    return np.asarray(np.rint(np.dstack([paint, cover * 255]).clip(0, 255)), np.uint8)


def extended(colours: Reals, cover: Reals) -> Reals:
    """Return colours, (H, W, 3) float32, that go on beyond where they are known: those of solid places, blurred
    outwards.

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
    result: Reals, known: Reals, colours: Reals, weight: Reals, sigma: float, where: Reals
) -> tuple[Reals, Reals]:
    """Set `result` to the blur of weighted colours where it is not `known` yet but wanted; return both.

    result, colours: (H, W, 3) float32. known, weight, where: (H, W) float32, 0..1. sigma: of the blur, in pixels.
    """
    step = max(1, int(sigma / 3))  # blurred at a size that sigma fits
    small = (max(1, weight.shape[1] // step), max(1, weight.shape[0] // step))
    both = cv2.resize(np.dstack([colours * weight[..., None], weight]), small, interpolation=cv2.INTER_AREA)
    both = cv2.resize(cv2.GaussianBlur(both, (0, 0), sigma / step), weight.shape[::-1])
    found = ((both[..., 3] > 1e-5) * (known == 0) * where)[..., None].astype(np.float32)
    return result * (1 - found) + found * both[..., :3] / np.maximum(both[..., 3:], 1e-5), known + found[..., 0]
