"""Folders of frames: made, matted by the command as it is installed, and found again."""

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.conftest import EXAMPLE_TRIMAP
from tests.images.files import save_exr, save_levels
from tests.images.light import encoded

BOX = slice(1000, 1090), slice(600, 720)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COMMAND = Path(sys.executable).parent / "ltm-infer"


def timecode(number: int) -> dict[str, Any]:
    return {
        "timeCode": OpenEXR.TimeCode(1, 2, 3, number, 0, 0, 0, 0, 0, 0, *range(1, 9)),
        "framesPerSecond": Fraction(24000, 1001),
    }


def save_trimap(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(EXAMPLE_TRIMAP) as picture:
        Image.fromarray(np.asarray(picture)[BOX]).save(path)
    return path


def make_frames(folder: Path, light: NDArray[Any]) -> tuple[Path, Path]:
    """Twelve frames of three depths in two sub-folders with blanks and umlauts, and their trimaps."""
    images, trimaps = folder / "bilder für uns", folder / "tri maps"
    for number in range(12):
        shot = "shot 1" if number < 6 else "Szene ü"
        seen = np.roll(light, number * 3, axis=1)
        target = images / shot / f"frame.{number:04}"
        target.parent.mkdir(parents=True, exist_ok=True)
        save_trimap(trimaps / shot / f"frame.{number:04}.png")
        if number % 3 == 0:
            path = target.with_suffix(f".{number:04}.png")
            Image.fromarray(encoded(seen, np.uint8)).save(path, icc_profile=PROFILE, dpi=(300, 300))
        elif number % 3 == 1:
            save_levels(target.with_suffix(f".{number:04}.tif"), encoded(seen, np.uint16))
        else:
            planes = dict(zip("RGB", np.moveaxis(seen.astype(np.float16), 2, 0), strict=True))
            save_exr(target.with_suffix(f".{number:04}.exr"), planes, timecode(number))
    return images, trimaps


def command(images: Path, trimaps: Path, output: Path, engine: Path, *options: str | Path) -> list[str]:
    step = ("--step", "64") if "standin" in engine.name else ()  # each patch of a real network takes its time
    return [str(item) for item in (COMMAND, images, trimaps, "-o", output, "--engine", engine, *step, *options)]


def finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
