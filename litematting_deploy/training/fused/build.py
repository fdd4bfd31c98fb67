"""Compiling the kernels beside this file with the machine's C++ compiler, and calling them."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ...system import processor_flags

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.cpp")))
COMPILERS = ("c++", "g++", "clang++")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512_bf16")
LANES = 16
"""Channels that a kernel goes through at a time."""
_FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", *("-m" + name.replace("_", "") for name in INSTRUCTIONS))

Argument = Tensor | int | float | None | Sequence[Tensor]


class Built(NamedTuple):
    """The compiled kernels, or why there are none."""

    library: ctypes.CDLL | None
    reason: str

    def call(self, kernel: str, *arguments: Argument) -> None:
        """Call a kernel. Tensors are passed by address, so their memory must be in the order that it expects."""
        getattr(self.library, kernel)(*map(_as_c, arguments))


@functools.cache
def kernels() -> Built:
    """Compile the kernels, once in a process; this takes about three seconds.

    The library is deleted as soon as it is loaded: it depends on the compiler and on the package's version, and a kept
    one could be that of another.
    """
    if not processor_flags().issuperset(INSTRUCTIONS):
        return Built(None, f"they need a processor with {' and '.join(INSTRUCTIONS)}")
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        return Built(None, f"found no C++ compiler ({', '.join(COMPILERS)}); with one, training is twice as fast")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernels.so"
        command = [compiler, *_FLAGS, *map(str, SOURCES), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
            return Built(None, f"{compiler} ended with {done.returncode}: {said}")
        return Built(ctypes.CDLL(str(library)), f"compiled by {compiler}")


def _as_c(argument: Argument) -> object:
    """Return an argument as the kernels take it."""
    if argument is None or isinstance(argument, Tensor):
        return ctypes.c_void_p(None if argument is None else argument.data_ptr())
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    return (ctypes.c_void_p * len(argument))(*(tensor.data_ptr() for tensor in argument))
