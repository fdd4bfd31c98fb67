"""Checkpoint to ONNX, verified (extra `export`)."""

from .._optional import require

for _module in ("torch", "onnx", "onnxscript", "onnxruntime"):
    require(_module, "export", "exporting")

from .exporter import Export, export_onnx  # noqa: E402
from .spec import ExportSpec, Recipe, read_recipe  # noqa: E402
from .verify import Difference  # noqa: E402

__all__ = ["Difference", "Export", "ExportSpec", "Recipe", "export_onnx", "read_recipe"]
