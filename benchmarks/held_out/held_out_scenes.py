"""Draw the held-out scenes with the package that lies beside this file; `draw.py` runs it as it was at a fixed commit.

python held_out_scenes.py PHOTOS STRANDS CUTOUTS OUTPUT
"""

import json
import sys
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from litematting_deploy.training import procedural
from litematting_deploy.training.cutouts import list_cutouts
from litematting_deploy.training.drawing import Stream
from litematting_deploy.training.families import FAMILIES, GROOMED
from litematting_deploy.training.grooms import list_grooms
from litematting_deploy.training.library import Library
from litematting_deploy.training.photos import Photos, list_images, split
from litematting_deploy.training.recipe import Augment
from litematting_deploy.training.scenes import compose

SCENES, SIZE, LAYER = 200, 512, 896
SEED, HELD_OUT = 20_261_129, 0.1
# Scenes are composed four at a time, of four different families, so that one can lie behind another.
TOGETHER = 4
CUTOUTS = "cutouts"


class Given:
    """One drawn layer in the place of a training library."""

    def __init__(self, stream: Stream, index: int) -> None:
        planes, points = stream.draw(index)
        self._planes = torch.from_numpy(planes)[None].float() / 255
        self._points = torch.from_numpy(points[:1]).float()

    def take(self, *_: object) -> tuple[Tensor, Tensor]:
        """Return the layer, (1, planes, S, S) float32, 0..1, and a pixel of interest in it, (1, 2)."""
        return self._planes, self._points


def cut(stream: Stream, index: int, photos: Photos, rng: np.random.Generator) -> procedural.Cut:
    """Return layer number `index` of a stream, cut for composition over a photo."""
    given = cast(Library, Given(stream, index))
    return procedural.cut(given, photos, Augment(), rng, 1, SIZE)


def main() -> None:
    photos, strands, cutouts, output = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    behind = Photos(split(list_images(photos), HELD_OUT)[1], torch.device("cpu"))
    grooms = tuple(map(str, split(list_grooms(strands), HELD_OUT)[1]))
    pieces = tuple(map(str, split(list_cutouts(cutouts), HELD_OUT)[1]))
    names = [*FAMILIES, GROOMED, CUTOUTS]
    families = [names[i % len(names)] for i in range(SCENES)]
    streams = {name: Stream(SEED, LAYER, {name: 1.0}, grooms if name == GROOMED else ()) for name in names[:-1]}
    streams[CUTOUTS] = Stream(SEED, LAYER, cutouts=pieces)
    output.mkdir(parents=True, exist_ok=True)
    for first in range(0, SCENES, TOGETHER):
        rng = np.random.default_rng([SEED, first])
        cuts = [cut(streams[families[i]], i, behind, rng) for i in range(first, first + TOGETHER)]
        together = procedural.Cut(*(torch.cat(tensors) for tensors in zip(*cuts, strict=True)))
        scenes = compose(together, Augment(), rng)
        levels = scenes.trimap[:, 2] * 255 + scenes.trimap[:, 1] * 128
        for k in range(TOGETHER):
            np.savez_compressed(
                output / f"{first + k:03d}.npz",
                image=(scenes.image[k].permute(1, 2, 0) * 255).round().byte().numpy(),
                trimap=levels[k].byte().numpy(),
                alpha=(scenes.alpha[k, 0] * 255).round().byte().numpy(),
            )
        print(f"{first + TOGETHER} of {SCENES} scenes", flush=True)
    (output / "index.json").write_text(json.dumps({"families": families}) + "\n")


if __name__ == "__main__":
    main()
