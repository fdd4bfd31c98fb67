"""Parameters and FLOPs of the model's variants, beside what the paper prints (tables 3 to 5)."""

import logging
from dataclasses import dataclass

import torch

from .._optional import require
from ..model import LiteMatting, ModelConfig


@dataclass(frozen=True)
class Variant:
    """A row of the paper: the network it describes and what it prints for 1024x1024."""

    config: ModelConfig
    published_parameters: str
    published_flops: str


FULL = "full LiteMatting"
VARIANTS = {
    "backbone": Variant(ModelConfig(enb=False, lsrppm=False), "3.6M", "52.8G"),
    "backbone, batch norm": Variant(ModelConfig(enb=False, lsrppm=False, norm="batch"), "3.6M", "51.7G"),
    "backbone + LSRPPM": Variant(ModelConfig(enb=False), "3.8M", "53.0G"),
    FULL: Variant(ModelConfig(), "4.3M", "101.5G"),
    "full, common non-local": Variant(ModelConfig(enb_pooling="none"), "", "144.2G"),
    "full, max pooling": Variant(ModelConfig(enb_pooling="max"), "", "101.4G"),
    "full, average pooling": Variant(ModelConfig(enb_pooling="average"), "", "101.4G"),
}


@dataclass(frozen=True)
class Complexity:
    """Computed `parameters` and `flops` (fvcore's: one multiply-add counts 1) of `variant`, and the paper's figures."""

    variant: str
    parameters: int
    flops: int
    published_parameters: str
    published_flops: str


def count(variant: str, resolution: int = 1024) -> Complexity:
    """Build the variant and count it on one forward pass at resolution², with `adaptive` pooling.

    Raises `DependencyError` without fvcore.
    """
    fvcore = require("fvcore.nn", "bench", "counting FLOPs")
    described = VARIANTS[variant]
    model = LiteMatting(described.config).eval()
    inputs = tuple(torch.zeros(1, channels, resolution, resolution) for channels in (3, 3, 2))
    analysis = fvcore.FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False)
    analysis = analysis.uncalled_modules_warnings(False).tracer_warnings("none")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with torch.inference_mode():
        flops = int(analysis.total())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Complexity(variant, parameters, flops, described.published_parameters, described.published_flops)
