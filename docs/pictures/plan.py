"""Draws look.jpg, the tutorial's look at a trimap, and plan.jpg, a grid and an adaptive plan over it.

python docs/pictures/plan.py
"""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from litematting_deploy.files import replace_file
from litematting_deploy.images.mask import read_mask
from litematting_deploy.images.photo import read_image
from litematting_deploy.matting.composite import trimap_preview
from litematting_deploy.matting.patches import Plan, context_margin, grid_step, plan_adaptive, plan_grid
from litematting_deploy.matting.trimap import from_mask
from litematting_deploy.matting.unknown_band import Band

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
PATCH = 640, 640
SMALL, GAP, WIDE, LINE = (796, 448), 8, 960, 4
COLOURS = (90, 220, 255), (255, 200, 60), (140, 255, 120), (255, 140, 200), (255, 255, 255), (180, 160, 255)


def drawn(look: Image.Image, plan: Plan, name: str) -> Image.Image:
    """The patches over a look at the trimap, each in another colour and a little smaller, so that all are seen."""
    small = look.resize(SMALL, Image.Resampling.LANCZOS)
    brush, scale = ImageDraw.Draw(small), SMALL[0] / look.width
    for index, (y, x) in enumerate(plan.corners_yx):
        inset = 2 + 3 * (index % len(COLOURS))
        left, top = x * scale + inset, y * scale + inset
        right, bottom = (x + PATCH[1]) * scale - inset, (y + PATCH[0]) * scale - inset
        brush.rectangle((left, top, right, bottom), outline=COLOURS[index % len(COLOURS)], width=LINE)
    text = f"{name}: {len(plan.corners_yx)} patches"
    font = ImageFont.load_default(size=22)
    brush.rectangle((SMALL[0] - brush.textlength(text, font) - 24, 8, SMALL[0] - 8, 44), fill=(0, 0, 0))
    brush.text((SMALL[0] - 16, 26), text, (255, 255, 255), font, "rm")
    return small


def save(name: str, picture: Image.Image) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=85, optimize=True)
    replace_file(HERE / name, buffer.getvalue())


def main() -> None:
    image, mask = read_image(EXAMPLES / "dandelion.jpg"), read_mask(EXAMPLES / "dandelion_mask.png")
    trimap = from_mask(mask, Band.parse("24", "unknown_width"), "mask", image, adaptive=True)
    look = Image.fromarray(trimap_preview(trimap, image))
    save("look.jpg", look.resize((WIDE, WIDE * look.height // look.width), Image.Resampling.LANCZOS))
    plans = {
        "grid": plan_grid(trimap, PATCH, grid_step(PATCH, None)),
        "adaptive": plan_adaptive(trimap, PATCH, context_margin(PATCH, None)),
    }
    both = Image.new("RGB", (2 * SMALL[0] + GAP, SMALL[1]), (128, 128, 128))
    for index, (name, plan) in enumerate(plans.items()):
        both.paste(drawn(look, plan, name), (index * (SMALL[0] + GAP), 0))
    save("plan.jpg", both)


if __name__ == "__main__":
    main()
