"""Trimaps carried between keyframes, and steadied mattes, on drawn clips with exact truth.

ltm-export WEIGHTS.safetensors -o m256.onnx --height 256 --width 256 --norm folded --batch 1
python benchmarks/clips.py m256.onnx --photos PHOTOS [--noises NAME ...] [--cache DIR] [--sheets DIR] [--json FILE]

Eight clips of 25 frames (`moving_scenes.py`), with the noise of good light, with grain, and compressed; each is matted
with a trimap for every frame and with keyframes every 12 frames. Each of these mattes is also averaged over time
(`--steady --no-refine`), refined (`--refine`), and both (`--steady`). SAD (thousands) and dtSSD are over the unknown
pixels of the trimaps that every frame has; SAD over the whole picture tells what carried trimaps spoil outside these.
--cache keeps the network's mattes: an interrupted run continues, and a try costs only what it changes. --sheets draws
contact sheets. Needs the extras train and video. Takes five CPU minutes.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from moving_scenes import FAMILIES_DRAWN, MovingScene, compressed, draw
from numpy.typing import NDArray

from litematting_deploy import Matter
from litematting_deploy.benchmarks import environment
from litematting_deploy.evaluation.metrics import force_known, sad
from litematting_deploy.evaluation.temporal import dtssd, messddt, motion_of
from litematting_deploy.matting.carrying import carried
from litematting_deploy.matting.composite import trimap_preview
from litematting_deploy.matting.motion import Flow, grey_of
from litematting_deploy.matting.refine import refine
from litematting_deploy.matting.steady import Moment, steadied
from litematting_deploy.matting.trimap import UNKNOWN

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
APART = 12
NOISES: dict[str, tuple[float, int | None]] = {"2": (2, None), "6": (6, None), "2, H.264": (2, 23)}
"""Levels of noise, and the constant rate factor of H.264, by what tables call it."""


class Figures(NamedTuple):
    """The errors of a way to matte one clip, or their means. unknown: share of unknown pixels in its trimaps."""

    sad: float
    dtssd: float
    messddt: float
    sad_whole: float
    unknown: float


Ways = dict[str, dict[str, Figures]]
"""Figures by the trimaps that a clip is matted with, and by what is done to its alphas."""
Found = dict[str, dict[str, Ways]]
"""The same by the noise (a key of `NOISES`) and by clip."""


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


def treated(
    scene: MovingScene, trimaps: Sequence[Pixels], alphas: list[Floats], seconds: dict[str, list[float]]
) -> dict[str, list[Floats]]:
    """Return the alphas of a scene by what is done to them, the plain ones first, and add CPU seconds per frame."""

    def averaged(given: list[Floats], *, refined: bool) -> list[Floats]:
        def moment(index: int) -> Moment:
            return Moment(index, scene.images[index], trimaps[index])

        return list(
            steadied(range(len(given)), lambda indices: map(given.__getitem__, indices), moment, refined=refined)
        )

    began = time.process_time()
    sharp = [refine(*each) for each in zip(scene.images, trimaps, alphas, strict=True)]
    middle = time.process_time()
    steady = averaged(sharp, refined=True)
    seconds["refining"].append((middle - began) / len(alphas))
    seconds["averaging"].append((time.process_time() - middle) / len(alphas))
    return {"plain": alphas, "averaged": averaged(alphas, refined=False), "refined": sharp, "steady": steady}


def measured(
    scene: MovingScene, trimaps: Sequence[Pixels], alphas: Sequence[Floats], motions: Sequence[Flow]
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
    """Draw some frames: true and carried trimap, true alpha, and the alphas of each way."""
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
    parser.add_argument("--noises", nargs="*", choices=NOISES, default=list(NOISES))
    for name in ("cache", "sheets", "json"):
        parser.add_argument(f"--{name}", type=Path)
    options = parser.parse_args()
    for folder in filter(None, (options.cache, options.sheets)):
        folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    photos = sorted(options.photos.glob("*.jpg"))
    found: Found = {}
    seconds: dict[str, list[float]] = {"carrying": [], "refining": [], "averaging": []}
    where = environment.describe()
    with Matter.load(options.engine, threads=1) as matter:
        for noise in options.noises:
            clips = found.setdefault(noise, {})
            levels, rate = NOISES[noise]
            for number, family in enumerate(FAMILIES_DRAWN):
                scene = draw(number, photos, noise=levels)
                if rate is not None:
                    scene = compressed(scene, rate)
                motions = [motion_of(*pair) for pair in zip(scene.images, scene.images[1:], strict=False)]
                ways: dict[str, list[Pixels]] = {"every frame": list(scene.trimaps)}
                for apart in options.apart:
                    began = time.process_time()
                    ways[f"keyframes every {apart}"] = carry(scene, apart)
                    seconds["carrying"].append((time.process_time() - began) / len(scene.images))
                for way, trimaps in ways.items():
                    alphas = treated(scene, trimaps, matted(matter, scene, trimaps, options.cache), seconds)
                    row = {name: measured(scene, trimaps, each, motions) for name, each in alphas.items()}
                    clips.setdefault(family, {})[way] = row
                    print(f"{family}, noise {noise}, {way}", *_texts(row), sep="\n  ", flush=True)
                    if options.sheets is not None:
                        name = f"{family} {noise} {way}.png"
                        sheet(scene, trimaps, list(alphas.values()), options.sheets / name)
                if options.json is not None:  # after every clip, so that an interrupted run leaves what it has
                    write(options.json, found, seconds, where)
    for noise, clips in found.items():
        for way, means in means_of(clips).items():
            print(f"mean, noise {noise}, {way}", *_texts(means), sep="\n  ")
    print(f"CPU seconds a frame of 256x256, one thread: {medians(seconds)}")


def means_of(clips: dict[str, Ways]) -> Ways:
    """Return the means over clips of each way and treatment."""
    first = next(iter(clips.values()))
    return {
        way: {name: Figures(*np.mean([clip[way][name] for clip in clips.values()], axis=0).tolist()) for name in row}
        for way, row in first.items()
    }


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return the median of each list of seconds."""
    return {name: round(float(np.median(each)), 4) for name, each in seconds.items() if each}


def write(path: Path, found: Found, seconds: dict[str, list[float]], where: dict[str, Any]) -> None:
    """Write what was measured, and on what."""
    errors = {
        noise: {family: _rounded(ways) for family, ways in [*clips.items(), ("mean", means_of(clips))]}
        for noise, clips in found.items()
    }
    content = {"clip_errors_by_noise": errors, "cpu_seconds_per_frame": medians(seconds), "environment": where}
    path.write_text(json.dumps(content, indent=1) + "\n")


def _rounded(ways: Ways) -> dict[str, dict[str, dict[str, float]]]:
    return {
        way: {name: {key: round(value, 4) for key, value in each._asdict().items()} for name, each in row.items()}
        for way, row in ways.items()
    }


def _texts(row: dict[str, Figures]) -> list[str]:
    plain = row["plain"]
    return [
        f"{name}: SAD {each.sad:.4f} ({each.sad / plain.sad:.3f}), dtSSD {each.dtssd:.3f} "
        f"({each.dtssd / plain.dtssd:.3f}), MESSDdt {each.messddt:.2f} ({each.messddt / plain.messddt:.3f}), whole SAD "
        f"{each.sad_whole:.4f}, unknown {each.unknown:.1%}"
        for name, each in row.items()
    ]


if __name__ == "__main__":
    main()
