"""What the runtime needs of a CUDA device, which cuda-python gives, and in tests the host.

Addresses are plain integers, sizes in bytes. All copies and launches are asynchronous, in the order of their stream.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import DeviceError

Argument = int | np.int32 | np.float32
"""An argument of a kernel: an address as `int`, a number as `np.int32` or `np.float32`."""


class Stream(Protocol):
    """Work in order."""

    @property
    def handle(self) -> int:
        """The `CUstream` as an integer, for other libraries."""

    def synchronize(self) -> None:
        """Return when all work so far is done; raises `DeviceError` when some of it failed."""

    def wait(self, event: "Event") -> None:
        """Start later work on this stream after `event` as it was last recorded."""


class Event(Protocol):
    """A point in the work of a stream."""

    def record(self, stream: Stream) -> None:
        """Make this event the end of all work on `stream` so far."""

    def synchronize(self) -> None:
        """Return when the event as it was last recorded has happened."""

    def milliseconds_since(self, earlier: "Event") -> float:
        """Return the time between two recorded events that were made with `timing`; both must have happened."""


class Buffer(Protocol):
    """Memory of the device; freed by `free` or with the object, once no stream works on it."""

    @property
    def address(self) -> int:
        """The address of its first byte on the device."""

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""

    def free(self) -> None:
        """Give the memory back; nothing happens the second time."""


class PinnedBuffer(Protocol):
    """Page-locked host memory, which copies beside computation."""

    @property
    def bytes(self) -> NDArray[np.uint8]:
        """All of it, (nbytes,) uint8."""

    def free(self) -> None:
        """Give the memory back; nothing happens the second time."""


class Kernel(Protocol):
    """A function of a module."""

    def launch(
        self, stream: Stream, grid: tuple[int, int, int], block: tuple[int, int, int], *arguments: Argument
    ) -> None:
        """Put a run on `stream`. grid: blocks in x, y and z. block: threads of each, likewise."""


class Module(Protocol):
    """Compiled device code."""

    def kernel(self, name: str) -> Kernel:
        """Return a function of the code; raises `DeviceError` where it has none of this name."""


class Graph(Protocol):
    """Recorded work of a stream, launched as one."""

    def launch(self, stream: Stream) -> None:
        """Put all of the recorded work on `stream`."""

    def free(self) -> None:
        """Give the recording back; nothing happens the second time."""


class Cuda(Protocol):
    """One device. Its calls raise `DeviceError` with the driver's own words.

    index: of the device. gpu: its name. capability: compute capability, as (8, 9).
    """

    index: int
    gpu: str
    capability: tuple[int, int]

    def active(self) -> AbstractContextManager[None]:
        """Make the device current for the calling thread, and what the caller had before again at the end.

        All other calls belong within, those of what they return included; only `free` may come at any time.
        """

    def synchronize(self) -> None:
        """Wait for all work on the device, whoever put it there."""

    def stream(self) -> Stream:
        """Make a stream, which does not wait for the default stream."""

    def event(self, timing: bool = False) -> Event:
        """Make an event; only with `timing` it can be asked for times."""

    def buffer(self, nbytes: int, stream: Stream | None = None) -> Buffer:
        """Allocate memory on the device, which holds anything at first.

        stream: only later work on it, and what waits for that, uses the memory, so that a driver with memory pools
        neither waits nor asks the system each time.
        """

    def pinned(self, nbytes: int) -> PinnedBuffer:
        """Allocate page-locked memory on the host, which holds anything at first."""

    def module(self, source: str) -> Module:
        """Compile CUDA C++ for this device, or take what was compiled before, and load it."""

    def zero(self, address: int, nbytes: int, stream: Stream) -> None:
        """Set `nbytes` bytes from `address` on to 0."""

    def upload(self, address: int, source: NDArray[Any], stream: Stream) -> None:
        """Copy a C-contiguous host array to the device; only from pinned memory does the call not wait for it."""

    def download(self, target: NDArray[Any], address: int, stream: Stream) -> None:
        """Copy to a C-contiguous host array; read it after `stream.synchronize()`."""

    def copy(self, target: int, source: int, nbytes: int, stream: Stream) -> None:
        """Copy within the device, from the address `source` to the address `target`."""

    def memory(self) -> tuple[int, int]:
        """Return the bytes of the device that are free now, whoever holds the others, and all of them."""

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """Record what `work` puts on `stream`, without running it."""


def no_such_device(index: int, count: int) -> DeviceError:
    """Return what to raise for device `index` of `count`."""
    if not count:
        return DeviceError("no CUDA device; check with nvidia-smi that the driver sees one, or use `device=cpu`")
    there = "only cuda:0 exists" if count == 1 else f"there are {count}, cuda:0 to cuda:{count - 1}"
    return DeviceError(f"no CUDA device {index}: {there}")
