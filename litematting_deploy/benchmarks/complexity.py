"""Parameters and FLOPs of the model's variants, and what the paper prints for them and for other methods.

The paper is Kang et al., ACCV 2022: SAD, MSE (times 1000), Grad and Conn on the Adobe Composition-1k test set,
parameters and FLOPs at 1024x1024. None of its figures was measured here.
"""

import csv
import logging
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from .._optional import require
from .results import Complexity

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


def _published() -> dict[str, list[dict[str, str]]]:
    """Return the rows of published.csv under the title of their table, in the order of the paper."""
    tables: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader((files(__package__) / "published.csv").read_text(encoding="utf-8").splitlines()):
        tables.setdefault(row.pop("table"), []).append(row)
    return tables


TABLES = _published()
"""Rows of the paper: method, sad, mse, grad, conn, parameters and flops as they are printed, empty where it has none.

variant: the key of `VARIANTS` that a row describes; empty for other networks.
"""


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
