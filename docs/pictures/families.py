"""Draws docs/pictures/families/<family>.jpg: eight examples of every family of training alphas, alone and in colour.

Also docs/pictures/families.jpg, one of most for the README.

python docs/pictures/families.py [family ...]
python docs/pictures/families.py --strands DIR      # families/groomed.jpg
python docs/pictures/families.py --cutouts DIR      # families/cutouts.jpg
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from litematting_deploy.training.collages import collage
from litematting_deploy.training.cutouts import list_cutouts
from litematting_deploy.training.families import FAMILIES, Layer
from litematting_deploy.training.families.groomed import groomed
from litematting_deploy.training.grooms import list_grooms

FOLDER = Path(__file__).parent / "families"
SIZE, TILE, EXAMPLES, GAP, QUALITY, LARGEST = 768, 300, 8, 4, 82, 200_000
COLUMNS, OVERVIEW_COLUMNS = 4, 7
# Which example of a family stands for it: as many as fill three rows.
OVERVIEW = {
    "straight_hair": 7,
    "wavy_hair": 7,
    "curly_hair": 2,
    "fur": 3,
    "foliage": 1,
    "tufts": 2,
    "net": 6,
    "smoke": 1,
    "glass": 6,
    "defocused": 7,
    "text": 3,
    "bush": 1,
    "basket": 2,
    "flowers": 1,
    "long_grass": 3,
    "fence": 2,
    "branches": 6,
    "knit": 1,
    "bicycle": 2,
    "vessel": 3,
    "mane": 1,
}
# Base colours (RGB) a person expects; the first of a pair is picked as often as the second.
COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "straight_hair": ((92, 64, 44), (190, 150, 96), (60, 52, 50)),
    "wavy_hair": ((120, 66, 36), (96, 70, 50), (200, 164, 110)),
    "curly_hair": ((80, 56, 42), (140, 84, 50), (64, 54, 52)),
    "fur": ((168, 128, 84), (130, 120, 112), (214, 200, 180)),
    "foliage": ((84, 132, 52), (110, 140, 64), (150, 110, 50)),
    "net": ((190, 190, 180), (90, 130, 120), (225, 220, 215)),
    "smoke": ((200, 202, 206), (150, 148, 146)),
    "glass": ((205, 222, 226), (180, 214, 196), (222, 216, 232)),
    "tufts": ((216, 208, 196), (150, 130, 110), (120, 140, 160)),
    "defocused": ((178, 92, 70), (80, 120, 160), (190, 160, 90)),
    "motion_blurred": ((196, 140, 112), (190, 90, 60), (90, 110, 150)),
    "text": ((210, 70, 50), (40, 70, 120), (230, 200, 80)),
    "bush": ((84, 132, 52), (70, 110, 60), (150, 120, 60)),
    "basket": ((150, 152, 156), (176, 136, 84), (70, 74, 80)),
    "flowers": ((190, 90, 120), (200, 170, 70), (130, 100, 180)),
    "long_grass": ((120, 144, 66), (178, 156, 92), (90, 130, 60)),
    "fence": ((140, 144, 148), (176, 140, 96), (84, 90, 96)),
    "branches": ((128, 104, 84), (110, 100, 92), (90, 70, 56)),
    "knit": ((200, 190, 176), (150, 80, 80), (110, 130, 150)),
    "bicycle": ((120, 124, 130), (150, 70, 60), (80, 120, 130)),
    "vessel": ((205, 222, 226), (180, 214, 196), (214, 186, 140)),
    "mane": ((200, 84, 96), (176, 132, 78), (96, 70, 50)),
}


def background(rng: Generator, size: int, brightness: float) -> NDArray[np.float32]:
    """A far, blurred scene: a gradient of two colours with soft spots. (size, size, 3) float32, 0..255 RGB."""
    ends = brightness * rng.uniform(0.7, 1.3, (2, 1)) + rng.uniform(-28, 28, (2, 3))
    ramp = np.linspace(0, 1, size)[:, None, None]
    scene = np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (size, size, 3)).astype(np.float32)
    for _ in range(25):
        spot = np.zeros((size, size), np.float32)
        cv2.circle(spot, rng.integers(0, size, 2).tolist(), int(rng.integers(size // 40, size // 7)), 1.0, -1)
        spot = cv2.GaussianBlur(spot, (0, 0), float(rng.uniform(2, 30))).astype(np.float32, copy=False)
        scene += spot[..., None] * (rng.uniform(-35, 35) + rng.uniform(-12, 12, 3)).astype(np.float32)
    return scene.clip(0, 255)


def coloured(rng: Generator, name: str, layer: Layer) -> NDArray[np.float32]:
    """The layer in one of its family's colours over a background, (S, S, 3) float32 RGB."""
    colours = COLOURS[name]
    base = np.array(colours[int(rng.integers(len(colours)))], np.float32)
    behind = background(rng, layer.alpha.shape[0], 70 if base.mean() > 110 else 150)  # so that it stands out
    alpha = layer.alpha[..., None].astype(np.float32) / 255
    foreground = (base * (layer.shade[..., None].astype(np.float32) / 128)).clip(0, 255)
    return np.asarray(alpha * foreground + (1 - alpha) * behind, np.float32)


def contact_sheet(name: str) -> NDArray[np.uint8]:
    """Examples in rows of alphas, each above its row of colours, (H, W, 3) uint8 RGB."""
    tiles: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for index in range(EXAMPLES):
        layer, colour = example(name, index)
        tiles.append((_small(np.repeat(layer.alpha[..., None], 3, 2)), _small(colour)))
    return _rows(tiles)


def _rows(tiles: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Pairs of an alpha and its colours in rows, the alphas above."""
    rows = []
    for start in range(0, EXAMPLES, COLUMNS):
        rows += [np.concatenate([pair[k] for pair in tiles[start : start + COLUMNS]], 1) for k in (0, 1)]
    return np.concatenate(rows)


def example(name: str, index: int) -> tuple[Layer, NDArray[np.uint8]]:
    """A layer of a family and the same in colour, (SIZE, SIZE, 3) uint8 RGB."""
    number = list(FAMILIES).index(name)
    layer = FAMILIES[name](np.random.default_rng([7, index, number]), SIZE)
    return layer, np.rint(coloured(np.random.default_rng([8, index, number]), name, layer)).astype(np.uint8)


def _groomed(folder: str) -> NDArray[np.uint8]:
    """Examples of the family whose strands lie in `folder`, over colours of hair and fur."""
    files, tiles = tuple(map(str, list_grooms(folder))), []
    for index in range(EXAMPLES):
        layer = groomed(files, np.random.default_rng([7, index]), SIZE)
        colour = coloured(np.random.default_rng([8, index]), "fur", layer)
        tiles.append((_small(np.repeat(layer.alpha[..., None], 3, 2)), _small(np.rint(colour).astype(np.uint8))))
    return _rows(tiles)


def _collages(folder: str) -> NDArray[np.uint8]:
    """Examples of what is composed from the cut-outs in `folder`."""
    files, tiles = tuple(map(str, list_cutouts(folder))), []
    for index in range(EXAMPLES):
        planes = collage(files, np.random.default_rng([7, index]), SIZE).transpose(1, 2, 0).astype(np.float32)
        alpha, behind = planes[..., :1] / 255, background(np.random.default_rng([8, index]), SIZE, 150)
        colour = np.rint(alpha * planes[..., 1:] + (1 - alpha) * behind).astype(np.uint8)
        tiles.append((_small(np.repeat(planes[..., :1], 3, 2).astype(np.uint8)), _small(colour)))
    return _rows(tiles)


def overview() -> NDArray[np.uint8]:
    """One example of most families in colour, in rows of seven, (H, W, 3) uint8 RGB."""
    tiles = [_small(example(name, index)[1]) for name, index in OVERVIEW.items()]
    starts = range(0, len(tiles), OVERVIEW_COLUMNS)
    return np.concatenate([np.concatenate(tiles[start : start + OVERVIEW_COLUMNS], 1) for start in starts])


def save(path: Path, picture: NDArray[np.uint8]) -> None:
    """As JPEG, at the quality that keeps it under LARGEST bytes."""
    for quality in range(QUALITY, 20, -5):
        encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(encoded) < LARGEST:
            break
    path.write_bytes(encoded)


def _small(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(tile, (TILE - GAP, TILE - GAP), interpolation=cv2.INTER_AREA)
    return np.pad(small, ((0, GAP), (0, GAP), (0, 0)), constant_values=70).astype(np.uint8)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for option, name, made in (("--strands", "groomed", _groomed), ("--cutouts", "cutouts", _collages)):
        if sys.argv[1:2] == [option]:
            save(FOLDER / f"{name}.jpg", made(sys.argv[2]))
            return
    for name in sys.argv[1:] or FAMILIES:
        save(FOLDER / f"{name}.jpg", contact_sheet(name))
    save(FOLDER.with_suffix(".jpg"), overview())


if __name__ == "__main__":
    main()
