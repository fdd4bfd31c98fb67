"""PyMatting imported where Numba finds no place for what it compiles: a read-only installation without a home.

Numba keeps compiled functions beside PyMatting, or else in the user's cache folder, and refuses to compile where it can
write to neither.
"""

import contextlib
import functools
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ForegroundError


@functools.cache
def foreground_estimator() -> Callable[..., Any]:
    """Return PyMatting's `estimate_foreground_ml`. Its first import on a machine compiles for half a minute.

    Raises what the import raises, and `ForegroundError` where not even a temporary folder can be written.
    """
    try:
        from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        with _temporary_cache():
            from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml
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
