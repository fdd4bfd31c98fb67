"""Photographs: where backgrounds and the colours of foregrounds come from."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..matting.image_io import looks_like_image, read_image
from ..matting.kinds import READ_SUFFIXES

MAX_SIDE, MIN_SIDE = 1600, 64


def list_images(folder: str | Path) -> list[Path]:
    """Image files in a folder, by name. Raises `InputError` when there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds images")
    found = sorted(path for path in folder.iterdir() if looks_like_image(path))
    if not found:
        raise InputError(f"{folder}: holds no image ({', '.join(READ_SUFFIXES)}); give a folder that does")
    return found


def split(paths: Sequence[Path], held_out: float) -> tuple[list[Path], list[Path]]:
    """Paths for training and those held out for validation, about a share of `held_out`, at least one of each.

    A file's name decides, so that it stays on its side when others come or go.
    """
    if len(paths) < 2:
        raise InputError(
            f"{paths[0]}: is the only image there; at least two are needed, one is held out for validation"
        )
    shares = {path: int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16) / 2**32 for path in paths}
    ordered = sorted(paths, key=lambda path: shares[path])
    count = min(max(sum(share < held_out for share in shares.values()), 1), len(paths) - 1)
    return sorted(ordered[count:]), sorted(ordered[:count])


class Photos:
    """Decoded photos on a device, at most MAX_SIDE pixels on the longer side. Raises `InputError`."""

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        with ThreadPoolExecutor() as pool:
            self._images = [_to_tensor(image).to(device) for image in pool.map(_read, paths)]

    def crops(self, rng: np.random.Generator, count: int, size: int, zoom: tuple[float, float]) -> Tensor:
        """Random crops resized to `size`, flipped at random: (count, 3, size, size) float32, 0..1.

        zoom: range of photo pixels per pixel of the crop, as far as the photo is large enough.
        """
        return torch.cat([self._crop(rng, size, rng.uniform(*zoom)) for _ in range(count)])

    def _crop(self, rng: np.random.Generator, size: int, zoom: float) -> Tensor:
        image = self._images[rng.integers(len(self._images))]
        height, width = image.shape[1:]
        side = min(max(round(size * zoom), MIN_SIDE), height, width)
        y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
        crop = image[None, :, y : y + side, x : x + side].float() / 255
        if rng.random() < 0.5:
            crop = crop.flip(3)
        return functional.interpolate(crop, size=(size, size), mode="bilinear", antialias=side > size).clamp(0, 1)


def shrink(image: NDArray[np.uint8], max_side: int = MAX_SIDE) -> NDArray[np.uint8]:
    """(H, W, ...) uint8, area-averaged until its longer side is at most `max_side`."""
    factor = max_side / max(image.shape[:2])
    if factor >= 1:
        return image
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _read(path: Path) -> NDArray[np.uint8]:
    image = shrink(read_image(path))
    if min(image.shape[:2]) < MIN_SIDE:
        raise InputError(f"{path}: is {image.shape[1]}x{image.shape[0]}; photos have at least {MIN_SIDE} pixels a side")
    return image


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
