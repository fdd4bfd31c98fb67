"""The machine that a figure is measured on: what it is, and what else it does meanwhile."""

import contextlib
import importlib.metadata
import sys
import time
from typing import Any

from ..system import (
    busy_seconds,
    core_count,
    cpu_mhz,
    governor,
    gpus,
    instruction_set,
    load,
    memory_bytes,
    processor_name,
    system_name,
)

_PACKAGES = (
    *("litematting-deploy", "numpy", "opencv-python-headless", "torch", "onnxruntime", "onnxruntime-gpu"),
    *("openvino", "onnxruntime-ep-webgpu", "pymatting"),
    *("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"),
    *("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
)


def describe() -> dict[str, Any]:
    """Return the hardware, clocks where they can be read, load, system, and versions of the packages that matter.

    Nothing in it names the machine. `instruction_set`, the widest of the processor, decides on speed by up to 2 times
    where names are equal, as of virtual machines. `cores` are those that this process may use.
    """
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "cpu": processor_name(),
        "instruction_set": instruction_set(),
        "gpus": gpus(),
        "cores": core_count(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "cpu_mhz": cpu_mhz(),
        "governor": governor(),
        "load_at_start": load(),
        "system": system_name(),
        "python": sys.version.split()[0],
        "versions": versions,
    }


class Elsewhere:
    """Count the cores that other processes keep busy, from when this is made to when it is asked."""

    def __init__(self) -> None:
        self._before = _processor_times()

    def cores(self) -> float:
        """Return their mean number."""
        wall, busy, own = (now - then for now, then in zip(_processor_times(), self._before, strict=True))
        return max(0.0, (busy - own) / wall)


def _processor_times() -> tuple[float, float, float]:
    """Return the wall clock, processor time of the whole machine and that of this process, all in seconds."""
    return time.perf_counter(), busy_seconds(), time.process_time()
