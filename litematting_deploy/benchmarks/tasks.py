"""What runs in the processes of a benchmark: exporting, asking PyTorch, and measuring one engine."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from ..engines.base import Batch
from ..export.spec import ExportSpec
from ..files import ONNX_SUFFIX, has_suffix
from ..runtime.cuda import open_cuda
from ..runtime.cuda.protocol import Cuda
from ..runtime.loading import load_engine, open_spec, runs_on_gpu, takes_threads
from ..runtime.on_device import OnDevice
from ..runtime.shipped import example_patch
from ..specs import EngineSpec
from ..system import core_count, peak_memory_bytes
from .results import OK, OnGpu, Row
from .timing import Effort, Timings, bandwidth, measure, traffic_bytes


def export(checkpoint: Path, output: Path, spec: ExportSpec) -> float:
    """Export an ONNX for one row, and return the seconds it took. Raises `DependencyError` and what exporting does."""
    for module, extra in (("torch", "export"), ("onnx", "export"), ("onnxruntime", "cpu")):
        require(module, extra, "exporting")
    from ..export.exporter import export_onnx

    started = time.perf_counter()
    export_onnx(checkpoint, output, spec)
    return time.perf_counter() - started


def reference(checkpoint: Path, patch_hw: tuple[int, int]) -> Batch:
    """Return what the fp32 PyTorch model makes of the example patch: alpha (1, 1, H, W) float32, 0..1."""
    with load_engine(checkpoint, "cpu", patch_hw=patch_hw) as engine:
        return engine.run(**example_patch(engine.patch_hw))


def measured(spec: EngineSpec, effort: Effort, said: Path | None = None) -> tuple[Row, Batch]:
    """Open an engine, and time it on the example patch repeated to its batch.

    spec: the engine, and its device, which is not `auto`. Its `batch` is how many patches a run has; `threads` also
    sets PyTorch's on the CPU.
    effort: how long to measure.
    said: a file that the process that asks reads, into which this one writes how far it is.
    Returns the row as far as this process knows it, and alpha (batch, 1, H, W) float32, 0..1.
    Raises: as `open_spec`.
    """
    on_gpu = runs_on_gpu(spec)
    cuda = open_cuda(int(spec.device.partition(":")[2] or 0)) if on_gpu else None
    with contextlib.nullcontext() if cuda is None else cuda.active():
        return _measured(spec, effort, cuda, lambda words: None if said is None else tell(said, words))


def tell(said: Path, words: str) -> None:
    """Write how far this process is; where that fails, it is not known."""
    with contextlib.suppress(OSError):
        said.write_text(words, encoding="utf-8")


def _measured(
    spec: EngineSpec, effort: Effort, cuda: Cuda | None, progress: Callable[[str], None]
) -> tuple[Row, Batch]:
    """Do what `measured` says. cuda: the device of the engine, which is active."""
    source, batch = Path(spec.engine or ""), spec.batch or 1
    free = cuda.memory()[0] if cuda is not None else 0
    spec, threads = _with_threads(spec, cuda is not None)
    started = time.perf_counter()
    engine = open_spec(spec)
    load_s = time.perf_counter() - started
    with engine:
        inputs = {name: np.repeat(array, batch, axis=0) for name, array in example_patch(engine.patch_hw).items()}
        started = time.perf_counter()
        alpha = engine.run(**inputs)
        first_run_ms = (time.perf_counter() - started) * 1e3
        if engine.batch is not None:  # timed as a full batch, whatever it was given
            inputs = {name: np.resize(array, (engine.batch, *array.shape[1:])) for name, array in inputs.items()}
        timings = measure(engine, inputs, effort, progress)
        row = Row(
            *(OK, source.name, engine.device, engine.precision, batch, engine.patch_hw),
            version=f"{engine.name} {engine.version}",
            threads=threads,
            load_s=load_s,
            first_run_ms=first_run_ms,
            latency_ms=timings.latency,
            images_per_s=batch / timings.latency.mean * 1e3,
            peak_host_bytes=peak_memory_bytes(),
            elsewhere=timings.elsewhere,
            gpu=None if cuda is None or not isinstance(engine, OnDevice) else _on_gpu(engine, cuda, free, timings),
        )
    return row, alpha


def _with_threads(spec: EngineSpec, on_gpu: bool) -> tuple[EngineSpec, int | None]:
    """Set PyTorch's threads, and return what `open_spec` takes and how many threads compute on the CPU."""
    if on_gpu:
        return replace(spec, threads=None), None
    if takes_threads(spec):
        return spec, spec.threads or core_count()
    if has_suffix(spec.engine or "", ONNX_SUFFIX):  # on another GPU
        return replace(spec, threads=None), None
    torch: Any = require("torch", "export", "a checkpoint as engine")
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    return replace(spec, threads=None), int(torch.get_num_threads())


def _on_gpu(engine: OnDevice, cuda: Cuda, free: int, timings: Timings) -> OnGpu:
    """Return what only a GPU has. free: bytes before the engine was opened; libraries keep what they take, so that the
    difference now is the peak."""
    peak = free - cuda.memory()[0]
    assert timings.parts_ms is not None
    speed = bandwidth(cuda)
    bytes_moved = traffic_bytes(engine.patch_hw, engine.engine.batch, engine.precision)
    least, most = (count / speed * 1e3 for count in bytes_moved)
    return OnGpu(cuda.gpu, *timings.parts_ms, peak, speed, (least, most))
