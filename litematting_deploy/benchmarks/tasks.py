"""What the processes of a benchmark do: arguments and results are plain values, for JSON."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from ..engines import Engine
from ..engines.base import Batch
from ..export.spec import ExportSpec
from ..runtime.cuda import open_cuda
from ..runtime.cuda.protocol import Cuda
from ..runtime.loading import TENSORRT_SUFFIX, load_engine
from ..runtime.on_device import OnDevice
from ..runtime.shipped import example_patch
from .backends import BACKENDS
from .load import peak_host_bytes
from .row import OnGpu
from .timing import Effort, Timings, measure
from .traffic import bandwidth, estimate


def check(backend: str) -> dict[str, Any]:
    """Whether a backend can run here; raises what keeps it from that."""
    next(one for one in BACKENDS if one.name == backend).check()
    return {}


def complexity(names: list[str], resolution: int) -> dict[str, Any]:
    """Count variants of the model."""
    require("torch", "export", "counting FLOPs")
    from .complexity import count

    return {"variants": [asdict(count(name, resolution)) for name in names]}


def export(checkpoint: str, output: str, patch_hw: list[int], batch: int, precision: str, norm: Any) -> dict[str, Any]:
    """Export an ONNX for one row."""
    for module, extra in (("torch", "export"), ("onnx", "export"), ("onnxruntime", "cpu")):
        require(module, extra, "exporting")
    from ..export.exporter import export_onnx

    started = time.perf_counter()
    height, width = patch_hw
    spec = ExportSpec(height, width, batch, norm=norm).with_options({"precision": precision})
    export_onnx(checkpoint, output, spec)
    return {"build_s": time.perf_counter() - started}


def reference(checkpoint: str, patch_hw: list[int], alpha: str) -> dict[str, Any]:
    """Write what the fp32 PyTorch model makes of the example patch."""
    height, width = patch_hw
    with load_engine(checkpoint, "cpu", patch_hw=(height, width)) as engine:
        np.save(alpha, engine.run(**example_patch(engine.patch_hw)))
    return {}


def measured(
    source: str,
    device: str | None,
    patch_hw: list[int] | None,
    batch: int,
    precision: str | None,
    compiled: bool,
    threads: int | None,
    trust: bool,
    effort: dict[str, Any],
    alpha: str,
) -> dict[str, Any]:
    """Open an engine, time it, and write its alpha; the fields of a `Row` that its process knows."""
    kind = Path(source).suffix.lower()
    on_gpu = kind == TENSORRT_SUFFIX or (device or "cpu") != "cpu"
    cuda = open_cuda(int((device or "").partition(":")[2] or 0)) if on_gpu else None
    free = cuda.memory()[0] if cuda is not None else 0
    options: dict[str, Any] = {"precision": precision, "compiled": compiled, "trust": trust}
    options["patch_hw"] = None if patch_hw is None else (patch_hw[0], patch_hw[1])
    if cuda is not None:
        options["batch"] = batch
    used = _threads(kind, threads, on_gpu, options)
    started = time.perf_counter()
    engine = load_engine(source, device, **options)
    load_s = time.perf_counter() - started
    with engine:
        inputs = {name: np.repeat(array, batch, axis=0) for name, array in example_patch(engine.patch_hw).items()}
        started = time.perf_counter()
        first = engine.run(**inputs)
        first_run_ms = (time.perf_counter() - started) * 1e3
        np.save(alpha, first)
        timings = measure(engine, _filled(engine, inputs), Effort(**effort))
        gpu = None if cuda is None or not isinstance(engine, OnDevice) else _on_gpu(engine, cuda, free, timings)
        return {
            "device": engine.device,
            "precision": engine.precision,
            "patch_hw": engine.patch_hw,
            "version": f"{engine.name} {engine.version}",
            "batch": batch,
            "threads": used,
            "load_s": load_s,
            "first_run_ms": first_run_ms,
            "latency_ms": asdict(timings.latency),
            "images_per_s": batch / timings.latency.mean * 1e3,
            "elsewhere": timings.elsewhere,
            "peak_host_bytes": peak_host_bytes(),
            "gpu": None if gpu is None else asdict(gpu),
        }


def _threads(kind: str, threads: int | None, on_gpu: bool, options: dict[str, Any]) -> int | None:
    """How many threads the engine computes with on the CPU; sets PyTorch's, and ONNX Runtime's in `options`."""
    if on_gpu:
        return None
    cores = len(os.sched_getaffinity(0))
    if kind == ".onnx":
        options["threads"] = threads
        return threads or cores
    torch: Any = require("torch", "export", "a checkpoint as engine")
    if threads is not None:
        torch.set_num_threads(threads)
    return int(torch.get_num_threads())


def _filled(engine: Engine, inputs: dict[str, Batch]) -> dict[str, Batch]:
    """The inputs, repeated to the batch that the engine takes."""
    if engine.batch is None:
        return inputs
    return {name: np.resize(array, (engine.batch, *array.shape[1:])) for name, array in inputs.items()}


def _on_gpu(engine: OnDevice, cuda: Cuda, free: int, timings: Timings) -> OnGpu:
    """free: bytes before the engine was opened. What libraries took since, they keep, so that now is the peak."""
    peak = free - cuda.memory()[0]
    assert timings.parts_ms is not None
    speed = bandwidth(cuda)
    bytes_moved = estimate(engine.patch_hw, engine.engine.batch, engine.precision)
    least, most = (count / speed * 1e3 for count in bytes_moved)
    return OnGpu(cuda.gpu, *timings.parts_ms, peak, speed, (least, most))


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "check": check,
    "complexity": complexity,
    "export": export,
    "reference": reference,
    "measure": measured,
}
