"""What a figure was measured on."""

import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("litematting-deploy", "numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "torch")


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
        "cores": os.cpu_count(),
        "load_at_start": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
