"""Which depth a result has: what is asked for, or what loses nothing of the photo."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..specs import Depth
from .photo import Photo
from .suffixes import is_exr_name

_DTYPES: dict[Depth, type[Any]] = {"8": np.uint8, "16": np.uint16, "half": np.float16, "float": np.float32}


def check_depth(paths: Iterable[str | Path], depth: Depth | None) -> None:
    """Raise `UsageError` for a depth that the type of none of these files can hold."""
    paths = list(paths)
    if depth is not None and paths and not any(depth in _held(path) for path in paths):
        kind = "OpenEXR" if is_exr_name(paths[0]) else Path(paths[0]).suffix.lower().removeprefix(".").upper()
        raise UsageError(
            f"{paths[0]}: `depth` of {kind} files must be {' or '.join(_held(paths[0]))}; got {depth}",
            parameter="depth",
        )


def result_dtype(path: str | Path, photo: Photo, depth: Depth | None = None) -> type[Any]:
    """uint8 or uint16 for PNG and TIFF, float16 or float32 for OpenEXR, at the photo's depth unless `depth` says other.

    PNG and TIFF from OpenEXR have 16 bits; OpenEXR from 8 bits is half, and from 16 bits float, which half would round.
    A depth that this type of file cannot hold is for other files.
    """
    if depth is not None and depth in _held(path):
        return _DTYPES[depth]
    source = photo.pixels.dtype
    if is_exr_name(path):
        return np.float16 if source in (np.uint8, np.float16) else np.float32
    return np.uint8 if source == np.uint8 else np.uint16


def _held(path: str | Path) -> tuple[Depth, ...]:
    return ("half", "float") if is_exr_name(path) else ("8", "16")
