"""CUDA devices behind one small protocol, and the kernels of crop-and-stitch."""

import importlib

from ..._optional import require
from ...errors import DeviceError
from ...specs import Backend, check_choice
from .protocol import Cuda

# name of a driver's interface -> module of this package, package it needs, extra that brings that
_BACKENDS: dict[Backend, tuple[str, str, str]] = {
    "cuda-python": ("cuda_python", "cuda.bindings", "cuda13"),
    "pycuda": ("pycuda", "pycuda", "pycuda"),
}


def open_cuda(index: int = 0, backend: Backend = "cuda-python") -> Cuda:
    """Open device `index` and make it current for this thread; `backend` is `cuda-python` or `pycuda`.

    Raises `UsageError`, `DependencyError`, or `DeviceError` where there is no driver or no such device.
    """
    check_choice("cuda_backend", backend, Backend)
    module, package, extra = _BACKENDS[backend]
    require(package, extra, "running on a GPU")
    try:
        opened = importlib.import_module(f".{module}", __package__)
    except ImportError as error:
        if "libcuda" not in str(error):
            raise
        # PyCUDA is linked against the driver.
        raise DeviceError(
            f"no CUDA driver: {error}; install NVIDIA's driver, or run an ONNX with `device=cpu`"
        ) from error
    cuda: Cuda = opened.open_device(index)
    return cuda


def no_such_device(index: int, count: int) -> DeviceError:
    """Return what to raise for device `index` of `count`."""
    if not count:
        return DeviceError(
            "no CUDA device; check with nvidia-smi that the driver sees one, or run an ONNX with `device=cpu`"
        )
    there = "only cuda:0 is there" if count == 1 else f"there are {count}, cuda:0 to cuda:{count - 1}"
    return DeviceError(f"no CUDA device {index}: {there}")
