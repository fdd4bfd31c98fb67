"""Draws a sheet of training scenes to look at: image, trimap and alpha of each, three scenes in a row.

python docs/pictures/scenes.py PHOTOS LIBRARIES SHEET.jpg [scenes [first seed]]

PHOTOS: a folder of photographs. LIBRARIES: a folder for drawn alphas, which are drawn where they are missing.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from litematting_deploy.training.drawing import Stream
from litematting_deploy.training.library import Library
from litematting_deploy.training.photos import Photos, list_images
from litematting_deploy.training.preview import encode
from litematting_deploy.training.procedural import cut
from litematting_deploy.training.recipe import Augment
from litematting_deploy.training.scenes import Scenes, compose

CROP, CELL, BATCH, COLUMNS, ALPHAS = 320, 200, 4, 3, 60


def rows(made: Scenes) -> list[NDArray[np.uint8]]:
    """Image, trimap and alpha of each scene side by side, (CELL, 3 CELL, 3) uint8 RGB."""
    grey = (made.trimap[:, 2:] + made.trimap[:, 1:2] / 2, made.alpha)
    strips = torch.cat([made.image, *(plane.expand(-1, 3, -1, -1) for plane in grey)], dim=3)
    pictures = (strips.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    small = [cv2.resize(one, (3 * CELL, CELL), interpolation=cv2.INTER_AREA) for one in pictures]
    return [np.pad(one, ((2, 2), (2, 6), (0, 0)), constant_values=255).astype(np.uint8) for one in small]


def main(photos: str, libraries: str, sheet: str, scenes: str = "48", first: str = "0") -> None:
    library = Library(Path(libraries), Stream(11, 768), ALPHAS)
    library.ensure(1, lambda drawn: print(f"{drawn} of {ALPHAS} alphas"))
    library.load(torch.device("cpu"))
    pictures, augment = Photos(list_images(photos), torch.device("cpu")), Augment()
    cells: list[NDArray[np.uint8]] = []
    for step in range(int(first), int(first) + int(scenes) // BATCH):
        rng = np.random.default_rng((3, step))
        cells += rows(compose(cut(library, pictures, augment, rng, BATCH, CROP), augment, rng))
    whole = len(cells) // COLUMNS * COLUMNS
    lines = [np.concatenate(cells[i : i + COLUMNS], axis=1) for i in range(0, whole, COLUMNS)]
    Path(sheet).write_bytes(encode(np.concatenate(lines), Path(sheet).suffix))


if __name__ == "__main__":
    main(*sys.argv[1:])
