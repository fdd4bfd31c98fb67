"""Tiny data sets in both layouts, drawn: a soft disc before a gradient."""

from pathlib import Path

import numpy as np
from PIL import Image

ALPHAMATTING = {"image": "image", "trimap": "trimap1", "alpha": "alpha"}
COMPOSITION = {"image": "merged", "trimap": "trimaps", "alpha": "alpha"}


def pictures(seed: int = 0, height: int = 40, width: int = 56) -> dict[str, Image.Image]:
    """An image, its trimap and its alpha."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2 + seed)
    alpha = ((height / 3 - distance) / 8 + 0.5).clip(0, 1)
    trimap = np.where((alpha > 0) & (alpha < 1), 128, alpha * 255).astype(np.uint8)
    background = np.stack([x * 2, y * 3, x + y], axis=-1).astype(np.uint8)
    image = alpha[..., None] * [230, 200, 40 + seed] + (1 - alpha[..., None]) * background
    arrays = {"image": image.astype(np.uint8), "trimap": trimap, "alpha": np.rint(alpha * 255).astype(np.uint8)}
    return {name: Image.fromarray(array) for name, array in arrays.items()}


def make_dataset(folder: Path, names: list[str], folders: dict[str, str] = ALPHAMATTING) -> Path:
    """A data set of images called `names`, all PNG."""
    for kind in folders.values():
        (folder / kind).mkdir(parents=True)
    for seed, name in enumerate(names):
        for kind, picture in pictures(seed).items():
            picture.save(folder / folders[kind] / f"{name}.png")
    return folder
