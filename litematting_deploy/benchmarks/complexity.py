"""Parameters and FLOPs of the model's variants."""

import logging
from dataclasses import dataclass

import torch

from .._optional import require
from ..model import LiteMatting, ModelConfig
from .paper import FULL

VARIANTS = {
    "backbone": ModelConfig(enb=False, lsrppm=False),
    "backbone, batch norm": ModelConfig(enb=False, lsrppm=False, norm="batch"),
    "backbone + LSRPPM": ModelConfig(enb=False),
    FULL: ModelConfig(),
    "full, common non-local": ModelConfig(enb_pooling="none"),
    "full, max pooling": ModelConfig(enb_pooling="max"),
    "full, average pooling": ModelConfig(enb_pooling="average"),
}
"""The rows of the paper's tables 3 to 5 that are networks of ours."""


@dataclass(frozen=True)
class Complexity:
    """Computed `parameters` and `flops` (fvcore's: one multiply-add counts 1) of `variant` at resolution²."""

    variant: str
    resolution: int
    parameters: int
    flops: int


def count(variant: str, resolution: int = 1024) -> Complexity:
    """Build the variant and count it on one forward pass at resolution², with `adaptive` pooling.

    Raises `DependencyError` without fvcore.
    """
    fvcore = require("fvcore.nn", "bench", "counting FLOPs")
    model = LiteMatting(VARIANTS[variant]).eval()
    inputs = tuple(torch.zeros(1, channels, resolution, resolution) for channels in (3, 3, 2))
    analysis = fvcore.FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False)
    analysis = analysis.uncalled_modules_warnings(False).tracer_warnings("none")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with torch.inference_mode():
        flops = int(analysis.total())
    return Complexity(variant, resolution, sum(parameter.numel() for parameter in model.parameters()), flops)
