"""The machine that a figure is measured on: what it is, and what else it does meanwhile."""

import contextlib
import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

from ..system import core_count, cpuinfo, gpus, instruction_set, processor_name

_PACKAGES = (
    *("litematting-deploy", "numpy", "opencv-python-headless", "torch", "onnxruntime", "onnxruntime-gpu"),
    *("openvino", "onnxruntime-ep-webgpu", "pymatting"),
    *("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"),
    *("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
)
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # idle and waiting for disks, of the columns of /proc/stat
_GUESTS = 8  # from here on, time that is in an earlier column already


def describe() -> dict[str, Any]:
    """Return the hardware, clocks where they can be read, load, system, and versions of the packages that matter.

    Nothing in it names the machine. `cores` are those that this process may use.
    """
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    clock = cpuinfo("cpu MHz")
    return {
        "cpu": processor_name(),
        "instruction_set": instruction_set(),
        "gpus": gpus(),
        "cores": core_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "cpu_mhz": float(clock) if clock else None,
        "governor": _GOVERNOR.read_text().strip() if _GOVERNOR.exists() else None,
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


class Elsewhere:
    """Count the cores that other processes keep busy, from when this is made to when it is asked."""

    def __init__(self) -> None:
        self._before = _processor_times()

    def cores(self) -> float | None:
        """Return their mean number; None where the system does not say."""
        before, after = self._before, _processor_times()
        if before is None or after is None:
            return None
        wall, busy, own = (now - then for now, then in zip(after, before, strict=True))
        return max(0.0, (busy - own) / wall)


def _processor_times() -> tuple[float, float, float] | None:
    """Return the wall clock, processor time of the whole machine and that of this process, all in seconds."""
    if not _STAT.exists():
        return None
    ticks = [int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:]]
    busy = sum(count for column, count in enumerate(ticks[:_GUESTS]) if column not in _IDLE)
    return time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), time.process_time()
