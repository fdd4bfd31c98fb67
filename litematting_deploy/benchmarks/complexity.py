"""Parameters and FLOPs of the model's variants, and what the paper prints for them and for other methods.

The paper is Kang et al., ACCV 2022: SAD, MSE (times 1000), Grad and Conn on the Adobe Composition-1k test set,
parameters and FLOPs at 1024x1024. None of its figures was measured here.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._optional import require

FULL = "full LiteMatting"
"""The variant that the paper proposes."""
VARIANTS: dict[str, dict[str, Any]] = {
    "backbone": {"enb": False, "lsrppm": False},
    "backbone, batch norm": {"enb": False, "lsrppm": False, "norm": "batch"},
    "backbone + LSRPPM": {"enb": False},
    FULL: {},
    "full, common non-local": {"enb_pooling": "none"},
    "full, max pooling": {"enb_pooling": "max"},
    "full, average pooling": {"enb_pooling": "average"},
}
"""The rows of the paper's tables 3 to 5 that are networks of ours, with the arguments of their `ModelConfig`."""


@dataclass(frozen=True)
class Published:
    """A row of the paper. variant: the key of `VARIANTS` that it describes; empty for other networks."""

    method: str
    variant: str = ""
    sad: str = ""
    mse: str = ""
    grad: str = ""
    conn: str = ""
    parameters: str = ""
    flops: str = ""


TABLES: dict[str, tuple[Published, ...]] = {
    "Table 1: methods": (
        Published("KNN Matting", "", "175.4", "103.0", "124.1", "176.4"),
        Published("Closed-Form", "", "168.1", "91.0", "126.9", "167.9"),
        Published("DIM", "", "50.4", "14.0", "31.0", "50.8", "130.6M", "511.0G"),
        Published("IndexNet", "", "45.8", "13.0", "25.6", "43.7", "6.0M", "116.6G"),
        Published("ContextNet", "", "35.8", "8.2", "17.3", "33.2", "107.5M", "292.5G"),
        Published("GCAMatting", "", "35.3", "9.1", "16.9", "32.5", "25.3M", "257.3G"),
        Published("LiteMatting", FULL, "30.1", "6.1", "13.1", "26.2", "4.3M", "101.5G"),
        Published("SIM", "", "27.7", "5.6", "10.7", "24.4", "44.5M", "1001.9G"),
        Published("LFPNet", "", "23.6", "4.1", "8.4", "18.5", "112.2M", "1539.4G"),
    ),
    "Table 3: backbones": (
        Published("ShuffleNet", "", "37.3", "8.3", "", "", "10.6M", "45.2G"),
        Published("EfficientNet", "", "38.7", "9.1", "", "", "4.7M", "55.0G"),
        Published("ConvNeXt", "", "39.9", "9.5", "", "", "5.2M", "52.0G"),
        Published("LiteMatting's, group norm", "backbone", "36.8", "7.9", "", "", "3.6M", "52.8G"),
        Published("LiteMatting's, batch norm", "backbone, batch norm", "37.9", "8.6", "", "", "3.6M", "51.7G"),
        Published("LiteMatting's, loss on F, B and alpha", "backbone", "40.6", "10.3", "", "", "3.6M", "52.8G"),
    ),
    "Table 4: non-local blocks": (
        Published("common non-local", "full, common non-local", "31.3", "6.6", "", "", "", "144.2G"),
        Published("ENB, max pooling", "full, max pooling", "32.0", "6.9", "", "", "", "101.4G"),
        Published("ENB, average pooling", "full, average pooling", "31.6", "6.8", "", "", "", "101.4G"),
        Published("ENB, pyramid pooling", FULL, "30.1", "6.1", "", "", "", "101.5G"),
    ),
    "Table 5: parts": (
        Published("backbone", "backbone", "36.8", "7.9", "19.4", "34.0", "3.6M", "52.8G"),
        Published("backbone, LSRPPM", "backbone + LSRPPM", "34.2", "7.2", "16.1", "31.0", "3.8M", "53.0G"),
        Published("backbone, LSRPPM, ENB", FULL, "30.1", "6.1", "13.1", "26.2", "4.3M", "101.5G"),
    ),
}


@dataclass(frozen=True)
class Complexity:
    """What a variant costs on patches of resolution x resolution pixels.

    parameters: how many numbers are learnt. flops: as fvcore counts, one multiply-add being 1.
    """

    variant: str
    resolution: int
    parameters: int
    flops: int


def count(variants: Sequence[str], resolution: int = 1024) -> list[Complexity]:
    """Build each variant, and count it on one forward pass with `adaptive` pooling.

    variants: keys of `VARIANTS`.
    resolution: side of the patch in pixels, a multiple of 32.
    Raises: `DependencyError` without PyTorch or fvcore.
    """
    torch: Any = require("torch", "export", "counting FLOPs")
    fvcore: Any = require("fvcore.nn", "bench", "counting FLOPs")
    from ..model import LiteMatting, ModelConfig

    logging.getLogger("fvcore").setLevel(logging.ERROR)
    inputs = tuple(torch.zeros(1, channels, resolution, resolution) for channels in (3, 3, 2))
    counted = []
    for variant in variants:
        model = LiteMatting(ModelConfig(**VARIANTS[variant])).eval()
        analysis = fvcore.FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False)
        analysis = analysis.uncalled_modules_warnings(False).tracer_warnings("none")
        with torch.inference_mode():
            flops = int(analysis.total())
        parameters = sum(parameter.numel() for parameter in model.parameters())
        counted.append(Complexity(variant, resolution, parameters, flops))
    return counted
