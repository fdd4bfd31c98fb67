"""Latency of an engine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..engines.base import Batch, Engine


@dataclass(frozen=True)
class Latency:
    """Percentiles in milliseconds of `iterations` runs after `warmup` runs that do not count."""

    p50: float
    p90: float
    p99: float
    iterations: int
    warmup: int


def measure(engine: Engine, inputs: Mapping[str, Batch], iterations: int, warmup: int) -> Latency:
    """Time `engine.run`, host arrays in and host array out; making the inputs is not included."""
    for _ in range(warmup):
        engine.run(**inputs)
    milliseconds = []
    for _ in range(iterations):
        started = time.perf_counter()
        engine.run(**inputs)
        milliseconds.append((time.perf_counter() - started) * 1e3)
    p50, p90, p99 = (float(value) for value in np.percentile(milliseconds, (50, 90, 99)))
    return Latency(p50, p90, p99, iterations, warmup)
