"""PyMatting imported where Numba's cache is of no use: a read-only installation without a home, a damaged file.

Numba keeps compiled functions beside PyMatting, or else in the user's cache folder, and refuses to compile where it can
write to neither. All functions have explicit types: they are compiled, or read from the cache, at the import.
"""

import contextlib
import functools
import os
import pickle
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ForegroundError, first_line

_BAD_CACHE = (OSError, EOFError, pickle.UnpicklingError)
"""What Numba raises where files of its cache cannot be written, or were cut off or damaged: they are pickles."""

FAILURES = (
    *_BAD_CACHE,
    ImportError,  # PyMatting, Numba or llvmlite is missing, or made for another NumPy
    RuntimeError,  # no place for a cache; LLVM's; what does not compile, see `_imported`; no threads to be had
    ValueError,  # of Numba, which finds no threading layer when a parallel function first runs
    ArithmeticError,  # compiled code divides by zero as Python does
    MemoryError,
)
"""What importing and running PyMatting's estimate can raise that is not a mistake of ours in calling it."""


@functools.cache
def foreground_estimator() -> Callable[..., Any]:
    """Return PyMatting's `estimate_foreground_ml`. Its first import on a machine compiles for half a minute.

    Raises one of `FAILURES`, and `ForegroundError` where not even a temporary folder can be written.
    """
    try:
        return _imported()
    except _BAD_CACHE:
        pass
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
    with _temporary_cache():
        return _imported()


def _imported() -> Callable[..., Any]:
    from numba.core.errors import NumbaError

    try:
        from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml
    except NumbaError as error:  # which is an Exception and nothing narrower
        raise RuntimeError(f"Numba cannot compile PyMatting: {first_line(error)}") from error
    return estimate_foreground_ml  # type: ignore[no-any-return]


@contextlib.contextmanager
def _temporary_cache() -> Iterator[None]:
    """A place for functions that are decorated inside; those of the program keep theirs, as NUMBA_CACHE_DIR says."""
    import numba

    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(_private_folder())
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _private_folder() -> Path:
    """This user's own below the temporary folder, so that the next run need not compile: what lies there is run, so
    nobody else may write to it. A new one where that is not so."""
    try:
        path = Path(tempfile.gettempdir()) / f"litematting-numba-{os.geteuid()}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
            return path
        return Path(tempfile.mkdtemp(prefix="litematting-numba-"))
    except OSError as error:
        raise ForegroundError(
            f"no folder for what Numba compiles can be written: {error.strerror or error}; set NUMBA_CACHE_DIR to one "
            "that can, or leave `cutout` and `foreground` out"
        ) from error
