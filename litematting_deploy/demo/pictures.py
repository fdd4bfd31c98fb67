"""Pictures for the page: small ones to show, and the new background at the photo's size."""

import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.background import Background
from ..images.colour import SRGB
from ..images.photo import Photo

LONG_SIDE = 1536
"""Pixels of what is shown, and painted on: more than a page has room for, and little enough for any browser."""
_TILE, _DARK, _BRIGHT = 12, 176, 224
_RGB = re.compile(r"rgba?\(\s*([\d.]+),\s*([\d.]+),\s*([\d.]+)\s*(?:,\s*[\d.]+\s*)?\)")


def small(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels (H, W) or (H, W, C) scaled down to at most `LONG_SIDE` on the long side."""
    scale = LONG_SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def shown(photo: Photo, levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return levels (H, W, 3) of a result of `photo`, in its colour space, as a small sRGB picture (h, w, 3) uint8."""
    light = photo.space.decode(small(levels))
    return np.asarray(SRGB.encode(photo.space.convert(light, SRGB), np.uint8))


def on_checkerboard(colours: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return colours (h, w, 3) uint8 over the grey tiles that stand for nothing. alpha: (h, w), 0..1."""
    rows, columns = np.mgrid[: alpha.shape[0], : alpha.shape[1]] // _TILE
    tiles = np.where((rows + columns) % 2, _DARK, _BRIGHT)[:, :, None]
    weight = alpha[:, :, None]
    return np.asarray(np.rint(colours * weight + tiles * (1 - weight)), np.uint8)


def backdrop(colour: str, image: str | None, max_megapixels: float) -> Background:
    """Return the new background: the image, scaled to cover the photo and cut in its middle, else the colour.

    colour: #rrggbb or, as Gradio's picker has it, rgba(r, g, b, a), whose opacity does not count.
    Raises `InputError`.
    """
    if image is None:
        return Background(_hex(colour))
    return Background(image, max_megapixels, fit="cover")


def _hex(colour: str) -> str:
    """Return a colour as #rrggbb. Raises `InputError` for anything else, such as the path of a file on the server."""
    found = _RGB.fullmatch(colour.strip())
    if found is not None:
        return "#" + "".join(f"{min(round(float(part)), 255):02x}" for part in found.groups())
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour.strip()):
        raise InputError(f"background colour must be #rrggbb; got {colour!r}")
    return colour.strip()
