"""How far an engine's alpha is from the fp32 PyTorch model's, and how far it may be."""

import numpy as np

from ..engines.base import Batch
from ..evaluation.metrics import force_known, sad
from ..export.spec import TOLERANCES
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from .row import Accuracy

_LEVELS = np.array((BACKGROUND, UNKNOWN, FOREGROUND), np.uint8)


def tolerance(precision: str) -> float:
    """The export's tolerance; TF32, whose products have fp16's digits, has fp16's, and so has what does not say."""
    return TOLERANCES["fp32" if precision == "fp32" else "fp16"]


def compare(alpha: Batch, reference: Batch, trimap: Batch, limit: float) -> Accuracy:
    """alpha (N, 1, H, W) of one patch N times over, reference (1, 1, H, W), trimap (1, 3, H, W) one-hot.

    The SAD is that of the worst patch, with known pixels forced.
    """
    error = np.abs(alpha - reference)
    levels = _LEVELS[trimap[0].argmax(axis=0)]
    truth = force_known(reference[0, 0], levels)
    worst = max(sad(one[0], truth, levels) for one in alpha)
    return Accuracy(float(error.max()), float(error.mean()), worst, limit)
