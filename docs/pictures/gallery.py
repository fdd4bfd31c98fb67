"""Draw docs/pictures/gallery/<name>.jpg: photos matted with the shipped weights, those that fail included.

python docs/pictures/gallery.py --photos DIR [--keep DIR] [name ...]        # needs the extra cpu

Each picture shows the photo and the unknown band, and below them the alpha and the cut-out on grey. DIR holds photos of
the repository BuddiesOfBudgie/budgie-backgrounds (CC0-1.0), resized to a width of 1600 pixels. With `--keep`,
results are written to a folder, and those already there are used again.
"""

import argparse
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from litematting_deploy import matte_photo
from litematting_deploy.files import replace_file
from litematting_deploy.jobs.api import PhotoOptions

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = Path(__file__).parent / "gallery"
CELL, GAP, QUALITY, LINE = (400, 300), 4, 86, 4
GREY, BOX = "#606060", (255, 220, 60)


@dataclass(frozen=True)
class Case:
    """A photo of the gallery.

    photo: file name, in the examples or in the folder given as --photos.
    crop_xywh: the part that is shown, in pixels, 4:3.
    box: the object, (x, y, width, height) in pixels, or None to use the example's mask.
    """

    photo: str
    crop_xywh: tuple[int, int, int, int]
    box: tuple[int, int, int, int] | None = None


CASES = {
    "dandelion_mask": Case("dandelion.jpg", (110, 30, 1200, 900)),
    "dandelion_box": Case("dandelion.jpg", (110, 10, 1200, 900), (310, 90, 790, 760)),
    "otter": Case("oakland-zoo-otters.jpg", (400, 0, 1200, 900), (480, 235, 1030, 470)),
    "osprey": Case("perched-osprey.jpg", (220, 150, 868, 651), (460, 180, 270, 590)),
    "periwinkle": Case("blue-periwinkle.jpg", (620, 390, 440, 330), (700, 455, 260, 170)),
}


def matte(case: Case, photo: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Return the files of the preview, the alpha and the cut-out of a case; make those that are missing."""
    look, alpha, cutout = (folder / f"{name}.png" for name in ("look", "alpha", "cutout"))
    if not cutout.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        options: PhotoOptions = {"preview": look, "cutout": cutout, "background": GREY, "adaptive": True}
        mask = None
        if case.box is not None:
            options["box"] = case.box
        else:
            mask, options["unknown_width"] = EXAMPLES / f"{photo.stem}_mask.png", "24"
        matte_photo(photo, alpha=alpha, mask=mask, **options)
    return look, alpha, cutout


def draw(case: Case, photo: Path, folder: Path) -> Image.Image:
    """Return the four cells of a case, two by two."""
    x, y, width, height = case.crop_xywh
    canvas = Image.new("RGB", (2 * CELL[0] + GAP, 2 * CELL[1] + GAP), GREY)
    for index, file in enumerate((photo, *matte(case, photo, folder))):
        picture = _eight_bits(Image.open(file)).crop((x, y, x + width, y + height))
        cell = picture.resize(CELL, Image.Resampling.LANCZOS)
        if index == 0 and case.box is not None:
            left, top, across, down = case.box
            scale = CELL[0] / width
            corners = (left - x, top - y, left + across - x, top + down - y)
            ImageDraw.Draw(cell).rectangle([corner * scale for corner in corners], outline=BOX, width=LINE)
        row, column = divmod(index, 2)
        canvas.paste(cell, (column * (CELL[0] + GAP), row * (CELL[1] + GAP)))
    return canvas


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Return a picture of 8 or 16 bits as 8-bit RGB."""
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    return picture.convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.names or CASES:
            case = CASES[name]
            photo = EXAMPLES / case.photo if (EXAMPLES / case.photo).is_file() else options.photos / case.photo
            buffer = io.BytesIO()
            picture = draw(case, photo, (options.keep or Path(temporary)) / name)
            picture.save(buffer, "jpeg", quality=QUALITY, optimize=True)
            replace_file(FOLDER / f"{name}.jpg", buffer.getvalue())


if __name__ == "__main__":
    main()
