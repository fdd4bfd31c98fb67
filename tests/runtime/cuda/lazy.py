"""The host as a device that works late: each stream is a queue, and the queues are worked off in random order.

What is read before it is there, written while it is still read, or freed while it is in use gives wrong values here as
on a GPU, but the same ones for the same seed.
"""

import ctypes
import math
import random
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.runtime.cuda.host import HostCuda

_KEPT: list[Any] = []


class LazyStream:
    def __init__(self, cuda: "LazyCuda", handle: int) -> None:
        self._cuda, self.handle = cuda, handle
        self.work: deque[tuple[Callable[[], bool], Callable[[], object]]] = deque()

    def synchronize(self) -> None:
        self._cuda.until(lambda: not self.work)

    def wait(self, event: "LazyEvent") -> None:
        recorded = event.recorded
        self.work.append((lambda: event.happened >= recorded, lambda: None))


class LazyEvent:
    def __init__(self, cuda: "LazyCuda", timing: bool) -> None:
        self._cuda, self._timing = cuda, timing
        self.recorded = self.happened = 0
        self._at = math.nan

    def record(self, stream: LazyStream) -> None:
        self.recorded += 1
        number = self.recorded
        stream.work.append((lambda: True, lambda: self._happen(number)))

    def synchronize(self) -> None:
        number = self.recorded
        self._cuda.until(lambda: self.happened >= number)

    def _happen(self, number: int) -> None:
        self.happened, self._at = max(self.happened, number), time.perf_counter()

    def milliseconds_since(self, earlier: Any) -> float:
        assert self._timing, "an event made without timing was asked for its time"
        assert earlier._timing, "an event made without timing was asked for its time"
        return float(self._at - earlier._at) * 1e3


class LazyMemory:
    """Poisoned when it is made and when it is freed; never given back, so that late work hits nothing else."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.bytes: NDArray[np.uint8] = np.full(nbytes, 0xA5, np.uint8)
        self.address = self.bytes.ctypes.data
        _KEPT.append(self.bytes)

    def free(self) -> None:
        self.bytes[:] = 0x5A


class LazyCuda(HostCuda):
    """The protocol. A graph that is launched puts its work on the streams, where it is as late as any other."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder)
        self._random = random.Random(seed)
        self.streams: list[LazyStream] = []

    def stream(self) -> Any:
        self.streams.append(LazyStream(self, len(self.streams) + 1))
        return self.streams[-1]

    def event(self, timing: bool = False) -> Any:
        return LazyEvent(self, timing)

    def buffer(self, nbytes: int, stream: Any = None) -> Any:
        return LazyMemory(nbytes)

    def pinned(self, nbytes: int) -> Any:
        return LazyMemory(nbytes)

    def synchronize(self) -> None:
        self.until(lambda: not any(stream.work for stream in self.streams))

    def zero(self, address: int, nbytes: int, stream: Any) -> None:
        self.later(stream.handle, lambda: ctypes.memset(address, 0, nbytes))

    def upload(self, address: int, source: NDArray[Any], stream: Any) -> None:
        self.later(stream.handle, lambda: ctypes.memmove(address, source.ctypes.data, source.nbytes))

    def download(self, target: NDArray[Any], address: int, stream: Any) -> None:
        self.later(stream.handle, lambda: ctypes.memmove(target.ctypes.data, address, target.nbytes))

    def copy(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        self.later(stream.handle, lambda: ctypes.memmove(target, source, nbytes))

    def module(self, source: str) -> Any:
        return _LateModule(self, super().module(source))

    def later(self, handle: int, work: Callable[[], object]) -> None:
        """Put work on a stream, after doing some of what waits already."""
        self.streams[handle - 1].work.append((lambda: True, work))
        for _ in range(self._random.choice((0, 0, 0, 1, 5))):
            self._step()

    def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            assert self._step(), "every stream waits for another"

    def _step(self) -> bool:
        ready = [stream for stream in self.streams if stream.work and stream.work[0][0]()]
        if ready:
            _, work = self._random.choice(ready).work.popleft()
            work()
        return bool(ready)


class _LateModule:
    def __init__(self, cuda: LazyCuda, module: Any) -> None:
        self._cuda, self._module = cuda, module

    def kernel(self, name: str) -> Any:
        return _LateKernel(self._cuda, self._module.kernel(name))


class _LateKernel:
    def __init__(self, cuda: LazyCuda, kernel: Any) -> None:
        self._cuda, self._kernel = cuda, kernel

    def launch(self, stream: Any, *arguments: Any) -> None:
        self._cuda.later(stream.handle, lambda: self._kernel.launch(stream, *arguments))
