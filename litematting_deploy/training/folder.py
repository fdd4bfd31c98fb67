"""Composition-1k's training layout: `fg/` and `alpha/` with files of the same names, backgrounds beside them."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.mask import read_alpha
from ..images.photo import read_image
from .drawing import points_of_interest
from .photos import list_images


def list_foregrounds(root: str | Path) -> dict[Path, Path]:
    """Return foreground files and their alphas, by name. Raises `InputError` naming what is missing or there twice."""
    alphas: dict[str, Path] = {}
    for path in list_images(Path(root) / "alpha"):
        if path.stem in alphas:
            raise InputError(f"{path}: {alphas[path.stem].name} has the same name; remove or rename one of them")
        alphas[path.stem] = path
    foregrounds = list_images(Path(root) / "fg")
    alone = [path.name for path in foregrounds if path.stem not in alphas]
    if alone:
        raise InputError(f"{root}/alpha: no file for {', '.join(alone[:4])} of {root}/fg; each foreground needs one")
    return {path: alphas[path.stem] for path in foregrounds}


def read_window(foreground: Path, alpha: Path, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a window around a random fractional pixel: (4, size, size) uint8, alpha first, then RGB; reflected
    outside."""
    mask, colours = read_alpha(alpha), read_image(foreground)
    if mask.shape != colours.shape[:2]:
        raise InputError(
            f"{alpha}: is {mask.shape[1]}x{mask.shape[0]}, its foreground {foreground} "
            f"{colours.shape[1]}x{colours.shape[0]}; they must be of one size"
        )
    y, x = points_of_interest(mask, rng, count=1)[0]
    half = size // 2
    padded = cv2.copyMakeBorder(np.dstack([mask, colours]), half, half, half, half, cv2.BORDER_REFLECT)
    return np.ascontiguousarray(np.moveaxis(padded[y : y + size, x : x + size], -1, 0))


def read_background(path: Path, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random square of a photo, (3, size, size) uint8: enlarged where the photo is smaller."""
    photo = read_image(path)
    height, width = photo.shape[:2]
    side = min(height, width, round(size * rng.uniform(0.7, 2.0)))
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    square = cv2.resize(photo[y : y + side, x : x + side], (size, size), interpolation=way)
    if rng.random() < 0.5:
        square = square[:, ::-1]
    return np.ascontiguousarray(np.moveaxis(square, -1, 0))
