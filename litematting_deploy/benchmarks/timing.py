"""Latency of an engine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..engines.base import Batch, Engine
from ..runtime.on_device import OnDevice
from .load import Elsewhere
from .row import Latency


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least `iterations` runs and at least `duration_s`, after `warmup` runs."""

    iterations: int
    warmup: int
    duration_s: float = 0.0


@dataclass(frozen=True)
class Timings:
    """elsewhere: cores that others kept busy meanwhile. parts_ms: medians of the copy to the device, of the
    computation and of the copy back, on a GPU."""

    latency: Latency
    elsewhere: float | None
    parts_ms: tuple[float, float, float] | None


def measure(engine: Engine, inputs: Mapping[str, Batch], effort: Effort) -> Timings:
    """Time one run after the other, host arrays in and host array out. Making the inputs is not included.

    On a device, the arrays lie in pinned memory. inputs: exactly `batch` patches where that is fixed.
    """
    run = _DeviceRun(engine, inputs) if isinstance(engine, OnDevice) else _HostRun(engine, inputs)
    for _ in range(effort.warmup):
        run()
    milliseconds: list[float] = []
    parts: list[tuple[float, ...]] = []
    others = Elsewhere()
    began = time.perf_counter()
    while len(milliseconds) < effort.iterations or time.perf_counter() - began < effort.duration_s:
        started = time.perf_counter()
        parts.append(run())
        milliseconds.append((time.perf_counter() - started) * 1e3)
    elsewhere = others.cores()
    medians = np.median(np.array(parts), axis=0).tolist()
    return Timings(summary(milliseconds, effort.warmup), elsewhere, tuple(medians) if medians else None)


def summary(milliseconds: list[float], warmup: int) -> Latency:
    """Percentiles, mean and variation of the timed runs."""
    values = np.array(milliseconds)
    p50, p90, p99 = (float(value) for value in np.percentile(values, (50, 90, 99)))
    mean = float(values.mean())
    return Latency(p50, p90, p99, float(values.max()), mean, float(values.std()) / mean, len(milliseconds), warmup)


class _HostRun:
    """One run of a host engine; it has no parts."""

    def __init__(self, engine: Engine, inputs: Mapping[str, Batch]) -> None:
        self._engine, self._inputs = engine, inputs

    def __call__(self) -> tuple[float, ...]:
        self._engine.run(**self._inputs)
        return ()


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
