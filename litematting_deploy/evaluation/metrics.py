"""The four errors of the field: SAD, MSE, Grad and Conn, as the common toolboxes compute them.

All take a prediction, a ground truth and the trimap that was given: prediction and alpha (H, W) float32 or float64 in
0..1, trimap (H, W) uint8 of 0 / 128 / 255. All first force the prediction's known pixels to 0 and 1 (`force_known`),
and raise `InputError` on anything else than such arrays. Smaller is better.

SAD and MSE: Rhemann et al., "A perceptually motivated online benchmark for image matting", CVPR 2009, as are Grad and
Conn, whose constants are those of the evaluation code of Xu et al., "Deep Image Matting", CVPR 2017.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN, decode

Float = TypeVar("Float", np.float32, np.float64)
Alpha = NDArray[np.float32] | NDArray[np.float64]

GRAD_SIGMA, GRAD_HALF_SIZE = 1.4, 4
# Not 0.1, 0.2, ...: the sixth is 0.6000000000000001, which the grey level 153 / 255 does not reach.
CONN_THRESHOLDS = np.arange(0, 1.1, 0.1)
CONN_TOLERANCE = 0.15


@dataclass(frozen=True)
class Scores:
    """The four errors of one prediction, or their means over images, each in the unit its function states."""

    sad: float
    mse: float
    grad: float
    conn: float


@dataclass(frozen=True)
class Result(Scores):
    """The scores of one method on one image, or their means, and the seconds it took."""

    seconds: float


@dataclass(frozen=True)
class Matted:
    """What a method made of one image: alpha (H, W) uint8, 0..255, known pixels forced; and how good that is."""

    alpha: NDArray[np.uint8]
    result: Result


def measure(prediction: Alpha, alpha: Alpha, trimap: NDArray[np.uint8]) -> Scores:
    """Return all four errors; see the module for arguments and what is raised."""
    arguments = prediction, alpha, trimap
    return Scores(sad(*arguments), mse(*arguments), grad(*arguments), conn(*arguments))


def mean(results: Sequence[Result]) -> Result:
    """Return the mean of each score and of the seconds over images, of which there is at least one."""
    return Result(*np.mean([astuple(result) for result in results], axis=0).tolist())


def sad(prediction: Alpha, alpha: Alpha, trimap: NDArray[np.uint8]) -> float:
    """Return the sum of absolute differences over the whole image, in thousands."""
    prediction, alpha, _ = _checked(prediction, alpha, trimap)
    return float(np.abs(prediction - alpha).sum() / 1000)


def mse(prediction: Alpha, alpha: Alpha, trimap: NDArray[np.uint8]) -> float:
    """Return the mean squared difference over the unknown pixels, of 1; papers print it in thousandths.

    Raises `InputError` also for a trimap without unknown pixels, which has no mean.
    """
    prediction, alpha, unknown = _checked(prediction, alpha, trimap)
    if not unknown.any():
        raise InputError("the trimap has no unknown pixels, so there is no mean over them; leave this image out")
    return float(np.square(prediction - alpha)[unknown].mean())


def grad(prediction: Alpha, alpha: Alpha, trimap: NDArray[np.uint8]) -> float:
    """Return the sum over the unknown pixels of the squared difference of gradient magnitudes, in thousands.

    Both alphas are stretched to 0..1 before; gradients are Gaussian derivatives with sigma 1.4.
    """
    prediction, alpha, unknown = _checked(prediction, alpha, trimap)
    difference = _gradient_magnitude(prediction) - _gradient_magnitude(alpha)
    return float(np.square(difference)[unknown].sum() / 1000)


def conn(prediction: Alpha, alpha: Alpha, trimap: NDArray[np.uint8]) -> float:
    """Return the sum over the unknown pixels of the difference in connectivity to the common region, in thousands.

    The opaque region is, at each threshold, the largest 4-connected one where both alphas reach it; of equally large
    ones, the first in reading order.
    """
    prediction, alpha, unknown = _checked(prediction, alpha, trimap)
    # The level of a pixel is the last threshold at which it belongs to the region.
    level = np.ones_like(alpha)
    inside = np.ones(alpha.shape, bool)
    for below, threshold in pairwise(CONN_THRESHOLDS):
        region = _largest_component((prediction >= threshold) & (alpha >= threshold))
        level[inside & ~region] = below
        inside &= region
    return float(np.abs(_connectivity(prediction, level) - _connectivity(alpha, level))[unknown].sum() / 1000)


def force_known(prediction: NDArray[Float], trimap: NDArray[np.uint8]) -> NDArray[Float]:
    """Return a copy of `prediction` (H, W) that is 0 where `trimap` (H, W) is 0, and 1 where it is 255."""
    forced = prediction.copy()
    forced[trimap == BACKGROUND] = 0
    forced[trimap == FOREGROUND] = 1
    return forced


def _checked(
    prediction: Alpha, alpha: Alpha, trimap: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the forced prediction and alpha in float64, and where the trimap is unknown. Raises `InputError`."""
    for name, array in (("prediction", prediction), ("alpha", alpha)):
        if array.ndim != 2 or array.dtype not in (np.float32, np.float64):
            raise InputError(
                f"{name} is {array.shape} {array.dtype}, expected (H, W) float32 or float64 in 0..1; divide grey "
                "levels by 255"
            )
        if not array.size or array.shape != trimap.shape:
            raise InputError(f"{name} is {array.shape}, the trimap {trimap.shape}; the sizes must match and not be 0")
        if not (array.min() >= 0 and array.max() <= 1):
            raise InputError(f"{name} ranges from {array.min():g} to {array.max():g}, expected 0..1; scale or clip it")
    decode(trimap)
    return force_known(_to_float64(prediction), trimap), _to_float64(alpha), trimap == UNKNOWN


def _to_float64(alpha: Alpha) -> NDArray[np.float64]:
    """Return an alpha in float64, where a level n / 255 of float32 is n / 255 again: 153 / 255 would pass 0.6."""
    if alpha.dtype == np.float64:
        return alpha.astype(np.float64)
    level = np.rint(alpha.astype(np.float64) * 255) / 255
    return np.where(level.astype(np.float32) == alpha, level, alpha)


def _gradient_magnitude(alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how steep an alpha (H, W) is at each pixel, once it is stretched to 0..1."""
    spread = alpha.max() - alpha.min()
    # A flat alpha has no gradient, whatever it is divided by.
    stretched = (alpha - alpha.min()) / (spread or 1)
    x = np.arange(-GRAD_HALF_SIZE, GRAD_HALF_SIZE + 1)
    gaussian = np.exp(-np.square(x) / (2 * GRAD_SIGMA**2))
    derivative = x * gaussian
    smooth, slope = gaussian / np.linalg.norm(gaussian), derivative / np.linalg.norm(derivative)
    along_x, along_y = (
        cv2.sepFilter2D(stretched, cv2.CV_64F, row, column, borderType=cv2.BORDER_REPLICATE)
        for row, column in ((slope, smooth), (smooth, slope))
    )
    return np.hypot(along_x, along_y)


def _largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest 4-connected region of a mask (H, W); nothing of an empty one."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return labels == 1 + areas.argmax() if areas.size else mask


def _connectivity(alpha: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how connected each pixel (H, W) is: 1 less its distance to the level at which it leaves the region."""
    distance = alpha - level
    return 1 - np.where(distance >= CONN_TOLERANCE, distance, 0)
