"""Compile the kernels in this folder with the machine's C++ compiler, and call them."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...system import processor_flags

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.cpp")))
COMPILERS = ("c++", "g++", "clang++")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512_bf16")
_FLAGS = (
    *("-O3", "-std=c++17", "-shared", "-fPIC", "-pthread"),
    *("-m" + name.replace("_", "") for name in INSTRUCTIONS),
)  # fmt: skip
_PATIENCE_S = 120
_MAP, _COUNT, _NUMBER = ctypes.c_void_p, ctypes.c_long, ctypes.c_float
_ARGUMENTS = {
    "norm_forward": (_MAP, _MAP, _MAP, _NUMBER, _MAP, *[_COUNT] * 4, _NUMBER, _COUNT),
    "norm_backward": (_MAP, _MAP, _MAP, _MAP, _NUMBER, _MAP, _MAP, *[_COUNT] * 6),
    "block_forward": (*[_MAP] * 5, *[_COUNT] * 6, _NUMBER, _COUNT),
    "block_backward": (*[_MAP] * 7, *[_COUNT] * 7),
}
"""What each kernel takes. The last is the number of threads, which `Built.call` appends."""


class Built(NamedTuple):
    """The compiled kernels, or why there are none."""

    library: ctypes.CDLL | None
    reason: str

    def call(self, kernel: str, *arguments: Tensor | float) -> None:
        """Call a kernel with as many threads as PyTorch has, of which each image takes one.

        Tensors are passed by address, so their memory must be in the order that the kernel expects.
        """
        values = [value.data_ptr() if isinstance(value, Tensor) else value for value in arguments]
        getattr(self.library, kernel)(*values, torch.get_num_threads())


@functools.cache
def kernels() -> Built:
    """Compile the kernels, once in a process; this takes about three seconds."""
    missing = [name for name in INSTRUCTIONS if name not in processor_flags()]
    if missing:
        return Built(None, f"not used: they need Linux on a processor with AVX512-BF16 (missing: {', '.join(missing)})")
    named = [name for name in (os.environ.get("CXX"), *COMPILERS) if name]
    paths = list(dict.fromkeys(path for name in named if (path := shutil.which(name))))
    reason = f"found no C++ compiler ({', '.join(named)}); install one to halve the time of a step"
    for path in paths:
        built = _compiled(path)
        if not isinstance(built, str):
            return Built(built, f"used, compiled by {path}")
        reason = f"{path} {built}; install GCC 10 or Clang 9, or later, to halve the time of a step"
    return Built(None, f"not used: {reason}")


def _compiled(compiler: str) -> ctypes.CDLL | str:
    """Return the library that a compiler makes, or what happened instead.

    The file is deleted as soon as it is loaded: one kept on disk could come from another compiler or another version of
    the package.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "kernels.so"
            done = subprocess.run(
                [compiler, *_FLAGS, *map(str, SOURCES), "-o", str(library)],
                capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=_PATIENCE_S,
                env={**os.environ, "LC_ALL": "C"},
            )  # fmt: skip
            if done.returncode:
                said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
                return f"ended with {done.returncode}: {said[0] if said else 'without a message'}"
            loaded = ctypes.CDLL(str(library))
    except subprocess.TimeoutExpired:
        return f"did not finish within {_PATIENCE_S} s"
    except OSError as error:
        # A folder that cannot be written to or from which no program may run, or a file that is no compiler.
        return f"could not be used, or its result in {tempfile.gettempdir()} not be loaded: {error}"
    for name, arguments in _ARGUMENTS.items():
        getattr(loaded, name).argtypes = arguments
        getattr(loaded, name).restype = None
    return loaded
