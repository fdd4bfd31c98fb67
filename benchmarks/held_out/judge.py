"""Measure weights on the 200 held-out scenes: what runs are compared by.

python benchmarks/held_out/judge.py WEIGHTS [WEIGHTS ...] --scenes SCENES [--json FILE]

SCENES is the folder that `draw.py` made. Prints the mean SAD (the held-out error) and the mean gradient error over all
scenes, and both for each family; lower is better. The network runs in float32 on whole scenes of 512 x 512 pixels, and
known pixels are forced, as in inference.
"""

import argparse
import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from litematting_deploy.evaluation.metrics import grad, sad
from litematting_deploy.matting.guide import transformable_map
from litematting_deploy.matting.inputs import network_image, one_hot
from litematting_deploy.model import LiteMatting, load_checkpoint

SCENES = 200


class Errors(NamedTuple):
    """SAD in thousands and the gradient error in thousands of one scene, or their means over several."""

    sad: float
    grad: float


def read_index(scenes: Path) -> list[str]:
    """Return the family of each scene. Raises `SystemExit` where the folder is not what `draw.py` makes."""
    index = scenes / "index.json"
    if not index.is_file():
        raise SystemExit(f"{scenes}: has no index.json; make the scenes with benchmarks/held_out/draw.py")
    families: list[str] = json.loads(index.read_text())["families"]
    if len(families) != SCENES:
        raise SystemExit(f"{index}: lists {len(families)} scenes instead of {SCENES}; draw them again")
    return families


@torch.inference_mode()
def predict(model: LiteMatting, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return alpha (H, W) float32, 0..1, of image (H, W, 3) and trimap (H, W), both uint8, in one call."""
    planes = (network_image(image), one_hot(trimap), transformable_map(trimap))
    alpha: NDArray[np.float32] = model(*(torch.from_numpy(np.ascontiguousarray(p))[None] for p in planes))[0, 0].numpy()
    return alpha


def judge(weights: Path, scenes: Path, limit: int = SCENES) -> list[Errors]:
    """Return the errors of a checkpoint on each of the first `limit` scenes."""
    model, errors = load_checkpoint(weights), []
    for i in range(limit):
        with np.load(scenes / f"{i:03d}.npz") as scene:
            image, trimap, alpha = scene["image"], scene["trimap"], scene["alpha"].astype(np.float32) / 255
        given = predict(model, image, trimap)
        errors.append(Errors(sad(given, alpha, trimap), grad(given, alpha, trimap)))
    return errors


def mean(errors: list[Errors]) -> Errors:
    """Return the mean of each of the two errors."""
    return Errors(*np.mean(errors, axis=0).round(4).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights", nargs="+", type=Path)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="write the figures of the last of the weights")
    arguments = parser.parse_args()
    families = read_index(arguments.scenes)
    for weights in arguments.weights:
        errors = judge(weights, arguments.scenes)
        by_family: dict[str, list[Errors]] = defaultdict(list)
        for family, error in zip(families, errors, strict=True):
            by_family[family].append(error)
        figures = {name: mean(found)._asdict() for name, found in by_family.items()}
        total = mean(errors)
        print(f"{weights}: held-out error {total.sad:.4f}, gradient error {total.grad:.4f}")
        for name, found in sorted(figures.items(), key=lambda item: -item[1]["sad"]):
            print(f"  {name:16} {found['sad']:8.3f} {found['grad']:8.3f}")
        if arguments.json:
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
            content = {"weights_sha256": digest, **total._asdict(), "families": figures}
            arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
