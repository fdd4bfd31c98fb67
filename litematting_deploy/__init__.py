"""litematting-deploy: LiteMatting (ACCV 2022) from checkpoint to production mattes.

The names below are imported when first used, so that `import litematting_deploy` needs neither PyTorch nor a GPU.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engines.tensorrt.builder import build_engine
    from .evaluation import metrics
    from .export.exporter import export_onnx
    from .model import load_checkpoint
    from .runtime import Matter, load_engine

__version__ = "0.1.0"

__all__ = ["Matter", "build_engine", "export_onnx", "load_checkpoint", "load_engine", "metrics"]

_HOMES = {
    "Matter": "runtime",
    "load_engine": "runtime",
    "build_engine": "engines.tensorrt.builder",
    "export_onnx": "export.exporter",
    "load_checkpoint": "model",
    "metrics": "evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
