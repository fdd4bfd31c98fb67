"""Photographs: where backgrounds and the colours of foregrounds come from."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..matting.image_io import read_image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
MAX_SIDE = 1600


def list_images(folder: str | Path) -> list[Path]:
    """Image files in a folder, by name. Raises `InputError` when there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds images")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder}: holds no image ({', '.join(SUFFIXES)}); give a folder that does")
    return found


def split(paths: list[Path], held_out: float) -> tuple[list[Path], list[Path]]:
    """Paths for training and those held out for validation: every 1/`held_out`-th, at least one of each."""
    if len(paths) < 2:
        raise InputError(f"{paths[0].parent}: holds one photo; at least two are needed, one is held out for validation")
    every = max(2, round(1 / held_out))
    return [path for i, path in enumerate(paths) if i % every], paths[::every]


class Photos:
    """Decoded photos on a device, at most MAX_SIDE pixels on the longer side."""

    def __init__(self, paths: list[Path], device: torch.device) -> None:
        self._images = [_to_tensor(shrink(read_image(path))).to(device) for path in paths]

    def crops(self, rng: np.random.Generator, count: int, size: int, zoom: tuple[float, float]) -> Tensor:
        """Random crops resized to `size`, flipped at random: (count, 3, size, size) float32, 0..1.

        zoom: range of photo pixels per pixel of the crop, as far as the photo is large enough.
        """
        return torch.cat([self._crop(rng, size, rng.uniform(*zoom)) for _ in range(count)])

    def _crop(self, rng: np.random.Generator, size: int, zoom: float) -> Tensor:
        image = self._images[rng.integers(len(self._images))]
        height, width = image.shape[1:]
        side = max(16, min(round(size * zoom), height, width))
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


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
