"""Latency of an engine, and the memory traffic that bounds it on a GPU."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np

from ..engines.base import Batch, Engine
from ..parameters import Range
from ..runtime.cuda.protocol import Cuda
from ..runtime.on_device import OnDevice
from ..specs import Spec
from .environment import Elsewhere
from .results import Latency

# The project's reference page, "Complexity at 1024²": bytes that the convolutions read and write in FP16 for one 1024²
# patch, and those of a group norm pass after each. Part of it can stay in a large cache: a run may be faster.
CONVOLUTIONS_BYTES, NORMS_BYTES = 4.41e9, 4.08e9
_AT_PIXELS, _AT_ITEMSIZE = 1024 * 1024, 2
_ITEMSIZES = {"fp16": 2, "tf32": 4, "fp32": 4}
BEARS = {90: 10, 99: 100}
"""How many runs a percentile needs, so that at least one run lies above it."""
_COPY_BYTES, _COPIES = 1 << 28, 10  # larger than a GPU's cache, so that its memory is what is measured


@dataclass(frozen=True, kw_only=True)
class Effort(Spec):
    """How long to measure: at least `iterations` runs and `duration_s` seconds, after `warmup` runs."""

    iterations: Annotated[int, Range(1)] = 10
    warmup: Annotated[int, Range(0)] = 2
    duration_s: Annotated[float, Range(0)] = 0.0


@dataclass(frozen=True)
class Timings:
    """What timing an engine gives.

    latency: of the timed runs.
    elsewhere: cores that other processes kept busy meanwhile.
    parts_ms: medians of the copy to the device, the computation and the copy back; None on the host.
    """

    latency: Latency
    elsewhere: float
    parts_ms: tuple[float, float, float] | None


def measure(
    engine: Engine, inputs: Mapping[str, Batch], effort: Effort, progress: Callable[[str], None] = lambda _: None
) -> Timings:
    """Time one run after the other, host arrays in and host array out. Making the inputs is not included.

    engine: is open. On a device, the arrays lie in pinned memory.
    inputs: image (N, 3, H, W), trimap (N, 3, H, W), guide (N, 2, H, W) float32; N is the engine's batch where it has
    one.
    effort: how long to measure.
    progress: called after each run with how far it is, in words.
    """
    on_device = _DeviceRun(engine, inputs) if isinstance(engine, OnDevice) else None
    run = on_device or partial(engine.run, **inputs)
    for done in range(effort.warmup):
        progress(f"warming up, run {done + 1} of {effort.warmup}")
        run()
    milliseconds: list[float] = []
    parts: list[Any] = []
    others = Elsewhere()
    began = time.perf_counter()
    while len(milliseconds) < effort.iterations or time.perf_counter() - began < effort.duration_s:
        started = time.perf_counter()
        found = run()
        milliseconds.append((time.perf_counter() - started) * 1e3)
        if on_device:
            parts.append(found)
        del found  # an alpha that lived on would count as memory of the next run
        progress(_progress(milliseconds, effort))
    medians = tuple(np.median(parts, axis=0).tolist()) if on_device else None
    return Timings(summary(milliseconds, effort.warmup), others.cores(), medians)


def _progress(milliseconds: list[float], effort: Effort) -> str:
    """Return how many runs are done of how many, and how long the others will take."""
    mean_s = sum(milliseconds) / len(milliseconds) / 1e3
    total = max(effort.iterations, math.ceil(effort.duration_s / mean_s))
    left_s = max(0, total - len(milliseconds)) * mean_s
    return f"run {len(milliseconds)} of {max(total, len(milliseconds))}, about {say_duration(left_s)} left"


def say_duration(seconds: float) -> str:
    """Return a duration in the unit that people would use, such as 40 s or 12 min."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def summary(milliseconds: list[float], warmup: int) -> Latency:
    """Return percentiles, mean and variation of timed runs, in milliseconds each, after `warmup` that do not count."""
    values = np.array(milliseconds)
    p90, p99 = (float(np.percentile(values, each)) if len(values) >= runs else None for each, runs in BEARS.items())
    mean = float(values.mean())
    return Latency(
        float(np.median(values)),
        p90,
        p99,
        float(values.max()),
        mean,
        float(values.std()) / mean,
        len(milliseconds),
        warmup,
    )


class _DeviceRun:
    """One run of a device engine, with an event before, between and after its three parts."""

    def __init__(self, engine: OnDevice, inputs: Mapping[str, Batch]) -> None:
        cuda = engine.cuda
        self._engine, self._events = engine, [cuda.event(timing=True) for _ in range(4)]
        self._pinned = {name: cuda.pinned(size) for name, size in engine.sizes.items()}
        arrays = {name: memory.bytes.view(np.float32) for name, memory in self._pinned.items()}
        self._alpha = arrays.pop("alpha")
        for name, array in arrays.items():
            array[:] = inputs[name].ravel()
        self._inputs = arrays

    def __call__(self) -> tuple[float, ...]:
        engine, (start, uploaded, computed, end) = self._engine, self._events
        start.record(engine.stream)
        engine.upload(self._inputs)
        uploaded.record(engine.stream)
        engine.enqueue()
        computed.record(engine.stream)
        engine.download(self._alpha)
        end.record(engine.stream)
        engine.stream.synchronize()
        marks = ((start, uploaded), (uploaded, computed), (computed, end))
        return tuple(after.milliseconds_since(before) for before, after in marks)


def traffic_bytes(patch_hw: tuple[int, int], batch: int, precision: str) -> tuple[float, float]:
    """Estimate the bytes that one run moves: the convolutions alone, and with the passes of group norm.

    patch_hw: height and width in pixels. batch: patches per run. precision: `fp32`, `tf32` or `fp16`.
    """
    scale = batch * patch_hw[0] * patch_hw[1] / _AT_PIXELS * _ITEMSIZES.get(precision, 4) / _AT_ITEMSIZE
    return CONVOLUTIONS_BYTES * scale, (CONVOLUTIONS_BYTES + NORMS_BYTES) * scale


def bandwidth(cuda: Cuda, nbytes: int = _COPY_BYTES) -> float:
    """Measure how many bytes per second a copy of `nbytes` on the device reads and writes: the best of ten."""
    stream, start, end = cuda.stream(), cuda.event(timing=True), cuda.event(timing=True)
    source, target = cuda.buffer(nbytes), cuda.buffer(nbytes)
    cuda.zero(source.address, nbytes, stream)
    best = float("inf")
    for _ in range(1 + _COPIES):  # the first wakes the device
        start.record(stream)
        cuda.copy(target.address, source.address, nbytes, stream)
        end.record(stream)
        stream.synchronize()
        best = min(best, end.milliseconds_since(start))
    source.free()
    target.free()
    return 2 * nbytes / best * 1e3
