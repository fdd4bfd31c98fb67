"""Draw docs/pictures/model_card.jpg: what the shipped weights make of drawn scenes over the example photo.

Two blocks of four scenes, with the rows image, trimap, matte and truth. The seed was not used for training.
Needs the extras cpu and train.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from litematting_deploy import Matter
from litematting_deploy.files import replace_file
from litematting_deploy.images.photo import read_image
from litematting_deploy.matting.patches import to_levels
from litematting_deploy.training.families import layer
from litematting_deploy.training.preview import encode
from litematting_deploy.training.procedural import Cut, paint
from litematting_deploy.training.recipe import Augment
from litematting_deploy.training.scenes import Scenes, compose

HERE = Path(__file__).parent
SIZE, TILE, SEED = 640, 256, 77
FAMILIES = ("straight_hair", "curly_hair", "fur", "bush", "flowers", "fence", "smoke", "glass")
AUGMENT = Augment(trimap_px=(8, 25), combine=0, jpeg=0)


def scenes() -> Scenes:
    """One scene a family, (8, C, SIZE, SIZE)."""
    rng = np.random.default_rng(SEED)
    photo = torch.from_numpy(read_image(HERE.parents[1] / "examples" / "dandelion.jpg").copy()).permute(2, 0, 1) / 255
    drawn = [layer(SEED, 3, SIZE, {name: 1.0}) for name in FAMILIES]
    alpha = torch.from_numpy(np.stack([one.alpha for one in drawn]))[:, None] / 255
    shade = torch.from_numpy(np.stack([one.shade for one in drawn]))[:, None] / 255
    texture, background = (torch.stack([_crop(photo, rng) for _ in drawn]) for _ in range(2))
    apart = torch.zeros(len(drawn), 1, 1, 1)
    cut = Cut(alpha, paint(texture, shade, background, apart, rng), background, apart)
    return compose(cut, AUGMENT, rng)


def _crop(photo: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    y, x = (int(rng.integers(side - SIZE)) for side in photo.shape[1:])
    return photo[:, y : y + SIZE, x : x + SIZE]


def main() -> None:
    made = scenes()
    rows: list[list[NDArray[np.uint8]]] = [[], [], [], []]
    with Matter.load() as matter:
        for image, one_hot, alpha in zip(made.image, made.trimap, made.alpha, strict=True):
            photo = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            trimap = (one_hot[1] * 128 + one_hot[2] * 255).numpy().astype(np.uint8)
            matte, truth = to_levels(matter(photo, trimap)), to_levels(alpha[0].numpy())
            for row, cell in zip(rows, (photo, trimap, matte, truth), strict=True):
                row.append(_small(cell))
    picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    # One block below the other, so that scenes are large enough on a phone.
    replace_file(HERE / "model_card.jpg", encode(np.concatenate(np.split(picture, 2, axis=1))))


def _small(cell: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colour = cell if cell.ndim == 3 else np.repeat(cell[..., None], 3, axis=2)
    return np.asarray(cv2.resize(colour, (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
