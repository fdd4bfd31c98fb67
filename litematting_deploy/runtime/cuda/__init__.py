"""CUDA devices behind one small protocol, and the kernels of crop-and-stitch."""

from ..._optional import require
from ...errors import DeviceError
from .protocol import Cuda


def open_cuda(index: int = 0) -> Cuda:
    """Open device `index`; what works on it goes within its `active`.

    Raises `DependencyError` without cuda-bindings, and `DeviceError` where there is no driver or no such device.
    """
    require("cuda.bindings", "cuda13", "running on a GPU")
    from .cuda_python import CudaPython

    return CudaPython(index)


def no_such_device(index: int, count: int) -> DeviceError:
    """Return what to raise for device `index` of `count`."""
    if not count:
        return DeviceError(
            "no CUDA device; check with nvidia-smi that the driver sees one, or run an ONNX with `device=cpu`"
        )
    there = "only cuda:0 is there" if count == 1 else f"there are {count}, cuda:0 to cuda:{count - 1}"
    return DeviceError(f"no CUDA device {index}: {there}")
