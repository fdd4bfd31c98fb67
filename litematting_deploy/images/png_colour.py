"""What the numbers of a PNG mean as light, by its colour chunks (PNG 3rd edition).

A chunk that PNG does not allow, or whose meaning is not known here, is refused: what is left would be a guess.
"""

import functools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .colour import AS_SRGB, D65, PRIMARIES, SRGB, TABLE_SIZE, TO_LIGHT, XY_709, Space, primaries_to_xyz
from .png import FIX, Chunks

MASTERING = (b"mDCV", b"cLLI", b"mDCv", b"cLLi")
"""Chunks that say how a picture was mastered, and not what its numbers mean."""
_GAMMA_UNIT, _LEAST_GAMMA, _MOST_GAMMA = 100_000, 10_000, 1_000_000
# What is written for sRGB beside its own chunk, or by ImageMagick alone; libpng takes more than this for sRGB.
_SRGB_GAMMA = range(45_000, 46_001)
_POWERS = {4: 2.2, 5: 2.8}  # transfers that a display shows as a power


def space_of(colour: Chunks, path: str | Path) -> Space:
    """Return what numbers mean by these chunks: cICP counts before sRGB, and that before gAMA and cHRM.

    Returns `SRGB` where they say nothing else.
    Raises `InputError` for values that PNG does not allow or that are not known here, also where other chunks count.
    """
    chunks = dict(colour)
    if chunks.get(b"sRGB", b"\0")[0] > 3:
        raise InputError(f"{path}: its sRGB chunk says {chunks[b'sRGB'][0]}, wanted 0 to 3; {FIX}")
    coded = _of_code_points(chunks[b"cICP"], path) if b"cICP" in chunks else None
    measured = _of_gamma(chunks, path)
    if coded is not None:
        return coded
    return SRGB if b"sRGB" in chunks else measured


def _of_code_points(content: bytes, path: str | Path) -> Space:
    """Return the space of a cICP chunk. Raises `InputError`."""
    primaries, transfer, matrix, full = content
    curves = TO_LIGHT | {code: functools.partial(_power, exponent) for code, exponent in _POWERS.items()}
    known = sorted(AS_SRGB | curves.keys())
    if primaries not in PRIMARIES or transfer not in known or matrix != 0 or full != 1:
        raise InputError(
            f"{path}: its cICP chunk says primaries {primaries}, transfer {transfer}, matrix {matrix}, full range "
            f"{full}; wanted primaries of {_listed(sorted(PRIMARIES))}, transfer of {_listed(known)}, matrix 0, full "
            "range 1; convert it to these, or remove that chunk"
        )
    curve = curves.get(transfer)
    xy, white = PRIMARIES[primaries]
    if curve is None and xy == XY_709:
        return SRGB
    table = SRGB.decoding[0] if curve is None else _table(curve)
    return Space(f"{path}: its cICP chunk", (table,) * 3, primaries_to_xyz(xy, white), float(max(1, table[-1])))


def _of_gamma(chunks: dict[bytes, bytes], path: str | Path) -> Space:
    """Return the space of gAMA and cHRM, either of which may be missing. Raises `InputError`."""
    gamma = int.from_bytes(chunks[b"gAMA"]) if b"gAMA" in chunks else _SRGB_GAMMA[0]
    if not _LEAST_GAMMA <= gamma <= _MOST_GAMMA:
        raise InputError(
            f"{path}: its gAMA chunk says {gamma}, wanted {_LEAST_GAMMA} to {_MOST_GAMMA}, 100000 times the gamma; "
            f"{FIX}"
        )
    numbers = struct.unpack(">8I", chunks[b"cHRM"]) if b"cHRM" in chunks else None
    to_xyz = SRGB.to_xyz
    if numbers is not None:
        x, y = np.array(numbers).reshape(4, 2).T / _GAMMA_UNIT
        white, *xy = zip(x.tolist(), y.tolist(), strict=True)
        if np.abs(np.array([white, *xy]) - np.array([D65, *XY_709])).max() >= 0.001:
            try:
                to_xyz = primaries_to_xyz(tuple(xy), white)
            except (ValueError, np.linalg.LinAlgError):
                to_xyz = None
            if to_xyz is None or not np.isfinite(to_xyz).all() or abs(np.linalg.det(to_xyz)) < 1e-6:
                raise InputError(
                    f"{path}: its cHRM chunk says {_listed(numbers)}, wanted x and y of white, red, green and blue "
                    f"times 100000, which span a triangle; {FIX}"
                )
    if gamma in _SRGB_GAMMA and (b"gAMA" not in chunks or to_xyz is SRGB.to_xyz):
        if to_xyz is SRGB.to_xyz:
            return SRGB
        return Space(f"{path}: its cHRM chunk", SRGB.decoding, to_xyz)
    table = _table(functools.partial(_power, _GAMMA_UNIT / gamma))
    return Space(f"{path}: its gAMA chunk", (table,) * 3, to_xyz)


def _table(curve: Callable[[NDArray[np.float64]], NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray(curve(np.linspace(0, 1, TABLE_SIZE)), np.float32)


def _power(exponent: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x**exponent)


def _listed(numbers: Any) -> str:
    return ", ".join(map(str, numbers))
