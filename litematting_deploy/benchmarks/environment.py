"""What a figure was measured on."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..system import cpuinfo, processor_name

_PACKAGES = (
    *("litematting-deploy", "numpy", "opencv-python-headless", "torch", "onnxruntime", "onnxruntime-gpu"),
    *("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "pycuda"),
    *("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
)
_PATIENCE_S = 20
_GPU_FIELDS = ("name", "driver_version", "memory.total", "clocks.sm", "clocks.mem")


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
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "cpu_mhz": _clock(),
        "governor": _governor(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def gpus() -> list[dict[str, str]]:
    """Name, driver, memory and present clocks of each NVIDIA GPU, as `nvidia-smi` says; none where it says nothing."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:  # as it does where a driver hangs
        return []
    rows = [line.split(", ") for line in answer.stdout.splitlines()] if answer.returncode == 0 else []
    return [dict(zip(_GPU_FIELDS, row, strict=True)) for row in rows]


def slug(described: Mapping[str, Any]) -> str:
    """The hardware as a file name: `nvidia-h200`, or without a GPU `amd-epyc-2-cores`."""
    names = [gpu["name"] for gpu in described["gpus"]] or [f"{described['cpu']} {described['cores']} cores"]
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\([^)]*\)", "", names[0]).lower()).strip("-")


def _clock() -> float | None:
    """MHz of the first core now."""
    said = cpuinfo("cpu MHz")
    return float(said) if said else None


def _governor() -> str | None:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else None
