"""CUDA devices behind one small protocol, and the kernels of crop-and-stitch."""

from ..._optional import require
from .protocol import Cuda


def open_cuda(index: int = 0, otherwise: str = "use `device=cpu`") -> Cuda:
    """Open device `index`; what works on it goes within its `active`.

    otherwise: what else can be done where there is no driver, for the error.

    Raises `DependencyError` without cuda-bindings, and `DeviceError` where there is no driver or no such device.
    """
    require("cuda.bindings", "cuda13", "running on a GPU")
    from .cuda_python import CudaPython

    return CudaPython(index, otherwise)
