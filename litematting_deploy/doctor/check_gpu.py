"""Checks of what runs on an NVIDIA GPU. Each names everything that it lacks, not only the first."""

import ctypes
import importlib.metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._optional import install, require
from ..engines.onnxruntime import provider_runtime
from ..engines.tensorrt import version as trt
from ..errors import DependencyError, DeviceError
from ..runtime.cuda import open_cuda
from ..runtime.cuda.kernels import Kernels
from ..runtime.cuda.protocol import Cuda
from ..runtime.loading import load_engine
from ..runtime.shipped import SHIPPED_CHECKPOINT, TINY_ENGINE
from ..sidecar import Builder
from ..system import cuda_driver_library, gpus
from .expected import agreement, built_tiny, tiny_agreement
from .registry import Found, MissingError, needs, overwritten

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


def driver() -> Found:
    """Ask the driver for its version of CUDA and its GPUs, and see that cuda-bindings fits it."""
    try:
        cuda = ctypes.CDLL(cuda_driver_library())
    except OSError as error:
        raise MissingError(
            f"no NVIDIA driver ({cuda_driver_library()}); NVIDIA GPUs need one (580 or later for CUDA 13), and "
            "without it everything runs on the CPU"
        ) from error
    # Through ctypes, as the extras may be missing: what matters is which CUDA the driver knows.
    status, version, count = cuda.cuInit(0), ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    known = f"{version.value // 1000}.{version.value % 1000 // 10}"
    if status == _NO_DEVICE:
        raise MissingError(f"the driver (CUDA {known}) sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES")
    if status:
        raise DeviceError(
            f"the driver (CUDA {known}) does not start (cuInit returned {status}); check it with nvidia-smi"
        )
    cuda.cuDeviceGetCount(ctypes.byref(count))
    _check_bindings(version.value // 1000, known)
    named = "; ".join(f"{gpu['name']}, driver {gpu['driver_version']}, {gpu['memory.total']}" for gpu in gpus())
    return Found(f"CUDA {known}", f"{count.value} GPU{'s' * (count.value != 1)}: {named or 'not listed by nvidia-smi'}")


def _check_bindings(major: int, known: str) -> None:
    """Raise `DependencyError` where cuda-bindings is for a newer CUDA than the driver's."""
    try:
        bindings = importlib.metadata.version("cuda-bindings")
    except importlib.metadata.PackageNotFoundError:
        return
    if int(bindings.partition(".")[0]) > major:
        raise DependencyError(
            f"the driver supports CUDA {known}, but cuda-bindings {bindings} is for a newer version; update the "
            f"driver, or {install(f'cuda{major}')}"
        )


def cuda_python() -> Found:
    """Compute, with cuda-python and our kernels, the distance transform of one row whose first pixel is background.

    It counts up.
    """
    (cuda,) = needs(open_cuda)
    with cuda.active():
        squared = _distances(cuda)
    if squared.tolist() != [column**2 for column in range(64)]:
        raise DeviceError(
            f"{cuda.gpu}: a kernel computed wrong distances; update the driver, and check the GPU with nvidia-smi"
        )
    capability = ".".join(map(str, cuda.capability))
    version = f"cuda-bindings {importlib.metadata.version('cuda-bindings')}"
    return Found(version, f"kernels load on {cuda.gpu} ({capability}) and compute correct results")


def _distances(cuda: Cuda) -> NDArray[np.uint16]:
    """Return the squared distances (64,) of a row to its first pixel, as the kernels find them."""
    loaded, stream = Kernels(cuda), cuda.stream()
    trimap = np.full((1, 64), 128, np.uint8)
    trimap[0, 0] = 0
    squared = np.empty((2, 1, 64), np.uint16)
    # The trimap, the distances within rows in bytes, and the squared distances.
    buffers = [cuda.buffer(size) for size in (trimap.nbytes, squared.size, squared.nbytes)]
    trimap_at, rows_at, squared_at = (buffer.address for buffer in buffers)
    cuda.upload(trimap_at, trimap, stream)
    loaded.guide(stream, trimap_at, rows_at, squared_at, (1, 64))
    cuda.download(squared, squared_at, stream)
    stream.synchronize()
    for buffer in buffers:
        buffer.free()
    found: NDArray[np.uint16] = squared[0, 0]
    return found


def onnxruntime_cuda() -> Found:
    """Run the shipped engine with ONNX Runtime's CUDA execution provider."""
    needs(_one_onnxruntime, lambda: provider_runtime("cuda"), open_cuda)
    with load_engine(device="cuda", batch=1) as engine:
        return Found(f"onnxruntime {engine.version}", agreement(engine))


def onnxruntime_tensorrt() -> Found:
    """Run a tiny network with its TensorRT execution provider, which takes minutes for the real one."""
    needs(_one_onnxruntime, lambda: provider_runtime("tensorrt"), open_cuda)
    with load_engine(TINY_ENGINE, "tensorrt", batch=1) as engine:
        return Found(f"onnxruntime {engine.version}", tiny_agreement(engine))


def _one_onnxruntime() -> None:
    """Raise `DependencyError` where both wheels are installed: the later one overwrites files of the other."""
    if said := overwritten("onnxruntime-gpu", "gpu"):
        raise DependencyError(said)


def pytorch_cuda() -> Found:
    """Run the shipped weights in PyTorch on the GPU."""
    needs(_torch_sees_a_gpu, lambda: require("safetensors", "export", "reading .safetensors"), open_cuda)
    with load_engine(SHIPPED_CHECKPOINT, "cuda", batch=1) as engine:
        return Found(f"torch {engine.version}", agreement(engine))


def _torch_sees_a_gpu() -> None:
    """Raise `DeviceError` where PyTorch is built without CUDA or sees no GPU."""
    torch: Any = require("torch", "export", "a checkpoint as engine")
    if torch.version.cuda is None:
        raise DeviceError(f"torch {torch.__version__} is built without CUDA; install a CUDA build, see pytorch.org")
    if not torch.cuda.is_available():
        raise DeviceError(f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no GPU; check the driver")


def tensorrt() -> Found:
    """Build and run a tiny engine with TensorRT."""
    return _tensorrt("tensorrt")


def tensorrt_rtx() -> Found:
    """Build and run a tiny engine for this GPU with TensorRT for RTX."""
    return _tensorrt("tensorrt-rtx")


def _tensorrt(backend: Builder) -> Found:
    """Build a tiny engine with one of the two TensorRTs, load it, and run it."""
    needs(lambda: trt.load(backend, "a TensorRT engine"), open_cuda)
    with built_tiny(backend) as built, load_engine(built.path) as engine:
        return Found(f"{backend} {engine.version}", tiny_agreement(engine))
