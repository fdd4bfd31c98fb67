"""The driver through the raw bindings, for tests of what the stand-in does and refuses."""

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from litematting_deploy.runtime.cuda.compile import compiled
from litematting_deploy.runtime.cuda.cuda_python import driver
from tests.runtime.cuda.standin.network import SOURCE

NON_BLOCKING = 1
MODE = SimpleNamespace(
    GLOBAL=driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL,
    THREAD_LOCAL=driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
    RELAXED=driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED,
)


def call(name: str, *arguments: Any) -> Any:
    """What a function gives; it must succeed."""
    status, *results = getattr(driver, name)(*arguments)
    assert status == driver.CUresult.CUDA_SUCCESS, f"{name}: {status.name}"
    return results[0] if len(results) == 1 else tuple(results)


def refused(error: str, name: str, *arguments: Any) -> None:
    """Call a function, which must be refused with this error."""
    status, *_ = getattr(driver, name)(*arguments)
    assert status.name == f"CUDA_ERROR_{error}", f"{name}: {status.name}"


def context(index: int = 0) -> Any:
    """The primary context of a device, made current."""
    call("cuInit", 0)
    own = call("cuDevicePrimaryCtxRetain", call("cuDeviceGet", index))
    call("cuCtxSetCurrent", own)
    return own


def stream(flags: int = NON_BLOCKING) -> Any:
    return call("cuStreamCreate", flags)


def event(flags: int = 0) -> Any:
    return call("cuEventCreate", flags)


def memory(nbytes: int = 64) -> int:
    return int(call("cuMemAlloc", nbytes))


def pinned(nbytes: int = 64) -> Any:
    """Page-locked memory as an array."""
    address = int(call("cuMemHostAlloc", nbytes, 0))
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))


def move() -> Any:
    """The kernel `move` of network.cu, in the current context."""
    return call("cuModuleGetFunction", call("cuModuleLoadData", compiled(SOURCE, (8, 9))), b"move")


def launch(kernel: Any, on: Any, source: int, target: int, first: int = 0, count: int = 64) -> tuple[Any, ...]:
    """The arguments of a launch of `move`."""
    kinds = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
    return kernel, 1, 1, 1, 1024, 1, 1, 0, on, ((source, target, first, count), kinds), 0


def fetched(address: int, nbytes: int = 64) -> Any:
    """Memory of the device as an array, when all work is done."""
    call("cuCtxSynchronize")
    array = np.empty(nbytes, np.uint8)
    call("cuMemcpyDtoH", array.ctypes.data, address, nbytes)
    return array
