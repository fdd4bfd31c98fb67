"""Foreground colours against drawn truth, ours beside PyMatting's and Blur-Fusion: error and CPU time, one thread.

NUMBA_NUM_THREADS=1 python -m benchmarks.foreground PHOTOS [--size 512] [--each 3] [--json FILE]

Needs the extras train and peers; PyMatting takes its threads from NUMBA_NUM_THREADS. PHOTOS: a folder of JPEGs, which
colour the drawn alphas and what lies behind them. Light is mixed, stored as 8-bit sRGB, and the light of the foreground
estimated. Printed for each family, and as the mean over families: alpha times
the error over soft pixels, of light (in 1/255) and of sRGB levels; the median of CPU seconds.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pymatting import estimate_foreground_ml

from litematting_deploy.benchmarks import environment
from litematting_deploy.files import replace_file
from litematting_deploy.images.colour import SRGB
from litematting_deploy.images.photo import read_image
from litematting_deploy.training.families import FAMILIES
from tests.matting.unmixed import foreground_light

Floats = NDArray[np.float32]


def blur_fusion(light: Floats, alpha: Floats) -> Floats:
    """Forte 2021, twice: with windows of 90 and of 6 pixels."""
    cover = alpha[:, :, None]
    front, behind = light, light
    for side in (90, 6):
        sums = [cv2.blur(part, (side, side)) for part in (alpha, front * cover, 1 - alpha, behind * (1 - cover))]
        front, behind = (part / (weight[:, :, None] + 1e-5) for weight, part in (sums[:2], sums[2:]))
        front = (front + cover * (light - cover * front - (1 - cover) * behind)).clip(0, 1).astype(np.float32)
    return front


METHODS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "PyMatting": estimate_foreground_ml,
    "Blur-Fusion twice": blur_fusion,
    "ours": foreground_light,
}


def crop(photos: list[Path], rng: Generator, size: int) -> Floats:
    """Part of a photo at a random scale, (size, size, 3), 0..1."""
    photo = read_image(photos[int(rng.integers(len(photos)))])
    side = min(int(size * rng.uniform(0.5, 2)), *photo.shape[:2])
    y, x = (int(rng.integers(most - side + 1)) for most in photo.shape[:2])
    part = np.ascontiguousarray(photo[y : y + side, x : x + side])
    return np.asarray(cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA) / np.float32(255), np.float32)


def scene(family: str, index: int, size: int, photos: list[Path]) -> tuple[Floats, Floats, Floats]:
    """Light, alpha and the foreground's true light of a drawn layer."""
    rng = np.random.default_rng([7, index, list(FAMILIES).index(family)])
    layer = FAMILIES[family](rng, size)
    colour = crop(photos, rng, size)
    if index % 3:  # a plain colour with some of the photo's detail
        detail = colour - colour.mean(axis=(0, 1))
        colour = np.asarray(rng.uniform(0.1, 0.9, 3) + detail * rng.uniform(0.05, 0.6), np.float32)
    shade = (layer.shade / np.float32(128))[:, :, None] ** rng.uniform(0.3, 1.2)
    planes = [np.rint((part.clip(0, 1)) * 255) for part in ((colour.clip(0, 1) * shade), crop(photos, rng, size))]
    front, behind = (SRGB.decode(part.astype(np.uint8)) for part in planes)
    alpha = (layer.alpha / np.float32(255)).astype(np.float32)
    mixed = alpha[:, :, None] * front + (1 - alpha[:, :, None]) * behind
    return SRGB.decode(SRGB.encode(mixed, np.uint8)), alpha, front


def errors(found: Floats, truth: Floats, alpha: Floats) -> tuple[float, float]:
    """Alpha times the error over soft pixels, of light in 1/255 and of sRGB levels."""
    soft = (alpha > 0) & (alpha < 1)
    weight = alpha[soft][:, None]
    levels = [SRGB.encode(part[soft], np.uint16) / np.float32(257) for part in (found, truth)]
    light = 255 * (weight * np.abs(found[soft] - truth[soft])).mean()
    return float(light), float((weight * np.abs(levels[0] - levels[1])).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--each", type=int, default=3, help="scenes of each family")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    options = parser.parse_args()
    where = environment.describe()
    photos = sorted(options.photos.glob("*.jpg"))
    cv2.setNumThreads(1)
    means: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for family in FAMILIES:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
        for index in range(options.each):
            light, alpha, truth = scene(family, index, options.size, photos)
            for name, method in METHODS.items():
                began = time.process_time()
                estimate = method(light, alpha)
                seconds[name].append(time.process_time() - began)
                found[name].append(errors(estimate, truth, alpha))
        for name, each in found.items():
            light_error, level_error = np.mean(each, axis=0)
            means[name].append((float(light_error), float(level_error)))
        print(family, *(f"{name} {each[-1][0]:.2f} {each[-1][1]:.2f}" for name, each in means.items()), sep="  ")
    for name, each in means.items():
        light_error, level_error = np.mean(each, axis=0)
        print(f"{name}: light {light_error:.2f}, sRGB {level_error:.2f}, {np.median(seconds[name]):.3f} s")
    if options.json is not None:
        errors_of = {name: dict(zip(FAMILIES, each, strict=True)) for name, each in means.items()}
        content = {
            "environment": where,
            "size": options.size,
            "scenes_of_each_family": options.each,
            "cpu_seconds": {name: float(np.median(each)) for name, each in seconds.items()},
            "foreground_errors": errors_of,
        }
        replace_file(options.json, (json.dumps(content, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
