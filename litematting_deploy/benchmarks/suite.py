"""Every engine that can run here, timed and compared with the PyTorch model."""

import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..engines import Engine
from ..engines.base import Batch
from ..engines.onnxruntime_cuda import runtime
from ..errors import DependencyError, DeviceError
from ..export.spec import ExportSpec, Norm
from ..runtime.assets import SHIPPED_CHECKPOINT, example_patch
from ..runtime.cuda import open_cuda
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
    patch_hw = (resolution, resolution)
    inputs = example_patch(patch_hw)
    rows: list[Row] = []
    skipped = []
    reference = None
    for name, device, norm in CANDIDATES:
        try:
            if norm is None:
                engine = load_engine(SHIPPED_CHECKPOINT, device, patch_hw=patch_hw, batch=_batch(device))
            else:
                if device != "cpu":  # before a minute of export
                    runtime(device)
                    open_cuda()
                engine = _exported(resolution, device, norm)
        except (DeviceError, DependencyError) as error:
            skipped.append(Skipped(name, str(error)))
            continue
        with engine:
            reference = engine.run(**inputs) if reference is None else reference
            rows.append(_row(engine, inputs, reference, iterations, warmup))
    return rows, skipped


# what runs, device, form of group norm in the ONNX; the first is the reference
CANDIDATES: tuple[tuple[str, str, Norm | None], ...] = (
    ("pytorch-eager on cpu", "cpu", None),
    ("pytorch-eager on cuda", "cuda", None),
    ("onnxruntime-cpu", "cpu", "batch"),
    ("onnxruntime-cuda", "cuda", "batch"),
    ("onnxruntime-tensorrt", "tensorrt", "group"),
)


def _exported(resolution: int, device: str, norm: Norm) -> Engine:
    """The shipped weights exported at resolution²; the engine needs its file only while it is opened."""
    from ..export.exporter import export_onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "litematting.onnx"
        export_onnx(SHIPPED_CHECKPOINT, path, ExportSpec(resolution, resolution, batch=1, norm=norm))
        return load_engine(path, device, batch=_batch(device))


def _batch(device: str) -> int | None:
    return None if device == "cpu" else 1


def _row(engine: Engine, inputs: dict[str, Batch], reference: Batch | None, iterations: int, warmup: int) -> Row:
    maximum = mean = None
    if reference is not None:
        error = np.abs(engine.run(**inputs) - reference)
        maximum, mean = float(error.max()), float(error.mean())
    latency = measure(engine, inputs, iterations, warmup)
    return Row(engine.name, engine.device, engine.precision, engine.patch_hw, 1, latency, maximum, mean)
