"""The protocol on PyCUDA, for those who live in it: their context, their arrays, no graphs. Nothing here calls nvcc.

PyCUDA's contexts belong to the thread that opened them, and so does a device opened here.
"""

import atexit
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycuda import driver

from ...errors import DeviceError
from . import no_such_device
from . import protocol as p
from .compile import compiled

_FORMATS: dict[type, str] = {int: "P", np.int32: "i", np.float32: "f"}


def open_device(index: int) -> "PyCuda":
    """Device `index` in PyCUDA's current context if there is one, otherwise in the device's primary context."""
    with _words():
        driver.init()
        count = driver.Device.count()
    if not 0 <= index < count:
        raise no_such_device(index, count)
    with _words():
        if driver.Context.get_current() is None:
            driver.Device(index).retain_primary_context().push()
            atexit.register(driver.Context.pop)  # PyCUDA ends the process if a context is left on its stack
    return PyCuda(index)


class PyCuda:
    """See `protocol.Cuda`."""

    backend = "pycuda"

    def __init__(self, index: int) -> None:
        with _words():
            self._context = driver.Context.get_current()
            device = driver.Context.get_device()
            if device != driver.Device(index):
                raise DeviceError(
                    f"PyCUDA's current context is on {device.name()} ({device.pci_bus_id()}), not on cuda:{index}; "
                    "choose its device, or make a context of the wanted one current"
                )
            self.index, self.gpu, self.capability = index, device.name(), device.compute_capability()
        self._thread = threading.get_ident()

    def activate(self) -> None:
        """Raises `DeviceError` in another thread, or where another of PyCUDA's contexts is current."""
        if threading.get_ident() != self._thread:
            raise DeviceError(
                "PyCUDA's context belongs to the thread that opened it; stay in that, or use `cuda_backend=cuda-python`"
            )
        if driver.Context.get_current() != self._context:
            raise DeviceError("another PyCUDA context is current than when the device was opened; pop it first")

    def synchronize(self) -> None:
        with _words():
            driver.Context.synchronize()

    def stream(self) -> "_Stream":
        return _Stream()

    def event(self, timing: bool = False) -> "_Event":
        return _Event(timing)

    def buffer(self, nbytes: int) -> "_Buffer":
        return _Buffer(nbytes)

    def pinned(self, nbytes: int) -> "_Pinned":
        return _Pinned(nbytes)

    def module(self, source: str) -> "_Module":
        return _Module(compiled(source, self.capability))

    def zero(self, address: int, nbytes: int, stream: p.Stream) -> None:
        with _words():
            driver.memset_d8_async(address, 0, nbytes, _of(stream))

    def upload(self, address: int, source: NDArray[Any], stream: p.Stream) -> None:
        with _words():
            driver.memcpy_htod_async(address, source, _of(stream))

    def download(self, target: NDArray[Any], address: int, stream: p.Stream) -> None:
        with _words():
            driver.memcpy_dtoh_async(target, address, _of(stream))

    def copy(self, target: int, source: int, nbytes: int, stream: p.Stream) -> None:
        with _words():
            driver.memcpy_dtod_async(target, source, nbytes, _of(stream))

    def memory(self) -> tuple[int, int]:
        with _words():
            free, total = driver.mem_get_info()
        return int(free), int(total)

    def capture(self, stream: p.Stream, work: Callable[[], None]) -> p.Graph | None:  # noqa: ARG002
        """None: PyCUDA records no graphs."""
        return None


class _Stream:
    def __init__(self) -> None:
        with _words():
            self.own = driver.Stream(_NON_BLOCKING)
        self.handle = int(self.own.handle)

    def synchronize(self) -> None:
        with _words():
            self.own.synchronize()

    def wait(self, event: Any) -> None:
        with _words():
            self.own.wait_for_event(event.own)


class _Event:
    def __init__(self, timing: bool) -> None:
        flags = driver.event_flags
        with _words():
            self.own = driver.Event(flags.DEFAULT if timing else flags.DISABLE_TIMING)

    def record(self, stream: p.Stream) -> None:
        with _words():
            self.own.record(_of(stream))

    def synchronize(self) -> None:
        with _words():
            self.own.synchronize()

    def milliseconds_since(self, earlier: Any) -> float:
        with _words():
            return float(self.own.time_since(earlier.own))


class _Buffer:
    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        with _words():
            self._memory: Any = driver.mem_alloc(max(nbytes, 1))
        self.address = int(self._memory)

    def free(self) -> None:
        self._memory = None  # PyCUDA frees what nobody holds


class _Pinned:
    def __init__(self, nbytes: int) -> None:
        with _words():
            self.bytes: NDArray[np.uint8] = driver.pagelocked_empty(nbytes, np.uint8)

    def free(self) -> None:
        self.bytes = np.empty(0, np.uint8)


class _Module:
    def __init__(self, code: bytes) -> None:
        with _words():
            self._module = driver.module_from_buffer(code)

    def kernel(self, name: str) -> "_Kernel":
        with _words():
            return _Kernel(self._module.get_function(name))


class _Kernel:
    def __init__(self, function: Any) -> None:
        self._function = function

    def launch(
        self, stream: p.Stream, grid: tuple[int, int, int], block: tuple[int, int, int], *arguments: p.Argument
    ) -> None:
        with _words():
            self._function.prepare("".join(_FORMATS[type(argument)] for argument in arguments))
            self._function.prepared_async_call(grid, block, _of(stream), *arguments)


_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream, which PyCUDA's arrays work on


def _of(stream: Any) -> Any:
    """PyCUDA's own stream."""
    return stream.own


@contextlib.contextmanager
def _words() -> Iterator[None]:
    """PyCUDA's errors, which hold the call's name and the driver's words, as `DeviceError`."""
    try:
        yield
    except driver.Error as error:
        raise DeviceError(f"PyCUDA: {error}") from error
