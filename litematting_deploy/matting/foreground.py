"""The colours of the foreground alone, for a cut-out that shows nothing of its old background.

Numba keeps PyMatting's compiled functions beside PyMatting, or else in the user's cache folder, and refuses to compile
where it can write to neither, or where a file there is damaged; then they go to a temporary folder. All functions have
explicit types: they are compiled, or read from the cache, at the import.
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

import numpy as np
from numpy.typing import NDArray

from ..errors import ForegroundError, first_line
from ..images.photo import Photo
from ..profiling import stage

STRIP_PIXELS, OVERLAP_ROWS = 8_000_000, 256
"""Larger photos are done in strips of about that size that overlap by so many rows and fade into each other, which
bounds the memory."""
_BAD_CACHE = (OSError, EOFError, pickle.UnpicklingError)
"""What Numba raises where files of its cache cannot be written, or were cut off or damaged: they are pickles."""

_FAILURES = (
    *_BAD_CACHE,
    ImportError,  # PyMatting, Numba or llvmlite is missing, or made for another NumPy
    RuntimeError,  # no place for a cache; LLVM's; what does not compile, see `_imported`; no threads to be had
    ValueError,  # of Numba, which finds no threading layer when a parallel function first runs
    ArithmeticError,  # compiled code divides by zero as Python does
    MemoryError,
)
"""What importing and running PyMatting's estimate can raise, other than a mistake in calling it."""


@stage("foreground")
def estimate_foreground(photo: Photo, alpha: NDArray[np.float32]) -> NDArray[Any]:
    """Estimate foreground colours by PyMatting's multi-level method (Germer et al. 2020), in linear light.

    The method keeps colours in 0..1; light beyond, in OpenEXR and HDR files, is scaled there and back, so that
    estimates stay within the photo's own range.

    alpha: (H, W) float32, 0..1.
    Returns (H, W, 3) in the photo's own numbers and depth. Pixels of alpha 1 keep the photo's exactly, and so does a
    photo of a single pixel, which has nothing to tell its colours apart by.
    Raises `InputError` for light that is not finite, `ForegroundError` where PyMatting cannot be imported, compiled or
    run, or memory does not suffice.
    """
    try:
        return _estimate(photo, alpha)
    except _FAILURES as error:
        reason = "out of memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {first_line(error)}"
        raise ForegroundError(f"{photo.path}: its foreground colours cannot be estimated ({reason})") from error


def _estimate(photo: Photo, alpha: NDArray[np.float32]) -> NDArray[Any]:
    """Estimate foreground colours strip by strip; see `estimate_foreground`. Raises what PyMatting and Numba raise."""
    height, width = alpha.shape
    if alpha.size == 1:  # PyMatting would divide by the logarithm of its side
        return photo.pixels.copy()
    low, high = _range(photo)
    estimate_foreground_ml = foreground_estimator()
    strip_rows = max(STRIP_PIXELS // width, OVERLAP_ROWS)
    foreground = np.empty_like(photo.pixels)
    tail = np.empty((0, width, 3), np.float32)  # the previous strip's estimate of the rows both cover
    # A last strip of the overlap alone would bring nothing new.
    for start in range(0, max(height - OVERLAP_ROWS, 1), strip_rows):
        stop = min(start + strip_rows + OVERLAP_ROWS, height)
        strip = (photo.to_light(photo.pixels[start:stop]) - low) / (high - low)
        estimate = estimate_foreground_ml(strip, alpha[start:stop]).astype(np.float32)
        # Never quite 0 or 1, so that both strips count in every row that they share.
        fade = ((np.arange(len(tail), dtype=np.float32) + 1) / (len(tail) + 1))[:, None, None]
        estimate[: len(tail)] = tail * (1 - fade) + estimate[: len(tail)] * fade
        tail = estimate[strip_rows:]
        foreground[start:stop] = photo.to_pixels(estimate * (high - low) + low)
    opaque = alpha >= 1
    foreground[opaque] = photo.pixels[opaque]
    return foreground


def _range(photo: Photo) -> tuple[np.float32, np.float32]:
    """Return the least and the most light in a photo, at least 0..1; of levels, all that they can stand for."""
    if not photo.is_linear:
        return np.float32(0), np.float32(photo.space.top)
    low, high = np.float32(photo.pixels.min()), np.float32(photo.pixels.max())
    if not np.isfinite(high - low):
        photo.check_finite()
    return min(low, np.float32(0)), max(high, np.float32(1))


@functools.cache
def foreground_estimator() -> Callable[..., Any]:
    """Return PyMatting's `estimate_foreground_ml`. Its first import on a machine compiles for half a minute.

    Raises one of `_FAILURES`, and `ForegroundError` where not even a temporary folder can be written.
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
    """Import PyMatting's function, which compiles it. Raises `RuntimeError` for what Numba raises."""
    from numba.core.errors import NumbaError

    try:
        from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml
    except NumbaError as error:  # which is an Exception and nothing narrower
        raise RuntimeError(f"Numba cannot compile PyMatting: {first_line(error)}") from error
    return estimate_foreground_ml  # type: ignore[no-any-return]


@contextlib.contextmanager
def _temporary_cache() -> Iterator[None]:
    """Cache functions that are decorated inside in a private folder; those of the program keep their place."""
    import numba

    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(_private_folder())
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _private_folder() -> Path:
    """Return a folder of this user's below the temporary folder, so that the next run need not compile.

    What lies there is run, so nobody else may write to it; where somebody could, a new folder is made. Raises
    `ForegroundError`.
    """
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
