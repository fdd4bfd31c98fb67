"""Draws docs/pictures/first_screen.jpg, the first picture of the README: what its command makes of the example.

python docs/pictures/first_screen.py                    # needs the extra cpu
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from litematting_deploy import Matter
from litematting_deploy.files import replace_file
from litematting_deploy.images.mask import read_mask
from litematting_deploy.images.photo import read_photo
from litematting_deploy.matting.foreground import estimate_foreground
from litematting_deploy.matting.trimap import from_mask
from litematting_deploy.matting.unknown_band import Band

EXAMPLES = Path(__file__).parents[2] / "examples"
UNKNOWN = "24"
CROP = slice(30, 930), slice(270, 1130)
PANEL = 400, 419
GAP, LABEL, QUALITY = 4, 22, 88
LABELS = "photo", "trimap", "alpha", "cut-out"
SQUARE, LIGHT, DARK = 43, 118, 88


def checkerboard(height: int, width: int) -> NDArray[np.float64]:
    """(height, width, 1) of two greys that suit light and dark pages."""
    rows, columns = np.mgrid[:height, :width] // SQUARE
    return np.where((rows + columns) % 2, LIGHT, DARK)[:, :, None].astype(np.float64)


def panels() -> list[Image.Image]:
    """Photo, trimap, alpha and cut-out, each cropped and of PANEL's size."""
    photo, mask = read_photo(EXAMPLES / "dandelion.jpg"), read_mask(EXAMPLES / "dandelion_mask.png")
    trimap = from_mask(mask, Band.parse(UNKNOWN, "unknown_width"), "mask", photo.network, adaptive=True)
    with Matter.load(refine=True) as matter:
        alpha = matter(photo.network, trimap)
    opacity = alpha[:, :, None]
    cutout = estimate_foreground(photo, alpha) * opacity + checkerboard(*alpha.shape) * (1 - opacity)
    arrays = photo.network, trimap, np.rint(alpha * 255), np.rint(cutout)
    cropped = (Image.fromarray(array[CROP].astype(np.uint8)).convert("RGB") for array in arrays)
    return [picture.resize(PANEL, Image.Resampling.LANCZOS) for picture in cropped]


def draw() -> Image.Image:
    width = len(LABELS) * PANEL[0] + (len(LABELS) - 1) * GAP
    canvas = Image.new("RGB", (width, PANEL[1]), (DARK, DARK, DARK))
    brush, font = ImageDraw.Draw(canvas, "RGBA"), ImageFont.load_default(size=LABEL)
    for index, (label, panel) in enumerate(zip(LABELS, panels(), strict=True)):
        left = index * (PANEL[0] + GAP)
        canvas.paste(panel, (left, 0))
        right = left + 28 + brush.textlength(label, font)
        brush.rounded_rectangle((left + 8, PANEL[1] - 44, right, PANEL[1] - 8), 8, (0, 0, 0, 160))
        brush.text((left + 18, PANEL[1] - 26), label, (255, 255, 255, 255), font, "lm")
    return canvas


def main() -> None:
    buffer = io.BytesIO()
    draw().save(buffer, "jpeg", quality=QUALITY, optimize=True)
    replace_file(Path(__file__).with_suffix(".jpg"), buffer.getvalue())


if __name__ == "__main__":
    main()
