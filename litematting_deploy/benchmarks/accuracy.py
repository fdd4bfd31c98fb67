"""How near an engine's alpha is to PyTorch's, and how near it must be."""

import numpy as np

from ..engines.base import Batch
from ..evaluation.metrics import force_known, sad
from ..export.spec import TOLERANCES
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from .results import Accuracy

_LEVELS = np.array((BACKGROUND, UNKNOWN, FOREGROUND), np.uint8)


def tolerance(precision: str) -> float:
    """Return the export's tolerance. TF32, whose products have fp16's digits, has fp16's, as has an unknown one."""
    return TOLERANCES["fp32" if precision == "fp32" else "int8" if precision == "int8" else "fp16"]


def accuracy(alpha: Batch, reference: Batch, trimap: Batch, limit: float) -> Accuracy:
    """Compare alphas with PyTorch's. The SAD is that of the worst patch, with known pixels forced.

    alpha: (N, 1, H, W) float32, of one patch N times over.
    reference: (1, 1, H, W) float32, 0..1.
    trimap: (1, 3, H, W) float32, one-hot.
    limit: largest difference that is accepted.
    """
    error = np.abs(alpha - reference)
    levels = _LEVELS[trimap[0].argmax(axis=0)]
    truth = force_known(reference[0, 0], levels)
    worst = max(sad(one[0], truth, levels) for one in alpha)
    return Accuracy(float(error.max()), float(error.mean()), worst, limit)
