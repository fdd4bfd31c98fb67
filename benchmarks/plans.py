"""Adaptive plans beside the published grid: patches, error against the truth, and seams, on drawn scenes.

python benchmarks/plans.py --photos PHOTOS            # -> benchmarks/results/plans-<cpu>.json

One 2048x2048 scene of each family of training alphas, coloured from and composed over PHOTOS, by default the example,
with the seed that no weights were trained on. A patch that several plans share runs once. Needs the extras cpu and
train. --cache DIR keeps what the engine makes of every patch, --pictures DIR writes the error maps.
"""

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from litematting_deploy.benchmarks import environment
from litematting_deploy.engines import Engine
from litematting_deploy.evaluation.metrics import sad
from litematting_deploy.matting.guide import transformable_map
from litematting_deploy.matting.inputs import network_image, one_hot
from litematting_deploy.matting.patches import Plan, Stitcher, plan_adaptive, plan_grid, to_levels
from litematting_deploy.runtime import load_engine
from litematting_deploy.runtime.shipped import EXAMPLE_IMAGE
from litematting_deploy.training.families import FAMILIES, layer
from litematting_deploy.training.photos import Photos, list_images
from litematting_deploy.training.procedural import Cut, paint
from litematting_deploy.training.recipe import Augment
from litematting_deploy.training.scenes import compose

SIZE, SEED = 2048, 606
AUGMENT = Augment(trimap_px=(5, 30), combine=0, camouflage=0)
NEAR = 40  # pixels from a patch's border to the parallel lines it is compared with


class Scene(NamedTuple):
    """image (S, S, 3), trimap (S, S) uint8; alpha (S, S) float32, the truth."""

    image: NDArray[np.uint8]
    trimap: NDArray[np.uint8]
    alpha: NDArray[np.float32]


def scene(family: str, photos: Photos) -> Scene:
    """The scene of one family, always the same for the same photos."""
    index = list(FAMILIES).index(family)
    drawn, rng = layer(SEED, index, SIZE, {family: 1.0}), np.random.default_rng([SEED, index])
    alpha, shade = (
        torch.from_numpy(plane.astype(np.float32))[None, None] / 255 for plane in (drawn.alpha, drawn.shade)
    )
    texture, background = photos.crops(rng, 1, SIZE, (0.3, 1.0)), photos.crops(rng, 1, SIZE, (0.5, 1.0))
    apart = torch.zeros(1, 1, 1, 1)
    cut = Cut(alpha, paint(texture, shade, background, apart, rng), background, apart)
    made = compose(cut, AUGMENT, rng)
    image = (made.image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    trimap = (made.trimap[0, 1] * 128 + made.trimap[0, 2] * 255).numpy().astype(np.uint8)
    return Scene(image, trimap, made.alpha[0, 0].numpy())


class Patches:
    """What the engine makes of patches of a scene; kept as `<prefix>-y-x.npz`, if at all."""

    def __init__(self, engine: Engine, made: Scene, prefix: str | None) -> None:
        self._engine, self._made, self._prefix = engine, made, prefix
        self._guide = transformable_map(made.trimap)
        self._kept: dict[tuple[int, int], NDArray[np.float32]] = {}

    def run(self, corner: tuple[int, int], plan: Plan) -> NDArray[np.float32]:
        """Alpha (h, w) of one patch."""
        if corner not in self._kept:
            file = Path("{}-{}-{}.npz".format(self._prefix, *corner)) if self._prefix else None
            if file is not None and file.exists():
                self._kept[corner] = np.load(file)["alpha"]
            else:
                self._kept[corner] = self._run(plan.window(corner))
                if file is not None:
                    np.savez(file, alpha=self._kept[corner])
        return self._kept[corner]

    def _run(self, window: tuple[slice, slice]) -> NDArray[np.float32]:
        inputs = network_image(self._made.image[window])[None], one_hot(self._made.trimap[window])[None]
        alpha: NDArray[np.float32] = self._engine.run(*inputs, self._guide[None, :, *window].copy())[0, 0]
        return alpha


def stitched(plan: Plan, made: Scene, patches: Patches) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Alpha as an 8-bit file has it, and the same stitched without weights."""
    stitcher = Stitcher(plan, made.trimap)
    total, count = (np.zeros(made.trimap.shape, np.float32) for _ in range(2))
    for corner in plan.corners_yx:
        alpha = patches.run(corner, plan)
        stitcher.add(corner, alpha)
        total[plan.window(corner)] += alpha
        count[plan.window(corner)] += 1
    unknown = made.trimap == 128
    hard = np.where(unknown, total / np.maximum(count, 1), made.trimap == 255).clip(0, 1).astype(np.float32)
    levels: NDArray[np.float32] = to_levels(stitcher.finish()).astype(np.float32) / np.float32(255)
    return levels, hard


def seam(error: NDArray[np.float32], unknown: NDArray[np.bool_], plan: Plan) -> tuple[float, float]:
    """Mean step of the error between neighbouring unknown pixels across patch borders, and across lines near them.

    error: (H, W). Where there is no seam the two are alike. Borders of the image are none.
    """
    rng = np.random.default_rng(SEED)
    sums, counts = np.zeros(2), np.zeros(2)
    for turned in (False, True):
        field, known = (error.T, unknown.T) if turned else (error, unknown)
        for corner in plan.corners_yx:
            (start, along), (side, length) = (corner[::-1], plan.patch_hw[::-1]) if turned else (corner, plan.patch_hw)
            rows = slice(along, along + length)
            for line in (start, start + side):
                near = line + rng.choice([-1, 1], 8) * rng.integers(3, NEAR, 8)
                for kind, places in enumerate((np.array([line]), near)):
                    for at in places:
                        if 0 < at < len(field):
                            both = known[at, rows] & known[at - 1, rows]
                            sums[kind] += np.abs(field[at, rows] - field[at - 1, rows])[both].sum()
                            counts[kind] += both.sum()
    means = sums / np.maximum(counts, 1)
    return float(means[0]), float(means[1])


def measure(plan: Plan, made: Scene, patches: Patches) -> tuple[dict[str, float], NDArray[np.float32]]:
    """The figures of one plan on one scene, and its error map."""
    alpha, hard = stitched(plan, made, patches)
    unknown = made.trimap == 128
    across, near = seam(alpha - made.alpha, unknown, plan)
    hard_across, hard_near = seam(hard - made.alpha, unknown, plan)
    figures: dict[str, float] = {
        "patches": len(plan.corners_yx),
        "sad": round(sad(alpha, made.alpha, made.trimap), 3),
        "step_across_borders": round(across, 5),
        "step_near_borders": round(near, 5),
        "unweighted_step_across_borders": round(hard_across, 5),
        "unweighted_step_near_borders": round(hard_near, 5),
    }
    return figures, alpha - made.alpha


def picture(error: NDArray[np.float32], plan: Plan, trimap: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The error map, grey where there is none, with the corners of its patches marked, (H, W, 3) uint8 BGR."""
    shown = np.where(trimap == 128, (128 + 127 * error.clip(-1, 1)), 60).astype(np.uint8)
    colour: NDArray[np.uint8] = np.repeat(shown[..., None], 3, axis=2)
    for y, x in plan.corners_yx:
        for dy in (0, plan.patch_hw[0] - 1):
            for dx in (0, plan.patch_hw[1] - 1):
                cv2.drawMarker(colour, (x + dx, y + dy), (0, 160, 255), cv2.MARKER_CROSS, 40, 3)
    return colour


def compare(
    family: str, made: Scene, engine: Engine, margins: list[int], options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Plan's name -> its figures on one scene."""
    patches = Patches(engine, made, str(options.cache / family) if options.cache else None)
    rows = {}
    for margin in (None, *margins):
        plan = (
            plan_grid(made.trimap, engine.patch_hw)
            if margin is None
            else plan_adaptive(made.trimap, engine.patch_hw, margin)
        )
        name = "grid" if margin is None else f"margin {margin}"
        rows[name], error = measure(plan, made, patches)
        print(f"{family}, {name}: {rows[name]}", flush=True)
        if options.pictures:
            cv2.imwrite(str(options.pictures / f"{family} {name}.png"), picture(error, plan, made.trimap))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of photos")
    parser.add_argument("--margins", default="64,96,128")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    described = environment.describe()
    for folder in filter(None, (options.cache, options.pictures)):
        folder.mkdir(parents=True, exist_ok=True)
    paths = list_images(options.photos) if options.photos else [EXAMPLE_IMAGE]
    photos, margins = Photos(paths, torch.device("cpu")), [int(value) for value in options.margins.split(",")]
    with load_engine(device="cpu") as engine:
        scenes = {
            name: compare(name, scene(name, photos), engine, margins, options) for name in options.families.split(",")
        }
        content: dict[str, Any] = {"environment": described, "engine": engine.describe(), "photos": len(paths)}
    names = next(iter(scenes.values()))
    content["mean"] = {
        name: {key: round(float(np.mean([rows[name][key] for rows in scenes.values()])), 5) for key in names[name]}
        for name in names
    }
    content["scenes"] = scenes
    cpu = re.sub(r"[^a-z0-9]+", "-", str(described["cpu"]).lower()).strip("-")
    output = Path(__file__).parent / "results" / f"plans-{cpu}-{os.cpu_count()}-cores.json"
    output.write_text(json.dumps(content, indent=2) + "\n")
    for name, means in content["mean"].items():
        print(f"mean of {name}: {means}")
    print(output)


if __name__ == "__main__":
    main()
