"""Draws docs/pipeline.png, the README's picture, from the example with the shipped weights."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from litematting_deploy import Matter
from litematting_deploy.matting.foreground import estimate_foreground
from litematting_deploy.matting.image_io import read_trimap
from litematting_deploy.matting.photo import read_photo
from litematting_deploy.runtime.assets import EXAMPLE_IMAGE, EXAMPLE_TRIMAP

CROP = slice(0, 1350), slice(220, 1300)
SIZE = (270, 338)
GAP = 34
INK, PAPER, ACCENT = (40, 40, 40), (255, 255, 255), (230, 90, 20)
MODEL = "checkpoint\n\nltm-export:\n\nONNX, compared with\nthe PyTorch model"
LABELS = ("once per model", "photo", "trimap\n0 · 128 · 255", "patches with\nunknown pixels", "alpha", "cut-out")


def checkerboard(height: int, width: int) -> NDArray[np.float64]:
    rows, columns = np.mgrid[:height, :width] // 40
    return np.where((rows + columns) % 2, 235.0, 190.0)[:, :, None]


def panels() -> list[Image.Image]:
    source, trimap = read_photo(EXAMPLE_IMAGE), read_trimap(EXAMPLE_TRIMAP)
    photo = source.network
    with Matter.load() as matter:
        alpha = matter(photo, trimap)
        plan = matter.plan(trimap)
    colours = estimate_foreground(source, alpha)
    cutout = colours * alpha[:, :, None] + checkerboard(*alpha.shape) * (1 - alpha[:, :, None])
    tiled = Image.fromarray(photo)
    draw = ImageDraw.Draw(tiled)
    for y, x in plan.corners_yx:
        draw.rectangle((x, y, x + plan.patch_hw[1] - 1, y + plan.patch_hw[0] - 1), outline=ACCENT, width=7)
    arrays = (photo, trimap, np.asarray(tiled), (alpha * 255).astype(np.uint8), cutout.astype(np.uint8))
    return [Image.fromarray(array[CROP]).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS) for array in arrays]


def main() -> None:
    width = len(LABELS) * SIZE[0] + (len(LABELS) + 1) * GAP
    canvas = Image.new("RGB", (width, SIZE[1] + 150), PAPER)
    draw = ImageDraw.Draw(canvas)
    font, small = ImageFont.load_default(size=25), ImageFont.load_default(size=23)
    for index, (label, panel) in enumerate(zip(LABELS, [None, *panels()], strict=True)):
        left = GAP + index * (SIZE[0] + GAP)
        if panel is None:
            box = (left, GAP, left + SIZE[0], GAP + SIZE[1])
            draw.rounded_rectangle(box, radius=18, outline=ACCENT, width=4)
            middle = (left + SIZE[0] / 2, GAP + SIZE[1] / 2)
            draw.multiline_text(middle, MODEL, INK, small, "mm", align="center")
        else:
            canvas.paste(panel, (left, GAP))
            arrow_x, arrow_y = left - GAP / 2, GAP + SIZE[1] / 2
            draw.polygon([(arrow_x - 8, arrow_y - 12), (arrow_x - 8, arrow_y + 12), (arrow_x + 10, arrow_y)], ACCENT)
        draw.multiline_text((left + SIZE[0] / 2, SIZE[1] + GAP + 16), label, INK, font, "ma", align="center")
    canvas.save(Path(__file__).with_name("pipeline.png"), optimize=True)


if __name__ == "__main__":
    main()
