"""Pictures in files: photographs, and foregrounds with alphas in Composition-1k's training layout (fg/ and alpha/)."""

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..images.mask import read_alpha
from ..images.photo import read_image, shrink
from ..images.suffixes import READ_SUFFIXES, files_in, looks_like_image
from .camera import on
from .drawing import points_of_interest
from .families.layout import log_uniform

MAX_SIDE, MIN_SIDE = 1600, 64
_LUMA = (0.299, 0.587, 0.114)
_TO_YIQ = np.array([_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
_GREY = np.array([_LUMA] * 3)


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files in a folder, by name. Raises `InputError` when there is none."""
    return files_in(folder, f"images ({', '.join(READ_SUFFIXES)})", looks_like_image)


def split(paths: Sequence[Path], held_out: float) -> tuple[list[Path], list[Path]]:
    """Return files for training and those held out for validation, about a share of `held_out`, at least one of each.

    A file's name decides, so that it stays on its side when others come or go.
    """
    if len(paths) < 2:
        raise InputError(
            f"{paths[0]}: is the only image there; at least two are needed, since one is held out for validation; "
            "add photos"
        )
    # The same on every machine and in every version of Python, which `hash` is not.
    shares = {path: int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16) / 2**32 for path in paths}
    ordered = sorted(paths, key=lambda path: shares[path])
    count = min(max(sum(share < held_out for share in shares.values()), 1), len(paths) - 1)
    return sorted(ordered[count:]), sorted(ordered[:count])


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
        raise InputError(f"{root}/alpha: no file for {', '.join(alone[:4])} of {root}/fg; add one for each foreground")
    return {path: alphas[path.stem] for path in foregrounds}


def read_window(foreground: Path, alpha: Path, size: int, rng: Generator) -> NDArray[np.uint8]:
    """Return a window around a random fractional pixel: (4, size, size) uint8, alpha first, then RGB; reflected
    outside."""
    mask, colours = read_alpha(alpha), read_image(foreground)
    if mask.shape != colours.shape[:2]:
        raise InputError(
            f"{alpha}: is {mask.shape[1]}x{mask.shape[0]}, but its foreground, {foreground}, is "
            f"{colours.shape[1]}x{colours.shape[0]}; the sizes must match"
        )
    y, x = points_of_interest(mask, rng, count=1)[0]
    half = size // 2
    # A frame of black would be an edge that no photo has, and the network would learn to expect it.
    padded = cv2.copyMakeBorder(np.dstack([mask, colours]), half, half, half, half, cv2.BORDER_REFLECT)
    return np.ascontiguousarray(np.moveaxis(padded[y : y + size, x : x + size], -1, 0))


def read_background(path: Path, size: int, rng: Generator) -> NDArray[np.uint8]:
    """Return a random square of a photo, (3, size, size) uint8: enlarged where the photo is smaller.

    size: in pixels. Raises `InputError`.
    """
    photo = read_image(path)
    height, width = photo.shape[:2]
    side = min(height, width, round(size * rng.uniform(0.7, 2.0)))
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    # What shrinks is averaged: single pixels of fine texture would alias.
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    square = cv2.resize(photo[y : y + side, x : x + side], (size, size), interpolation=way)
    if rng.random() < 0.5:
        square = square[:, ::-1]
    return np.ascontiguousarray(np.moveaxis(square, -1, 0))


class PhotoLook(NamedTuple):
    """A photo by its number, another that is mixed into it, a matrix (3, 3) for its RGB, and a power."""

    photo: int
    behind: int | None = None
    colour: NDArray[np.float64] | None = None
    gamma: float = 1.0


class Photos:
    """Decoded photos on a device, at most MAX_SIDE pixels on the longer side. Raises `InputError`."""

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        self.device = device
        # Threads suffice, since decoders let the interpreter go.
        with ThreadPoolExecutor() as pool:
            planes = (np.ascontiguousarray(np.moveaxis(image, -1, 0)) for image in pool.map(_read, paths))
            self._images = [torch.from_numpy(image).to(device) for image in planes]

    def looks(self, rng: Generator, count: int, variety: float) -> list[PhotoLook]:
        """Return random photos, some of them (a share of `variety`) recoloured and mixed with another.

        variety: 0..1. The looks are for `crops`, where they may be used more than once.
        """
        return [self._look(rng, rng.random() < variety) for _ in range(count)]

    def crops(
        self, rng: Generator, count: int, size: int, zoom: tuple[float, float], looks: list[PhotoLook] | None = None
    ) -> Tensor:
        """Return random crops resized to `size`, flipped at random: (count, 3, size, size) float32, 0..1.

        zoom: range of photo pixels per pixel of the crop, as far as the photo is large enough; uniform in the
        logarithm. looks: what `looks` returned for them; without, photos are as they are.
        """
        looks = self.looks(rng, count, 0) if looks is None else looks
        return torch.cat([self._finished(rng, look, size, zoom) for look in looks])

    def _look(self, rng: Generator, varied: bool) -> PhotoLook:
        """Return a random photo; varied ones in other colours, and some of them mixed with another photo."""
        photo, other = (int(i) for i in rng.integers(len(self._images), size=2))
        if not varied:
            return PhotoLook(photo)
        # Rarely an arbitrary hue: skin, sky and leaves mostly keep plausible colours.
        hue = rng.uniform(-math.pi, math.pi) if rng.random() < 0.12 else rng.uniform(-0.5, 0.5)
        colour = _GREY if rng.random() < 0.15 else _hue_rotation(hue)
        return PhotoLook(photo, other if rng.random() < 0.25 else None, colour, math.exp(rng.uniform(-0.5, 0.5)))

    def _finished(self, rng: Generator, look: PhotoLook, size: int, zoom: tuple[float, float]) -> Tensor:
        """Return one crop of a look, (1, 3, size, size)."""
        crop = self._crop(rng, look.photo, size, log_uniform(rng, *zoom))
        if look.behind is not None:
            other = self._crop(rng, look.behind, size, log_uniform(rng, *zoom))
            crop = torch.lerp(crop, other, _in_front(rng, size).to(crop.device))
        if look.colour is not None:
            crop = torch.einsum("ij,njhw->nihw", on(crop.device, look.colour), crop).clamp(0, 1) ** look.gamma
        return crop

    def _crop(self, rng: Generator, photo: int, size: int, zoom: float) -> Tensor:
        """Return a random square of a photo by its number, (1, 3, size, size), flipped at random."""
        image = self._images[photo]
        height, width = image.shape[1:]
        # A zoom that the photo is too small for gives the largest square there is, rather than an error.
        side = min(max(round(size * zoom), MIN_SIDE), height, width)
        y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
        crop = image[None, :, y : y + side, x : x + side].float() / 255
        if rng.random() < 0.5:
            crop = crop.flip(3)
        return functional.interpolate(crop, size=(size, size), mode="bilinear", antialias=side > size).clamp(0, 1)


def _hue_rotation(angle: float) -> NDArray[np.float64]:
    """Return the matrix that turns the chroma of RGB by `angle` and leaves its luminance."""
    turn = np.eye(3)
    turn[1:, 1:] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return np.asarray(np.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ)


def _in_front(rng: Generator, size: int) -> Tensor:
    """Return how much of the other photo is seen, (1, 1, size, size): evenly, as a reflection, or beside an edge."""
    if rng.random() < 0.3:
        return torch.full((1, 1, 1, 1), float(rng.uniform(0.15, 0.6)))
    # Few cells make large areas; the factor decides whether their border is soft or sharp.
    field = torch.from_numpy(rng.normal(0, 1, (1, 1, 4, 4))).float()
    edges = functional.interpolate(field, (size, size), mode="bicubic") * log_uniform(rng, 2, 60)
    return (edges + 0.5).clamp(0, 1)


def _read(path: Path) -> NDArray[np.uint8]:
    """Return a photo made smaller, (H, W, 3) uint8. Raises `InputError` where it is too small."""
    image = shrink(read_image(path), MAX_SIDE)
    if min(image.shape[:2]) < MIN_SIDE:
        raise InputError(
            f"{path}: is {image.shape[1]}x{image.shape[0]}, but photos must have at least {MIN_SIDE} pixels per "
            "side; remove it"
        )
    return image
