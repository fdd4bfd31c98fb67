"""Trimaps carried between keyframes, and steadied mattes, on drawn clips with exact truth.

ltm-export WEIGHTS.safetensors -o m256.onnx --height 256 --width 256 --norm folded --batch 1
python benchmarks/clips.py m256.onnx --photos PHOTOS [--cache DIR] [--sheets DIR] [--json FILE]

Eight clips of 25 frames (`moving_scenes.py`), each matted with a trimap for every frame and with keyframes every 12
frames; both also steadied. SAD (thousands) and dtSSD are over the unknown pixels of
the trimaps that every frame has; SAD over the whole picture tells what carried trimaps spoil outside these. --cache
keeps mattes, so that a try matters only for what it changes; --sheets draws contact sheets. Needs the extra train.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from moving_scenes import FAMILIES_DRAWN, MovingScene, draw
from numpy.typing import NDArray

from litematting_deploy import Matter
from litematting_deploy.benchmarks import environment
from litematting_deploy.evaluation.metrics import force_known, sad
from litematting_deploy.evaluation.temporal import Motion, dtssd, messddt, motion_of
from litematting_deploy.matting.carrying import carried
from litematting_deploy.matting.composite import trimap_preview
from litematting_deploy.matting.motion import grey_of
from litematting_deploy.matting.steady import Moment, steadied
from litematting_deploy.matting.trimap import UNKNOWN

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
APART = 12


class Figures(NamedTuple):
    """The errors of a way to matte one clip, or their means. unknown: share of unknown pixels in its trimaps."""

    sad: float
    dtssd: float
    messddt: float
    sad_whole: float
    unknown: float


def carry(scene: MovingScene, apart: int) -> list[Pixels]:
    """Return a trimap for each frame of a scene, of which every so many are keyframes."""
    greys, trimaps = [grey_of(image) for image in scene.images], list(scene.trimaps)
    for start in range(0, len(trimaps) - 1, apart):
        stop = min(start + apart, len(trimaps) - 1)
        last = scene.trimaps[stop] if stop - start == apart else None
        found = carried(greys[start : stop + 1], scene.trimaps[start], last)
        for index, packed in enumerate(found, start + 1):
            trimaps[index] = packed.opened()
    return trimaps


def matted(matter: Matter, scene: MovingScene, trimaps: Sequence[Pixels], cache: Path | None) -> list[Floats]:
    """Return the alphas of a scene, from the cache where they are there."""
    digest = hashlib.blake2b(scene.images.tobytes() + np.stack(trimaps).tobytes(), digest_size=8).hexdigest()
    kept = None if cache is None else cache / f"{digest}.npz"
    if kept is not None and kept.exists():
        with np.load(kept) as found:
            return list(found["alphas"])
    alphas = [matter(image, trimap) for image, trimap in zip(scene.images, trimaps, strict=True)]
    if kept is not None:
        np.savez_compressed(kept, alphas=np.stack(alphas))
    return alphas


def steady(scene: MovingScene, trimaps: Sequence[Pixels], alphas: Sequence[Floats]) -> list[Floats]:
    """Return the steadied alphas of a scene."""
    return list(
        steadied(
            range(len(alphas)),
            lambda indices: (alphas[index] for index in indices),
            lambda index: Moment(index, scene.images[index], trimaps[index]),
        )
    )


def measured(
    scene: MovingScene, trimaps: Sequence[Pixels], alphas: Sequence[Floats], motions: Sequence[Motion]
) -> Figures:
    """Return the errors of a way to matte a scene."""
    triples = list(zip(alphas, scene.alphas, scene.trimaps, strict=True))
    forced = [force_known(alpha, trimap) for alpha, _, trimap in triples]
    truths = list(scene.alphas)
    return Figures(
        float(np.mean([sad(*triple) for triple in triples])),
        # What the trimaps know is exact but for what lies below `moving_scenes`' threshold.
        dtssd(forced, [force_known(truth, trimap) for _, truth, trimap in triples]),
        messddt(forced, truths, motions),
        float(np.mean([np.abs(alpha - truth).sum() / 1000 for alpha, truth, _ in triples])),
        float(np.mean(np.stack(trimaps) == UNKNOWN)),
    )


def sheet(scene: MovingScene, trimaps: Sequence[Pixels], alphas: Sequence[Sequence[Floats]], path: Path) -> None:
    """Draw some frames: true and carried trimap, true alpha and those of each way, steadied ones last."""
    rows = []
    for index in (2, 4, 6, 8, 10):
        bands, mattes = [scene.trimaps[index], trimaps[index]], [scene.alphas[index], *(each[index] for each in alphas)]
        previews = [trimap_preview(band, scene.images[index]) for band in bands]
        greys = [np.rint(matte * 255).astype(np.uint8) for matte in mattes]
        rows.append(np.hstack([*previews, *(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB) for grey in greys)]))
    cv2.imwrite(str(path), np.vstack(rows)[:, :, ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--apart", type=int, nargs="*", default=[APART], help="frames between keyframes")
    for name in ("cache", "sheets", "json"):
        parser.add_argument(f"--{name}", type=Path)
    options = parser.parse_args()
    for folder in filter(None, (options.cache, options.sheets)):
        folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    photos = sorted(options.photos.glob("*.jpg"))
    clips: dict[str, dict[str, Figures]] = {}
    seconds: dict[str, list[float]] = {"carrying": [], "steadying": []}
    with Matter.load(options.engine, threads=1) as matter:
        for number, family in enumerate(FAMILIES_DRAWN):
            scene = draw(number, photos)
            motions = [motion_of(*pair) for pair in zip(scene.images, scene.images[1:], strict=False)]
            ways: dict[str, list[Pixels]] = {"every frame": list(scene.trimaps)}
            for apart in options.apart:
                began = time.process_time()
                ways[f"keyframes every {apart}"] = carry(scene, apart)
                seconds["carrying"].append((time.process_time() - began) / len(scene.images))
            row, drawn = {}, []
            for way, trimaps in ways.items():
                alphas = matted(matter, scene, trimaps, options.cache)
                began = time.process_time()
                steadier = steady(scene, trimaps, alphas)
                seconds["steadying"].append((time.process_time() - began) / len(scene.images))
                row[way] = measured(scene, trimaps, alphas, motions)
                row[f"{way}, steady"] = measured(scene, trimaps, steadier, motions)
                drawn += [alphas, steadier]
            clips[family] = row
            print(family, *(f"{way}: {_text(found)}" for way, found in row.items()), sep="\n  ", flush=True)
            if options.json is not None:  # after every clip, since each takes minutes on a busy machine
                write(options.json, clips, seconds)
            if options.sheets is not None:
                sheet(scene, ways[f"keyframes every {options.apart[0]}"], drawn[:4], options.sheets / f"{family}.png")
    print("mean", *(f"{way}: {_text(found)}" for way, found in means_of(clips).items()), sep="\n  ")
    print(f"CPU seconds a frame of 256x256, one thread: {medians(seconds)}")


def means_of(clips: dict[str, dict[str, Figures]]) -> dict[str, Figures]:
    """Return the means over clips of each way."""
    ways = next(iter(clips.values()))
    return {way: Figures(*np.mean([row[way] for row in clips.values()], axis=0).tolist()) for way in ways}


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return the median of each list of seconds."""
    return {name: round(float(np.median(each)), 4) for name, each in seconds.items()}


def write(path: Path, clips: dict[str, dict[str, Figures]], seconds: dict[str, list[float]]) -> None:
    """Write what was measured, and on what."""
    content = {
        "means": {way: found._asdict() for way, found in means_of(clips).items()},
        "clips": {family: {way: found._asdict() for way, found in row.items()} for family, row in clips.items()},
        "cpu_seconds_per_frame": medians(seconds),
        "environment": environment.describe(),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def _text(found: Figures) -> str:
    return (
        f"SAD {found.sad:.4f}, dtSSD {found.dtssd:.3f}, MESSDdt {found.messddt:.2f}, whole SAD {found.sad_whole:.4f}, "
        f"unknown {found.unknown:.1%}"
    )


if __name__ == "__main__":
    main()
