"""Grooms: hair and fur as polylines in 3-D, from the files of CharMorph and TressFX. Without PyTorch."""

import math
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, first_line
from ..images.suffixes import files_in

SUFFIXES = (".npz", ".tfx")
POINTS = 24
"""Points of a strand, evenly spaced along it."""
MAX_BYTES = 256 << 20
"""Of a file, and of an array unpacked from one; 48,113 strands of TressFX's bear are 2 MB."""
MAX_STRANDS = 200_000
"""Strands kept of a file; of more, evenly spread ones are."""
_TFX_HEADER, _TFX_NEW_HEADER = struct.Struct("<fII"), 160
_TFX_NEW = 4.0

Strands = NDArray[np.float32]
"""(K, POINTS, 3) float32, root first, y up, in the file's unit of length."""


def list_grooms(folder: str | Path) -> list[Path]:
    """Return the groom files of a folder, by name. Raises `InputError` when there is none."""
    return files_in(folder, f"grooms ({', '.join(SUFFIXES)})", lambda path: path.suffix.lower() in SUFFIXES)


@lru_cache(maxsize=64)
def read_groom(path: str) -> Strands:
    """Return the strands of a file, (K, POINTS, 3); those of one point or no length are left out.

    Raises `InputError` for a file that is too large, incomplete, or holds values that are not finite.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: has {size} bytes, but grooms may have at most {MAX_BYTES}; split it")
        counts, points = (_read_npz if file.suffix.lower() == ".npz" else _read_tfx)(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as a groom: {first_line(error)}; export it again") from error
    if not np.isfinite(points).all():
        raise InputError(
            f"{path}: {int((~np.isfinite(points)).sum())} coordinates are NaN or infinite; export it again"
        )
    if np.abs(points).max(initial=0) > 1e9:
        raise InputError(f"{path}: coordinates reach {np.abs(points).max():g}, expected at most 1e9; scale it down")
    strands = _resampled(counts, points)
    if not len(strands):
        raise InputError(f"{path}: no strand has at least two points and a length above 0; remove the file")
    return strands


def _read_npz(file: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """CharMorph: `cnt`, points per strand, and `data`, (sum of cnt, 3), z up."""
    with zipfile.ZipFile(file) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    for name in ("cnt.npy", "data.npy"):
        if name not in sizes:
            raise InputError(f"{file}: contains no array {name[:-4]}; CharMorph grooms contain cnt and data")
        if sizes[name] > MAX_BYTES:
            raise InputError(
                f"{file}: {name[:-4]} unpacks to {sizes[name]} bytes, more than the limit of {MAX_BYTES}; split it"
            )
    with np.load(file, allow_pickle=False) as arrays:
        counts, points = arrays["cnt"], arrays["data"]
    if counts.dtype.kind not in "iu" or counts.ndim != 1 or not len(counts) or counts.min() < 0:
        raise InputError(f"{file}: cnt is {counts.shape} {counts.dtype}, expected a row of counts of points")
    counts = counts.astype(np.int64)
    if points.dtype.kind != "f" or points.shape != (counts.sum(), 3):
        raise InputError(
            f"{file}: data is {points.shape} {points.dtype}, expected ({counts.sum()}, 3) floats, as cnt says"
        )
    return counts, points.astype(np.float64) @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def _read_tfx(file: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """TressFX: a header with counts, then xyz at the file's end, or (version 4) xyzw from byte 160; y up."""
    content = file.read_bytes()
    if len(content) < _TFX_HEADER.size:
        raise InputError(
            f"{file}: has {len(content)} bytes, but a TressFX header has {_TFX_HEADER.size}; export it again"
        )
    version, strands, points = _TFX_HEADER.unpack_from(content)
    if not 1 <= version < 6 or strands < 1 or points < 2:
        raise InputError(
            f"{file}: its header says version {version:g} with {strands} strands of {points} points, expected "
            "version 1 to 5 with at least 1 strand of 2 points"
        )
    new = version >= _TFX_NEW
    needed = strands * points * (16 if new else 12)
    start = _TFX_NEW_HEADER if new else len(content) - needed
    if start < _TFX_HEADER.size or start + needed > len(content):
        raise InputError(
            f"{file}: has {len(content)} bytes, but {strands} strands of {points} points need {needed} more; export "
            "it again"
        )
    floats = np.frombuffer(content, "<f4", needed // 4, start).reshape(strands * points, -1)
    return np.full(strands, points, np.int64), floats[:, :3].astype(np.float64)


def _resampled(counts: NDArray[np.int64], points: NDArray[np.float64]) -> Strands:
    """Return strands with POINTS points each, evenly spaced by length."""
    ends = np.cumsum(counts)
    kept = np.flatnonzero(counts >= 2)
    if len(kept) > MAX_STRANDS:
        kept = kept[:: math.ceil(len(kept) / MAX_STRANDS)]
    made = np.empty((len(kept), POINTS, 3), np.float32)
    whole = np.zeros(len(kept), bool)
    for count in np.unique(counts[kept]).tolist():
        those = np.flatnonzero(counts[kept] == count)
        lines = points[(ends[kept[those]] - count)[:, None] + np.arange(count)]
        along = np.cumsum(np.linalg.norm(np.diff(lines, axis=1), axis=2), 1)
        along = np.concatenate([np.zeros((len(lines), 1)), along], 1)
        whole[those] = along[:, -1] > 1e-6 * max(float(np.ptp(points, axis=0).max()), 1e-12)
        wanted = along[:, -1:] * np.linspace(0, 1, POINTS)
        low = np.clip((along[:, None] <= wanted[..., None]).sum(2) - 1, 0, count - 2)
        row = np.arange(len(lines))[:, None]
        step = np.maximum(along[row, low + 1] - along[row, low], 1e-30)
        part = ((wanted - along[row, low]) / step).clip(0, 1)[..., None]
        even = lines[row, low] * (1 - part) + lines[row, low + 1] * part
        for _ in range(POINTS // count):  # strands of few points have kinks
            even[:, 1:-1] = (even[:, :-2] + 2 * even[:, 1:-1] + even[:, 2:]) / 4
        made[those] = even
    return made[whole]
