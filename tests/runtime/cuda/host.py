"""The host as a device: the protocol on host memory, and the very kernels, in which a grid is a loop.

It proves what the kernels compute and how the pipeline puts them together, on any machine with a C++ compiler. It says
nothing about streams: every call is done when it returns.
"""

import contextlib
import ctypes
import hashlib
import math
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from litematting_deploy.runtime.cuda.protocol import Argument

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")

# Without contraction of multiply and add, as on the device.
FLAGS = ("-shared", "-fPIC", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")

SHIM = """
#include <math.h>
#define __global__
#define __device__
struct Index { unsigned x, y, z; };
static thread_local Index blockIdx, threadIdx, blockDim, gridDim;
"""
_LAUNCHER = """
extern "C" void launch_{name}(const unsigned* g, const unsigned* b, {parameters}) {{
    gridDim = {{g[0], g[1], g[2]}}; blockDim = {{b[0], b[1], b[2]}};
    for (blockIdx.z = 0; blockIdx.z < g[2]; ++blockIdx.z) for (blockIdx.y = 0; blockIdx.y < g[1]; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < g[0]; ++blockIdx.x) for (threadIdx.z = 0; threadIdx.z < b[2]; ++threadIdx.z)
    for (threadIdx.y = 0; threadIdx.y < b[1]; ++threadIdx.y) for (threadIdx.x = 0; threadIdx.x < b[0]; ++threadIdx.x)
        {name}({arguments});
}}
"""
_SIGNATURE = re.compile(r'extern "C" *void (\w+)\(([^)]*)\)', re.DOTALL)


class HostStream:
    handle = 1

    def synchronize(self) -> None: ...
    def wait(self, event: Any) -> None: ...


class HostEvent:
    """When it was recorded; only one made with `timing` tells."""

    def __init__(self, timing: bool) -> None:
        self._timing, self._at = timing, math.nan

    def record(self, stream: Any) -> None:
        self._at = time.perf_counter()

    def synchronize(self) -> None: ...
    def milliseconds_since(self, earlier: Any) -> float:
        assert self._timing, "an event made without timing was asked for its time"
        assert earlier._timing, "an event made without timing was asked for its time"
        return float(self._at - earlier._at) * 1e3


class HostBuffer:
    """Memory, poisoned so that reading what nobody wrote shows; `cuda` keeps the books."""

    def __init__(self, cuda: "HostCuda", nbytes: int) -> None:
        self._cuda, self.nbytes = cuda, nbytes
        self.bytes: NDArray[np.uint8] = np.full(nbytes, 0xA5, np.uint8)
        self.address = self.bytes.ctypes.data
        cuda.held_bytes += nbytes

    def free(self) -> None:
        self._cuda.held_bytes -= self.nbytes
        self.nbytes = 0


class HostPinned:
    def __init__(self, nbytes: int) -> None:
        self.bytes: NDArray[np.uint8] = np.full(nbytes, 0xA5, np.uint8)

    def free(self) -> None: ...


class HostGraph:
    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def launch(self, stream: Any) -> None:
        assert self._work is not None, "launched after free"
        self._work()

    def free(self) -> None:
        self._work = None


class HostKernel:
    """A kernel called through ctypes, after checking the arguments against its C++ parameters."""

    def __init__(self, name: str, function: Any, parameters: list[str]) -> None:
        self._name, self._function, self._parameters = name, function, parameters

    def launch(
        self,
        stream: Any,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        *arguments: Argument,
    ) -> None:
        count = len(self._parameters)
        assert len(arguments) == count, f"{self._name} takes {count} arguments, got {len(arguments)}"
        converted = map(self._converted, arguments, self._parameters)
        self._function((ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), *converted)

    def _converted(self, argument: Argument, parameter: str) -> Any:
        wanted = int if "*" in parameter else {"int": np.int32, "float": np.float32}[parameter.split()[0]]
        assert type(argument) is wanted, f"{self._name}: {parameter} is given {type(argument).__name__}"
        if isinstance(argument, int):
            return ctypes.c_void_p(argument)
        return ctypes.c_int32(int(argument)) if isinstance(argument, np.int32) else ctypes.c_float(float(argument))


class HostModule:
    def __init__(self, library: Path, signatures: dict[str, list[str]]) -> None:
        self._library, self._signatures = ctypes.CDLL(str(library)), signatures

    def kernel(self, name: str) -> HostKernel:
        return HostKernel(name, getattr(self._library, f"launch_{name}"), self._signatures[name])


class HostCuda:
    """The protocol. held_bytes: of buffers that were not freed. captures: graphs recorded so far."""

    index, gpu, capability = 0, "the host", (8, 9)
    total_bytes = 1 << 34

    def __init__(self, folder: Path, flags: tuple[str, ...] = ()) -> None:
        """folder: where kernels are built, each once, by all who share it. flags: more of the compiler's, such as
        `-fsanitize=address,undefined`."""
        self.folder, self._flags = folder, (*FLAGS, *flags)
        self._modules: dict[str, HostModule] = {}
        self.held_bytes = self.captures = 0

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        yield

    def synchronize(self) -> None: ...
    def stream(self) -> HostStream:
        return HostStream()

    def event(self, timing: bool = False) -> HostEvent:
        return HostEvent(timing)

    def buffer(self, nbytes: int, stream: Any = None) -> HostBuffer:
        return HostBuffer(self, nbytes)

    def pinned(self, nbytes: int) -> HostPinned:
        return HostPinned(nbytes)

    def module(self, source: str) -> HostModule:
        if source not in self._modules:
            self._modules[source] = self._built(source)
        return self._modules[source]

    def _built(self, source: str) -> HostModule:
        found = signatures(source)
        code = SHIM + source + "".join(_launcher(*item) for item in found.items())
        return HostModule(built(self.folder, code, self._flags), found)

    def zero(self, address: int, nbytes: int, stream: Any) -> None:
        ctypes.memset(address, 0, nbytes)

    def upload(self, address: int, source: NDArray[Any], stream: Any) -> None:
        assert source.flags.c_contiguous
        ctypes.memmove(address, source.ctypes.data, source.nbytes)

    def download(self, target: NDArray[Any], address: int, stream: Any) -> None:
        assert target.flags.c_contiguous
        ctypes.memmove(target.ctypes.data, address, target.nbytes)

    def copy(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        ctypes.memmove(target, source, nbytes)

    def memory(self) -> tuple[int, int]:
        return self.total_bytes - self.held_bytes, self.total_bytes

    def capture(self, stream: Any, work: Callable[[], None]) -> HostGraph:
        """Recorded work is what runs when the graph is launched; like a device, nothing runs now."""
        self.captures += 1
        return HostGraph(work)


def signatures(source: str) -> dict[str, list[str]]:
    """The kernels of a source by name, with the C++ of each parameter."""
    assert COMPILER is not None
    expanded = _run(COMPILER, "-x", "c++", "-E", "-P", "-", code=SHIM + source)
    return {
        name: [" ".join(parameter.split()) for parameter in parameters.split(",")]
        for name, parameters in _SIGNATURE.findall(expanded)
    }


def built(folder: Path, code: str, flags: tuple[str, ...] = FLAGS) -> Path:
    """A library of C++, built once by all who share `folder`."""
    assert COMPILER is not None
    library = folder / f"{hashlib.sha256(repr((code, flags)).encode()).hexdigest()[:32]}.so"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{library}.lock"):
        if not library.exists():
            _run(COMPILER, *flags, "-x", "c++", "-", "-o", f"{library}.draft", code=code)
            Path(f"{library}.draft").rename(library)
    return library


def _launcher(name: str, parameters: list[str]) -> str:
    names = [re.split(r"[ *]", parameter)[-1] for parameter in parameters]
    return _LAUNCHER.format(name=name, parameters=", ".join(parameters), arguments=", ".join(names))


def _run(*command: str, code: str) -> str:
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
