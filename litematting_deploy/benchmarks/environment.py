"""What a figure was measured on."""

import importlib.metadata
import os
import platform
from pathlib import Path

from ..system import core_count, cpuinfo, gpus, processor_name

_PACKAGES = (
    *("litematting-deploy", "numpy", "opencv-python-headless", "torch", "onnxruntime", "onnxruntime-gpu"),
    *("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "pycuda"),
    *("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
)


def describe() -> dict[str, object]:
    """Hardware, clocks where they can be read, load, system and versions of the packages that matter.

    Nothing that names the machine. cores: those that this process may use.
    """
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": processor_name(),
        "gpus": gpus(),
        "cores": core_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "cpu_mhz": _clock(),
        "governor": _governor(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _clock() -> float | None:
    """MHz of the first core now."""
    said = cpuinfo("cpu MHz")
    return float(said) if said else None


def _governor() -> str | None:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else None
