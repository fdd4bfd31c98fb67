"""What a figure was measured on."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

_PACKAGES = (
    *("litematting-deploy", "numpy", "opencv-python-headless", "torch", "onnxruntime", "onnxruntime-gpu"),
    *("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "pycuda"),
    *("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
)
_PATIENCE_S = 20
_GPU_FIELDS = ("name", "driver_version", "memory.total", "clocks.sm", "clocks.mem")


def describe() -> dict[str, object]:
    """Processor, cores, load, system and versions of the packages that matter; nothing that names the machine."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _processor(),
        "gpus": gpus(),
        "cores": os.cpu_count(),
        "load_at_start": os.getloadavg()[0],
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


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
