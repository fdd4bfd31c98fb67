"""The protocol on the driver API of `cuda-python`.

On `cuda.bindings` rather than `cuda.core` above it, which copies from and to no host arrays, hands out pooled memory
that is bound to a stream, and raises errors of a class it does not export: here every call's status is checked in one
place.
"""

import contextlib
import ctypes
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._optional import require
from ...errors import DeviceError
from ...system import cuda_driver_library
from . import protocol as p
from .compile import compiled

driver: Any = require("cuda.bindings.driver", "cuda13", "running on a GPU")

_DEFAULT_STREAM = 0
_RECORDING = threading.RLock()  # whoever waits for a context spoils what any thread records in it

# As cuda-bindings takes the arguments of a kernel: each with the C type that it becomes.
_TYPES: dict[type, Any] = {int: ctypes.c_void_p, np.int32: ctypes.c_int32, np.float32: ctypes.c_float}


class CudaPython:
    """A device with its primary context, which PyTorch, CuPy and ONNX Runtime use too; see `protocol.Cuda`."""

    def __init__(self, index: int, otherwise: str) -> None:
        try:
            _call("cuInit", 0)
        except RuntimeError as error:  # cuda.bindings looks for the driver at the first call
            raise DeviceError(
                f"no CUDA driver ({cuda_driver_library()}); install NVIDIA's driver, or {otherwise}"
            ) from error
        count = _call("cuDeviceGetCount")
        if not 0 <= index < count:
            raise p.no_such_device(index, count)
        device = _call("cuDeviceGet", index)
        self.index = index
        self.capability = (_capability("MAJOR", device), _capability("MINOR", device))
        self.gpu = bytes(_call("cuDeviceGetName", 128, device)).split(b"\0")[0].decode()
        # Never released: whoever shares it in this process may still hold memory or streams of it.
        self._context = _call("cuDevicePrimaryCtxRetain", device)
        pooled = _call(
            "cuDeviceGetAttribute", driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, device
        )
        with self.active():
            self._pool = _pool(self._context, index) if pooled else None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Make the primary context current for the calling thread, and the caller's own again at the end."""
        _call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            driver.cuCtxPopCurrent()  # whose status would hide what failed before

    def synchronize(self) -> None:
        """Wait for all work in the context, and for recordings in other threads, which that would spoil."""
        with _RECORDING:
            _call("cuCtxSynchronize")

    def stream(self) -> "_Stream":
        """Make a stream that does not wait for the legacy default stream, which other libraries work on."""
        flags = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        return _Stream(self._context, "cuStreamDestroy", _call("cuStreamCreate", flags.value))

    def event(self, timing: bool = False) -> "_Event":
        """Make an event, without a clock unless `timing` asks for one."""
        flags = driver.CUevent_flags.CU_EVENT_DEFAULT if timing else driver.CUevent_flags.CU_EVENT_DISABLE_TIMING
        return _Event(self._context, "cuEventDestroy", _call("cuEventCreate", flags.value))

    def buffer(self, nbytes: int, stream: p.Stream | None = None) -> "_Buffer":
        """Allocate memory on the device, at least one byte, because the driver refuses to allocate nothing.

        That of a stream comes from a pool, where the device has them. It is freed behind the work of the default
        stream, which is where other libraries use what we hand out unless they are told otherwise.
        """
        if stream is None or self._pool is None:
            return _Buffer(self._context, nbytes, "cuMemFree", _call("cuMemAlloc", max(nbytes, 1)))
        memory = _call("cuMemAllocFromPoolAsync", max(nbytes, 1), self._pool.own, stream.handle)
        return _Buffer(self._context, nbytes, "cuMemFreeAsync", memory, _DEFAULT_STREAM)

    def pinned(self, nbytes: int) -> "_Pinned":
        """Allocate page-locked memory on the host, at least one byte."""
        return _Pinned(self._context, nbytes)

    def module(self, source: str) -> "_Module":
        """Load CUDA C++ that NVRTC compiles, or compiled before, for this capability."""
        code = compiled(source, self.capability)
        return _Module(self._context, "cuModuleUnload", _call("cuModuleLoadData", code))

    def zero(self, address: int, nbytes: int, stream: p.Stream) -> None:
        """Set bytes to 0."""
        _call("cuMemsetD8Async", address, 0, nbytes, stream.handle)

    def upload(self, address: int, source: NDArray[Any], stream: p.Stream) -> None:
        """Copy a host array to the device. Raises `DeviceError` unless it is C-contiguous."""
        _call("cuMemcpyHtoDAsync", address, _contiguous(source).ctypes.data, source.nbytes, stream.handle)

    def download(self, target: NDArray[Any], address: int, stream: p.Stream) -> None:
        """Copy from the device to a host array. Raises `DeviceError` unless it is C-contiguous."""
        _call("cuMemcpyDtoHAsync", _contiguous(target).ctypes.data, address, target.nbytes, stream.handle)

    def copy(self, target: int, source: int, nbytes: int, stream: p.Stream) -> None:
        """Copy within the device."""
        _call("cuMemcpyDtoDAsync", target, source, nbytes, stream.handle)

    def memory(self) -> tuple[int, int]:
        """Return free and all bytes of the device."""
        free, total = _call("cuMemGetInfo")
        return int(free), int(total)

    def capture(self, stream: p.Stream, work: Callable[[], None]) -> "_Graph":
        """Record a graph of what `work` puts on `stream`; where that fails, the stream can be used again."""
        # Relaxed: Python may collect garbage in the middle of `work`, and the memory that frees would count as a
        # forbidden call of a stricter mode and spoil the recording.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        with _RECORDING:
            _call("cuStreamBeginCapture", stream.handle, mode)
            with contextlib.ExitStack() as on_error:
                on_error.callback(_abandon, stream.handle)
                work()
                on_error.pop_all()
            graph = _call("cuStreamEndCapture", stream.handle)
        try:
            return _Graph(self._context, "cuGraphExecDestroy", _call("cuGraphInstantiate", graph, 0))
        finally:
            _call("cuGraphDestroy", graph)


class _Owned:
    """A handle that is released once, by `free` or with the object, whichever thread that is in."""

    def __init__(self, context: Any, release: str, handle: Any, *arguments: Any) -> None:
        """release: the driver's function that ends it. arguments: that it takes after the handle."""
        self.own = handle
        self._end = weakref.finalize(self, _release, context, release, handle, *arguments)
        self._end.atexit = False  # the process gives everything back, and the driver may be gone by then

    def free(self) -> None:
        """Release the handle, unless that is done."""
        self._end()


class _Stream(_Owned):
    @property
    def handle(self) -> int:
        """The `CUstream` as an integer."""
        return int(self.own)

    def synchronize(self) -> None:
        """Wait for its work so far."""
        _call("cuStreamSynchronize", self.own)

    def wait(self, event: Any) -> None:
        """Start later work after `event`."""
        _call("cuStreamWaitEvent", self.own, event.own, 0)


class _Event(_Owned):
    def record(self, stream: p.Stream) -> None:
        """Put the event behind the work of `stream`."""
        _call("cuEventRecord", self.own, stream.handle)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        _call("cuEventSynchronize", self.own)

    def milliseconds_since(self, earlier: Any) -> float:
        """Return the time since an earlier event, with a resolution of half a microsecond."""
        return float(_call("cuEventElapsedTime", earlier.own, self.own))


class _Buffer(_Owned):
    def __init__(self, context: Any, nbytes: int, release: str, memory: Any, *arguments: Any) -> None:
        super().__init__(context, release, memory, *arguments)
        self.nbytes, self.address = nbytes, int(self.own)


class _Pinned(_Owned):
    def __init__(self, context: Any, nbytes: int) -> None:
        super().__init__(context, "cuMemFreeHost", _call("cuMemHostAlloc", max(nbytes, 1), 0))
        memory = (ctypes.c_uint8 * nbytes).from_address(int(self.own))
        self.bytes: NDArray[np.uint8] = np.ctypeslib.as_array(memory)

    def free(self) -> None:
        """Release the memory; `bytes`, which would point to it, becomes empty."""
        self.bytes = np.empty(0, np.uint8)
        super().free()


class _Module(_Owned):
    def kernel(self, name: str) -> "_Kernel":
        """Return the function of this name."""
        return _Kernel(self, _call("cuModuleGetFunction", self.own, name.encode()))


class _Kernel:
    def __init__(self, module: _Module, function: Any) -> None:
        self._module, self._function = module, function  # a function ends with its module

    def launch(
        self, stream: p.Stream, grid: tuple[int, int, int], block: tuple[int, int, int], *arguments: p.Argument
    ) -> None:
        """Put a run on `stream`; each argument goes as the C type that belongs to its Python type."""
        values = tuple(argument if isinstance(argument, int) else argument.item() for argument in arguments)
        types = tuple(_TYPES[type(argument)] for argument in arguments)
        _call("cuLaunchKernel", self._function, *grid, *block, 0, stream.handle, (values, types), 0)


class _Graph(_Owned):
    def launch(self, stream: p.Stream) -> None:
        """Put the recorded work on `stream`."""
        _call("cuGraphLaunch", self.own, stream.handle)


def _call(name: str, *arguments: Any) -> Any:
    """Return what a driver function returns beside its status.

    Raises `DeviceError` with the function's name and the driver's words.
    """
    status, *results = getattr(driver, name)(*arguments)
    if status != driver.CUresult.CUDA_SUCCESS:
        _, words = driver.cuGetErrorString(status)
        raise DeviceError(f"{name}: {words.decode() if words else status}")
    return results[0] if len(results) == 1 else tuple(results)


def _pool(context: Any, index: int) -> _Owned:
    """Return a pool that keeps what is freed for the next buffer; not the default one, which other libraries use.

    When it is released, buffers that came from it live on, and what it keeps goes back to the system.
    """
    properties = driver.CUmemPoolProps()
    properties.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    properties.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    properties.location.id = index
    pool = _Owned(context, "cuMemPoolDestroy", _call("cuMemPoolCreate", properties))
    threshold = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
    _call("cuMemPoolSetAttribute", pool.own, threshold, driver.cuuint64_t(2**64 - 1))
    return pool


def _capability(part: str, device: Any) -> int:
    """Return the `MAJOR` or `MINOR` part of a device's compute capability."""
    attribute = getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{part}")
    return int(_call("cuDeviceGetAttribute", attribute, device))


def _release(context: Any, name: str, handle: Any, *arguments: Any) -> None:
    """Release a handle in its context, which need not be current in this thread.

    Statuses are not looked at: what can fail here failed before, in a call that said so, and stays failed.
    """
    driver.cuCtxPushCurrent(context)
    getattr(driver, name)(handle, *arguments)
    driver.cuCtxPopCurrent()


def _abandon(stream: int) -> None:
    """End a capture whose work failed, so that the stream can be used again; that failure is the one to show."""
    status, graph = driver.cuStreamEndCapture(stream)
    if status == driver.CUresult.CUDA_SUCCESS:
        driver.cuGraphDestroy(graph)


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array. Raises `DeviceError` unless it is one block of memory."""
    if not array.flags.c_contiguous:
        raise DeviceError(f"a host array of {array.shape} with strides {array.strides} cannot be copied as one block")
    return array
