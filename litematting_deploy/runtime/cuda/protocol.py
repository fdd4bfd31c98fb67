"""What the runtime needs of a CUDA device; `cuda-python`, PyCUDA and the tests' host each implement it.

Addresses are plain integers, sizes in bytes. All copies and launches are asynchronous, in the order of their stream.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Scalar = np.int32 | np.float32
Argument = int | Scalar
"""Of a kernel: an address as `int`, a number as `np.int32` or `np.float32`."""


class Stream(Protocol):
    """Work in order. handle: the `CUstream` as an integer."""

    @property
    def handle(self) -> int: ...
    def synchronize(self) -> None:
        """Return when all work so far is done; raises `DeviceError` when some of it failed."""

    def wait(self, event: "Event") -> None:
        """Later work on this stream starts after `event` as it was last recorded."""


class Event(Protocol):
    """A point in the work of a stream."""

    def record(self, stream: Stream) -> None: ...
    def synchronize(self) -> None: ...
    def milliseconds_since(self, earlier: "Event") -> float:
        """Between two recorded events that were made with `timing`; both must have happened."""


class Buffer(Protocol):
    """Memory of the device; freed by `free` or with the object, once no stream works on it."""

    @property
    def address(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def free(self) -> None: ...


class PinnedBuffer(Protocol):
    """Page-locked host memory, which copies beside computation. bytes: all of it, as uint8 (nbytes,)."""

    @property
    def bytes(self) -> NDArray[np.uint8]: ...
    def free(self) -> None: ...


class Kernel(Protocol):
    """A function of a module."""

    def launch(
        self, stream: Stream, grid: tuple[int, int, int], block: tuple[int, int, int], *arguments: Argument
    ) -> None: ...


class Module(Protocol):
    """Compiled device code."""

    def kernel(self, name: str) -> Kernel: ...


class Graph(Protocol):
    """Recorded work of a stream, launched as one."""

    def launch(self, stream: Stream) -> None: ...
    def close(self) -> None: ...


class Cuda(Protocol):
    """One device. Its calls raise `DeviceError` with the driver's own words.

    backend: `cuda-python` or `pycuda`. index: of the device. gpu: its name. capability: compute capability, as (8, 9).
    """

    backend: str
    index: int
    gpu: str
    capability: tuple[int, int]

    def activate(self) -> None:
        """Make the device current for the calling thread; call before anything else in a thread."""

    def synchronize(self) -> None:
        """Wait for all work on the device, whoever put it there."""

    def stream(self) -> Stream: ...
    def event(self, timing: bool = False) -> Event: ...
    def buffer(self, nbytes: int) -> Buffer: ...
    def pinned(self, nbytes: int) -> PinnedBuffer: ...
    def module(self, source: str) -> Module:
        """Compile CUDA C++ for this device, or take what was compiled before, and load it."""

    def zero(self, address: int, nbytes: int, stream: Stream) -> None: ...
    def upload(self, address: int, source: NDArray[Any], stream: Stream) -> None:
        """Copy a C-contiguous host array to the device; only from pinned memory does the call not wait for it."""

    def download(self, target: NDArray[Any], address: int, stream: Stream) -> None:
        """Copy to a C-contiguous host array; read it after `stream.synchronize()`."""

    def copy(self, target: int, source: int, nbytes: int, stream: Stream) -> None:
        """Copy within the device, from the address `source` to the address `target`."""

    def memory(self) -> tuple[int, int]:
        """Bytes of the device that are free now, whoever holds the others, and all of them."""

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph | None:
        """Record what `work` enqueues on `stream`, without running it; None where graphs cannot be captured."""
