"""What a PNG file says before its pixels: depth, transparency, and what its numbers mean as light (PNG 3rd edition).

A chunk of these that PNG does not allow, or whose meaning is not known here, is refused, since what is left would be a
guess; a damaged ICC profile is, too.
"""

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .colour import SRGB, TABLE_SIZE, Space
from .h273 import AS_SRGB, D65, HLG, LINEAR, PQ, PRIMARIES, XY_709, hlg_to_light, pq_to_light, primaries_to_xyz

Chunks = tuple[tuple[bytes, bytes], ...]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3  # colour types
# Bytes of the chunks of colour; the lower-case ones are how drafts spelled mDCV and cLLI.
_COLOUR_BYTES = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"mDCV": 24, b"cLLI": 8, b"mDCv": 24, b"cLLi": 8}
_HDR = (b"mDCV", b"cLLI", b"mDCv", b"cLLi")
_TRANSPARENT_BYTES = {_GREY: 2, _RGB: 6}
_PALETTE_SIZE = 256
_GAMMA_UNIT, _LEAST_GAMMA, _MOST_GAMMA = 100_000, 10_000, 1_000_000
# What is written for sRGB beside its own chunk, or by ImageMagick alone; libpng takes more than this for sRGB.
_SRGB_GAMMA = range(45_000, 46_001)
_POWERS = {4: 2.2, 5: 2.8}  # transfers that a display shows as a power


@dataclass(frozen=True)
class PngHead:
    """What comes before the pixels. transparent: content of tRNS. colour: chunks that say what numbers mean, by name.
    has_profile: whether there is an iCCP chunk."""

    bits: int
    colour_type: int
    transparent: bytes | None
    colour: Chunks
    has_profile: bool

    @classmethod
    def read(cls, path: str | Path) -> "PngHead | None":
        """Return None for other files and for one that ends in its head, which is the decoder's to say.

        Of chunks that come twice the first counts. Raises `InputError` for one that is too short or too long.
        """
        found: dict[bytes, bytes] = {}
        with open(path, "rb") as file:
            if file.read(8) != SIGNATURE:
                return None
            while len(start := file.read(8)) == 8 and start[4:] not in (b"IDAT", b"IEND"):
                size, name = int.from_bytes(start[:4]), start[4:]
                content = file.read(min(size, _PALETTE_SIZE + 1))
                file.seek(size - len(content) + 4, 1)
                if name in (b"IHDR", b"tRNS", b"iCCP", *_COLOUR_BYTES) and name not in found:
                    wanted = _COLOUR_BYTES.get(name, size)
                    if size != wanted:
                        raise InputError(f"{path}: its {name.decode()} chunk has {size} bytes, wanted {wanted}; {_FIX}")
                    found[name] = content
        if len(found.get(b"IHDR", b"")) != 13:
            return None
        bits, kind = found[b"IHDR"][8:10]
        transparent = _transparent(found.get(b"tRNS"), kind, path)
        colour = tuple((name, content) for name, content in found.items() if name in _COLOUR_BYTES)
        return cls(bits, kind, transparent, colour, b"iCCP" in found)

    def transparent_level(self) -> NDArray[np.uint16] | None:
        """The grey (1,) or colour (3,) that is transparent, scaled to 8 bits as levels of fewer are; None without."""
        if self.transparent is None or self.colour_type == _PALETTE:
            return None
        top = (1 << self.bits) - 1
        stored = np.frombuffer(self.transparent, ">u2").astype(np.uint16) & np.uint16(top)
        return stored * np.uint16(255 // top) if self.bits < 8 else stored


_FIX = "remove that chunk, or save the file again"


def _transparent(content: bytes | None, kind: int, path: str | Path) -> bytes | None:
    """The content of tRNS, checked; None where the colour type has an alpha channel, beside which it means nothing."""
    if content is None or kind not in (_GREY, _RGB, _PALETTE):
        return None
    wanted = _TRANSPARENT_BYTES.get(kind)
    if (wanted is not None and len(content) != wanted) or len(content) > _PALETTE_SIZE:
        raise InputError(
            f"{path}: its tRNS chunk has {len(content)} bytes, wanted {wanted or f'at most {_PALETTE_SIZE}'}; {_FIX}"
        )
    return content


def space_of(colour: Chunks, path: str | Path) -> Space:
    """What numbers mean by these chunks: cICP before sRGB before gAMA and cHRM; `SRGB` where they say nothing else.

    Raises `InputError` for values that PNG does not allow or that are not known here, also where others count.
    """
    chunks = dict(colour)
    if chunks.get(b"sRGB", b"\0")[0] > 3:
        raise InputError(f"{path}: its sRGB chunk says {chunks[b'sRGB'][0]}, wanted 0 to 3; {_FIX}")
    coded = _of_code_points(chunks[b"cICP"], path) if b"cICP" in chunks else None
    measured = _of_gamma(chunks, path)
    if coded is not None:
        return coded
    return SRGB if b"sRGB" in chunks else measured


def lost_names(colour: Chunks, numbers_kept: bool) -> list[str]:
    """Which chunks of a photo a file without them misses: those of mastering and, where numbers are the photo's, those
    of their meaning."""
    return [name.decode() for name, _ in colour if name in _HDR or (numbers_kept and name != b"sRGB")]


def _of_code_points(content: bytes, path: str | Path) -> Space:
    primaries, transfer, matrix, full = content
    curves: dict[int, Callable[[NDArray[np.float64]], NDArray[Any]]] = {
        LINEAR: lambda x: x,
        PQ: pq_to_light,
        HLG: hlg_to_light,
        **{code: functools.partial(_power, exponent) for code, exponent in _POWERS.items()},
    }
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
    return Space.of_one_curve(f"{path}: its cICP chunk", table, primaries_to_xyz(xy, white), float(max(1, table[-1])))


def _of_gamma(chunks: dict[bytes, bytes], path: str | Path) -> Space:
    """The space of gAMA and cHRM, either of which may be missing."""
    gamma = int.from_bytes(chunks[b"gAMA"]) if b"gAMA" in chunks else _SRGB_GAMMA[0]
    if not _LEAST_GAMMA <= gamma <= _MOST_GAMMA:
        raise InputError(
            f"{path}: its gAMA chunk says {gamma}, wanted {_LEAST_GAMMA} to {_MOST_GAMMA}, 100000 times the gamma; "
            f"{_FIX}"
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
                    f"times 100000, which span a triangle; {_FIX}"
                )
    if gamma in _SRGB_GAMMA and (b"gAMA" not in chunks or to_xyz is SRGB.to_xyz):
        if to_xyz is SRGB.to_xyz:
            return SRGB
        return Space.of_one_curve(f"{path}: its cHRM chunk", SRGB.decoding[0], to_xyz)
    table = _table(functools.partial(_power, _GAMMA_UNIT / gamma))
    return Space.of_one_curve(f"{path}: its gAMA chunk", table, to_xyz)


def _table(curve: Callable[[NDArray[np.float64]], NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray(curve(np.linspace(0, 1, TABLE_SIZE)), np.float32)


def _power(exponent: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x**exponent)


def _listed(numbers: Any) -> str:
    return ", ".join(map(str, numbers))
