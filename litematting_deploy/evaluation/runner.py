"""Runs methods over a data set and measures what they make of it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.photo import MAX_MEGAPIXELS
from ..matting.patches import to_levels
from ..matting.trimap import UNKNOWN, VALUES, Encoding
from .datasets import Dataset, Example, read_sample
from .metrics import Scores, force_known, measure

Matte: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.floating[Any]]]
"""image (H, W, 3) uint8 RGB, trimap (H, W) uint8 of 0 / 128 / 255 -> alpha (H, W), 0..1."""


@dataclass(frozen=True)
class Result(Scores):
    """The scores of one method on one image, or their means, and the seconds it took."""

    seconds: float


@dataclass(frozen=True)
class Matted:
    """What a method made of one image: alpha (H, W) uint8, known pixels forced, and how good that is."""

    alpha: NDArray[np.uint8]
    result: Result


def warm_up(methods: Mapping[str, Matte]) -> None:
    """Run every method once on a tiny image, so that no compilation or first call is timed."""
    image = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint8)
    trimap = np.full((32, 32), UNKNOWN, np.uint8)
    trimap[:8], trimap[-8:] = VALUES[0], VALUES[-1]
    for matte in methods.values():
        matte(image, trimap)


def evaluate(
    dataset: Dataset,
    methods: Mapping[str, Matte],
    trimap_encoding: Encoding = "exact",
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Iterator[tuple[Example, dict[str, Matted]]]:
    """Each image of the data set with what each method made of it, one image in memory at a time.

    Alphas are rounded to 8 bits before they are measured, as in the files that the field compares. Seconds are the
    method's alone, without reading, rounding and measuring. Raises `InputError` naming the image.
    """
    for sample in dataset.samples:
        example = read_sample(sample, trimap_encoding, max_megapixels)
        matted = {}
        for name, matte in methods.items():
            started = time.perf_counter()
            try:
                alpha = matte(example.image, example.trimap)
            except InputError as error:
                raise InputError(f"{sample.image}: {error}") from error
            seconds = time.perf_counter() - started
            levels = to_levels(force_known(alpha.astype(np.float32), example.trimap))
            scores = measure(levels / 255, example.alpha / 255, example.trimap)
            matted[name] = Matted(levels, Result(**asdict(scores), seconds=seconds))
        yield example, matted


def mean(results: Sequence[Result]) -> Result:
    """The mean of each score and of the seconds over images, of which there is at least one."""
    return Result(*np.mean([astuple(result) for result in results], axis=0).tolist())
