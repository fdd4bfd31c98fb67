"""Every engine that can run here, timed and compared with the PyTorch model."""

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..engines import Engine
from ..engines.base import Batch
from ..errors import DependencyError, DeviceError
from ..runtime.assets import SHIPPED_CHECKPOINT, example_patch
from ..runtime.loading import load_engine
from .timing import Latency, measure


@dataclass(frozen=True)
class Row:
    """One engine: how fast, and how far from the fp32 PyTorch model on the example photo (None without PyTorch)."""

    engine: str
    device: str
    precision: str
    patch_hw: tuple[int, int]
    batch: int
    latency_ms: Latency
    max_abs_difference: float | None
    mean_abs_difference: float | None


@dataclass(frozen=True)
class Skipped:
    """An engine that cannot run here, and why."""

    engine: str
    reason: str


def has_torch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def run(resolution: int, iterations: int, warmup: int) -> tuple[list[Row], list[Skipped]]:
    """Rows at resolution² with PyTorch; without, one row of the shipped engine at its own patch size."""
    if not has_torch():
        with load_engine() as engine:
            return [_row(engine, example_patch(engine.patch_hw), None, iterations, warmup)], []
    rows: list[Row] = []
    skipped = []
    inputs = example_patch((resolution, resolution))
    with load_engine(SHIPPED_CHECKPOINT, patch_hw=(resolution, resolution)) as engine:
        reference = engine.run(**inputs)
    with _exported(resolution) as onnx_path:
        for name, path, device in _candidates(onnx_path):
            options = {"patch_hw": (resolution, resolution)} if path == SHIPPED_CHECKPOINT else {}
            try:
                with load_engine(path, device, **options) as engine:
                    rows.append(_row(engine, inputs, reference, iterations, warmup))
            except (DeviceError, DependencyError) as error:
                skipped.append(Skipped(name, str(error)))
    return rows, skipped


def _candidates(onnx_path: Path) -> list[tuple[str, Path, str]]:
    return [
        ("pytorch-eager on cpu", SHIPPED_CHECKPOINT, "cpu"),
        ("pytorch-eager on cuda", SHIPPED_CHECKPOINT, "cuda"),
        ("onnxruntime-cpu", onnx_path, "cpu"),
        ("onnxruntime-cuda", onnx_path, "cuda"),
        ("onnxruntime-tensorrt", onnx_path, "tensorrt"),
    ]


@contextlib.contextmanager
def _exported(resolution: int) -> Iterator[Path]:
    from ..export.exporter import export_onnx
    from ..export.spec import ExportSpec

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "litematting.onnx"
        export_onnx(SHIPPED_CHECKPOINT, path, ExportSpec(resolution, resolution, batch=1, norm="batch"))
        yield path


def _row(engine: Engine, inputs: dict[str, Batch], reference: Batch | None, iterations: int, warmup: int) -> Row:
    maximum = mean = None
    if reference is not None:
        error = np.abs(engine.run(**inputs) - reference)
        maximum, mean = float(error.max()), float(error.mean())
    latency = measure(engine, inputs, iterations, warmup)
    return Row(engine.name, engine.device, engine.precision, engine.patch_hw, 1, latency, maximum, mean)
