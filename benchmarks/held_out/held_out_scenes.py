"""Draw a set of held-out scenes with the package that lies beside this file; `draw.py` runs it as it was at the set's
commit.

python held_out_scenes.py PHOTOS STRANDS CUTOUTS OUTPUT

This version draws the set "photographic": what people matte (hair, fur, plants, wire and cloth first), in the colours
of materials, under trimaps that know some of the foreground and some of the background. The first set, "hard", was
drawn by an earlier version.
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
from litematting_deploy.training.scenes import Scenes, compose

SCENES, SIZE, LAYER = 200, 512, 1024
SEED, HELD_OUT = 20_261_130, 0.1
CUTOUTS = "cutouts"
AUGMENT = Augment(
    trimap_px=(3, 45), scale=(0.75, 1.6), camouflage=0.05, combine=0, sparse=0, swallowed=0.2, spill=0.2, noise=0.35,
    jpeg=0.35,
)  # fmt: skip
# Every family once, and groomed hair three times, of twenty-five.
FAMILY_OF = (*FAMILIES, GROOMED, GROOMED, GROOMED, CUTOUTS)
LEAST_KNOWN, LEAST_UNKNOWN, MOST_UNKNOWN = 0.03, 0.05, 0.6
"""Shares of a scene: of known foreground and of known background, and of unknown pixels. Other scenes are drawn
anew."""


class Given:
    """One drawn layer in the place of a training library."""

    def __init__(self, stream: Stream, index: int) -> None:
        planes, points = stream.draw(index)
        self._planes = torch.from_numpy(planes)[None].float() / 255
        self._points = torch.from_numpy(points[:1]).float()

    def take(self, *_: object) -> tuple[Tensor, Tensor]:
        """Return the layer, (1, planes, S, S) float32, 0..1, and a pixel of interest in it, (1, 2)."""
        return self._planes, self._points


def is_like_work(scene: Scenes) -> bool:
    """Return whether the trimap knows enough and leaves enough to do."""
    background, unknown, foreground = scene.trimap[0].mean((1, 2)).tolist()
    return bool(min(background, foreground) >= LEAST_KNOWN and LEAST_UNKNOWN <= unknown <= MOST_UNKNOWN)


def drawn(stream: Stream, number: int, photos: Photos) -> Scenes:
    """Return scene `number`, the first of its stream's that is like work."""
    attempt = 0
    while True:
        rng = np.random.default_rng([SEED, number, attempt])
        given = cast(Library, Given(stream, number + SCENES * attempt))
        scene = compose(procedural.cut(given, photos, AUGMENT, rng, 1, SIZE), AUGMENT, rng)
        if is_like_work(scene):
            return scene
        attempt += 1


def main() -> None:
    photos, strands, cutouts, output = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    behind = Photos(split(list_images(photos), HELD_OUT)[1], torch.device("cpu"))
    grooms = tuple(map(str, split(list_grooms(strands), HELD_OUT)[1]))
    pieces = tuple(map(str, split(list_cutouts(cutouts), HELD_OUT)[1]))
    families = [FAMILY_OF[i % len(FAMILY_OF)] for i in range(SCENES)]
    streams = {
        name: Stream(SEED, LAYER, {name: 1.0}, grooms if name == GROOMED else ()) for name in (*FAMILIES, GROOMED)
    }
    streams[CUTOUTS] = Stream(SEED, LAYER, cutouts=pieces)
    output.mkdir(parents=True, exist_ok=True)
    for i, family in enumerate(families):
        scene = drawn(streams[family], i, behind)
        np.savez_compressed(
            output / f"{i:03d}.npz",
            image=(scene.image[0].permute(1, 2, 0) * 255).round().byte().numpy(),
            trimap=(scene.trimap[0, 2] * 255 + scene.trimap[0, 1] * 128).byte().numpy(),
            alpha=(scene.alpha[0, 0] * 255).round().byte().numpy(),
        )
        if (i + 1) % 10 == 0:
            print(f"{i + 1} of {SCENES} scenes", flush=True)
    (output / "index.json").write_text(json.dumps({"families": families}) + "\n")


if __name__ == "__main__":
    main()
