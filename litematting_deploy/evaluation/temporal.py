"""Two errors of clips over time: dtSSD and MESSDdt, of Erofeev et al., "Perceptually motivated benchmark for video
matting", BMVC 2015.

Both take predictions and true alphas of successive frames, (H, W) float32 or float64 in 0..1, and are means over pairs
of neighbours. Smaller is better. Nothing is forced or divided here: give predictions whose known pixels are forced, as
`metrics.force_known` does, to measure the unknown ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.motion import Flow, flows, grey_of, places, sampled
from .datasets import Example
from .metrics import Alpha, Matted


@dataclass(frozen=True)
class ClipScores:
    """The errors over time of one clip: how many frames it has, and the means over their neighbours."""

    frames: int
    dtssd: float
    messddt: float


class ClipMeter:
    """Measures methods over time, frame by frame; two frames are in memory at a time."""

    def __init__(self) -> None:
        self._before: tuple[Example, Mapping[str, Matted]] | None = None
        self._found: dict[str, dict[str, list[tuple[float, float]]]] = {}

    def add(self, example: Example, matted: Mapping[str, Matted]) -> None:
        """Add the next frame, and what each method made of it; after a frame of another size a clip begins anew."""
        before, self._before = self._before, (example, matted)
        if not example.clip or before is None:
            return
        last, was = before
        if last.clip != example.clip or last.image.shape != example.image.shape:
            return
        motion = motion_of(last.image, example.image)
        truths = [last.alpha / 255, example.alpha / 255]
        for name, item in matted.items():
            given = [was[name].alpha / 255, item.alpha / 255]
            pair = dtssd(given, truths), messddt(given, truths, [motion])
            self._found.setdefault(example.clip, {}).setdefault(name, []).append(pair)

    def scores(self) -> dict[str, dict[str, ClipScores]]:
        """Return the errors of each clip and method."""
        return {
            clip: {name: ClipScores(len(pairs) + 1, *np.mean(pairs, axis=0).tolist()) for name, pairs in row.items()}
            for clip, row in self._found.items()
        }


def dtssd(predictions: Sequence[Alpha], alphas: Sequence[Alpha]) -> float:
    """Return the square root of the sum over pixels of the squared difference of changes, the mean over neighbours.

    The change is that of a pixel from a frame to the next. Raises `InputError` for other than two or more frames of one
    size.
    """
    errors = _errors(predictions, alphas)
    return float(np.mean([np.sqrt(np.square(after - before).sum()) for before, after in pairwise(errors)]))


def messddt(predictions: Sequence[Alpha], alphas: Sequence[Alpha], motions: Sequence[Flow]) -> float:
    """Return the sum over pixels of the absolute change of the squared error along motion, the mean over neighbours.

    motions: from each frame to the next; pixels whose motion is not trusted do not count. Raises `InputError`.
    """
    squares = [np.square(error) for error in _errors(predictions, alphas)]
    if len(motions) != len(squares) - 1:
        raise InputError(f"`motions` must have one entry fewer than the {len(squares)} frames; got {len(motions)}")
    sums = []
    for (before, after), motion in zip(pairwise(squares), motions, strict=True):
        sums.append(np.abs(before - sampled(after, places(motion.vectors)))[motion.trusted].sum())
    return float(np.mean(sums))


def motion_of(image: NDArray[np.uint8], following: NDArray[np.uint8]) -> Flow:
    """Return the motion of a frame to the next, both (H, W, 3) uint8 RGB, trusted where flow passes its check.

    The benchmark of the paper has block motion of its own; this is `matting.motion`.
    """
    return flows(grey_of(image), grey_of(following))[0].enlarged((image.shape[0], image.shape[1]))


def _errors(predictions: Sequence[Alpha], alphas: Sequence[Alpha]) -> list[NDArray[np.float64]]:
    """Return how far each prediction is from its alpha, (H, W) float64. Raises `InputError`."""
    if len(predictions) != len(alphas) or len(alphas) < 2:
        raise InputError(
            f"`predictions` and `alphas` must have the same number of frames, at least two; got {len(predictions)} "
            f"and {len(alphas)}"
        )
    sizes = {array.shape for array in (*predictions, *alphas)}
    if len(sizes) > 1:
        raise InputError(f"`predictions` and `alphas` must have the same size; got {sorted(sizes)}")
    return [np.subtract(given, true, dtype=np.float64) for given, true in zip(predictions, alphas, strict=True)]
