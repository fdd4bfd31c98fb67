"""The new background, of a colour picker or of an image of any size."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.background import Background
from ..images.encode import write_image
from ..images.photo import Photo, read_photo

_RGB = re.compile(r"rgba?\(\s*([\d.]+),\s*([\d.]+),\s*([\d.]+)\s*(?:,\s*[\d.]+\s*)?\)")


def backdrop(colour: str, image: str | None, photo: Photo, folder: Path, max_megapixels: float) -> Background:
    """The image where there is one, scaled to cover the photo and cut in its middle, else the colour.

    colour: #rrggbb or, as Gradio's picker has it, rgba(r, g, b, a), whose opacity does not count. The scaled image is
    written to `folder`. Raises `InputError`.
    """
    if image is None:
        return Background(_hex(colour))
    windows = photo.windows
    height, width = photo.pixels.shape[:2] if windows is None else windows.display.hw
    scaled = folder / "behind.png"
    write_image(scaled, covering(read_photo(image, max_megapixels).network, (height, width)))
    return Background(str(scaled), max_megapixels)


def covering(pixels: NDArray[np.uint8], hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Pixels (h, w, 3) scaled, both sides alike, to the smallest size that covers `hw`, and cut around the middle."""
    scale = max(wanted / side for wanted, side in zip(hw, pixels.shape, strict=False))
    height, width = (max(wanted, round(side * scale)) for wanted, side in zip(hw, pixels.shape, strict=False))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(pixels, (width, height), interpolation=method)
    top, left = (height - hw[0]) // 2, (width - hw[1]) // 2
    return np.asarray(scaled[top : top + hw[0], left : left + hw[1]], np.uint8)


def _hex(colour: str) -> str:
    found = _RGB.fullmatch(colour.strip())
    if found is not None:
        return "#" + "".join(f"{min(round(float(part)), 255):02x}" for part in found.groups())
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour.strip()):
        raise InputError(f"background colour {colour!r}: wanted #rrggbb")
    return colour.strip()
