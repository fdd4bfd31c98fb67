"""What a PNG file says before its pixels: depth, transparency, and what its numbers mean as light (PNG 3rd edition).

A chunk of colour that PNG does not allow, or that is not known here, is refused: what is left would be a guess.
"""

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .colour import AS_SRGB, CURVES, D65, PRIMARIES, SRGB, TABLE_SIZE, XY_709, Space, primaries_to_xyz
from .metadata import Metadata

Chunks = tuple[tuple[bytes, bytes], ...]

_SIGNATURE_BYTES = 8
_GREY, _RGB, _PALETTE = 0, 2, 3  # colour types
# Bytes of the chunks of colour; the lower-case ones are how drafts spelled mDCV and cLLI.
_COLOUR_BYTES = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"mDCV": 24, b"cLLI": 8, b"mDCv": 24, b"cLLi": 8}
_TRANSPARENT_BYTES = {_GREY: 2, _RGB: 6}
_PALETTE_SIZE = 256
MASTERING = (b"mDCV", b"cLLI", b"mDCv", b"cLLi")
"""Chunks that say how a picture was mastered, and not what its numbers mean."""
_GAMMA_UNIT, _LEAST_GAMMA, _MOST_GAMMA = 100_000, 10_000, 1_000_000
# What is written for sRGB beside its own chunk, or by ImageMagick alone; libpng takes more than this for sRGB.
_SRGB_GAMMA = range(45_000, 46_001)
_POWERS = {4: 2.2, 5: 2.8}  # transfers that a display shows as a power
_FIX = "remove that chunk, or save the file again"


@dataclass(frozen=True)
class PngHead:
    """What a PNG says before its pixels.

    path: begins an error.
    bits, colour_type: as IHDR has them.
    entries: colours of the palette, 0 without one.
    transparent: the content of tRNS.
    colour: the chunks, by name, that say what numbers mean.
    has_profile: whether there is an iCCP chunk.
    """

    path: str | Path
    bits: int
    colour_type: int
    entries: int
    transparent: bytes | None
    colour: Chunks
    has_profile: bool

    @classmethod
    def read(cls, file: BinaryIO, path: str | Path) -> Self | None:
        """Return the head of an open PNG file; None for one that ends in its head, which is the decoder's to say.

        If a chunk comes twice, the first counts. Raises `InputError` for one that is too short or too long.
        """
        found: dict[bytes, bytes] = {}
        entries = 0
        file.seek(_SIGNATURE_BYTES)
        while len(start := file.read(8)) == 8 and start[4:] not in (b"IDAT", b"IEND"):
            size, name = int.from_bytes(start[:4]), start[4:]
            # No chunk that counts is longer than a palette's transparency; one byte more shows that it is too long.
            content = file.read(min(size, _PALETTE_SIZE + 1))
            # Past the CRC, too, which is the decoder's to check.
            file.seek(size - len(content) + 4, 1)
            entries = entries or (size // 3 if name == b"PLTE" else 0)
            if name in (b"IHDR", b"tRNS", b"iCCP", *_COLOUR_BYTES) and name not in found:
                wanted = _COLOUR_BYTES.get(name, size)
                if size != wanted:
                    raise InputError(f"{path}: its {name.decode()} chunk has {size} bytes, expected {wanted}; {_FIX}")
                found[name] = content
        if len(found.get(b"IHDR", b"")) != 13:
            return None
        bits, kind = found[b"IHDR"][8:10]
        # Beside an alpha channel, which the other colour types have, tRNS means nothing.
        transparent = found.get(b"tRNS") if kind in (_GREY, _RGB, _PALETTE) else None
        wanted = _TRANSPARENT_BYTES.get(kind, 0)
        if transparent is not None and (len(transparent) > _PALETTE_SIZE or wanted not in (0, len(transparent))):
            raise InputError(
                f"{path}: its tRNS chunk has {len(transparent)} bytes, expected "
                f"{wanted or f'at most {_PALETTE_SIZE}'}; {_FIX}"
            )
        colour = tuple((name, content) for name, content in found.items() if name in _COLOUR_BYTES)
        return cls(path, bits, kind, entries, transparent, colour, b"iCCP" in found)

    def check_indices(self, indices: NDArray[Any]) -> None:
        """Raise `InputError` for pixels (H, W) of a colour that the palette does not have, which decoders make up."""
        if self.colour_type == _PALETTE and indices.max() >= self.entries:
            raise InputError(
                f"{self.path}: has a pixel with palette index {indices.max()}, but its palette has {self.entries} "
                f"colours (0 to {self.entries - 1}); save it again"
                if self.entries
                else f"{self.path}: is a palette PNG without a PLTE chunk; save it again"
            )

    def with_transparency(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return levels (H, W) or (H, W, 3), with an alpha channel where the file makes one grey or colour transparent.

        The transparent value has the file's own depth; levels of fewer than 8 bits are spread over 0..255.
        """
        if self.transparent is None or self.colour_type == _PALETTE:
            return array
        top = (1 << self.bits) - 1
        level = np.frombuffer(self.transparent, ">u2").astype(np.uint16) & np.uint16(top)
        # The pixels were spread in the same way.
        level = level * np.uint16(255 // top) if self.bits < 8 else level
        planes = array[:, :, None] if array.ndim == 2 else array
        opaque = array.dtype.type(np.iinfo(array.dtype).max)
        return np.dstack([planes, np.where((planes == level).all(axis=2), array.dtype.type(0), opaque)])

    def with_colour(self, metadata: Metadata) -> Metadata:
        """Return the metadata with what the file says of its colours.

        An ICC profile counts before sRGB. One that cannot be decompressed becomes an empty profile, for which photos
        are refused.
        """
        icc = b"" if self.has_profile and metadata.icc is None else metadata.icc
        colour = tuple((name, content) for name, content in self.colour if icc is None or name != b"sRGB")
        return replace(metadata, icc=icc, colour=colour)


def space_of(colour: Chunks, path: str | Path) -> Space:
    """Return what numbers mean by these chunks: cICP counts before sRGB, and that before gAMA and cHRM.

    Returns `SRGB` where they say nothing else.
    Raises `InputError` for values that PNG does not allow or that are not known here, in the chunks that count.
    """
    chunks = dict(colour)
    if b"cICP" in chunks:
        return _of_code_points(chunks[b"cICP"], path)
    if b"sRGB" not in chunks:
        return _of_gamma(chunks, path)
    if chunks[b"sRGB"][0] > 3:
        raise InputError(f"{path}: its sRGB chunk says {chunks[b'sRGB'][0]}, expected 0 to 3; {_FIX}")
    return SRGB


def _of_code_points(content: bytes, path: str | Path) -> Space:
    """Return the space of a cICP chunk. Raises `InputError`."""
    primaries, transfer, matrix, full = content
    curves = {code: to_light for code, (to_light, _) in CURVES.items()}
    curves |= {code: functools.partial(_power, exponent) for code, exponent in _POWERS.items()}
    known = sorted(AS_SRGB | curves.keys())
    if primaries not in PRIMARIES or transfer not in known or matrix != 0 or full != 1:
        raise InputError(
            f"{path}: its cICP chunk says primaries {primaries}, transfer {transfer}, matrix {matrix}, full range "
            f"{full}; expected primaries of {_listed(sorted(PRIMARIES))}, transfer of {_listed(known)}, matrix 0, "
            "full range 1; convert the image, or remove that chunk"
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
            f"{path}: its gAMA chunk says {gamma}, expected {_LEAST_GAMMA} to {_MOST_GAMMA}, 100000 times the "
            f"gamma; {_FIX}"
        )
    to_xyz = SRGB.to_xyz
    if b"cHRM" in chunks:
        numbers = struct.unpack(">8I", chunks[b"cHRM"])
        x, y = np.array(numbers).reshape(4, 2).T / _GAMMA_UNIT
        white, *xy = zip(x.tolist(), y.tolist(), strict=True)
        if np.abs(np.array([white, *xy]) - np.array([D65, *XY_709])).max() >= 0.001:
            try:
                to_xyz = primaries_to_xyz(tuple(xy), white)
                if not 1e-6 <= abs(np.linalg.det(to_xyz)) < np.inf:
                    raise ValueError("no triangle")
            except (ValueError, np.linalg.LinAlgError) as error:
                raise InputError(
                    f"{path}: its cHRM chunk says {_listed(numbers)}, expected x and y of white, red, green and "
                    f"blue times 100000, which span a triangle; {_FIX}"
                ) from error
    if gamma in _SRGB_GAMMA and (b"gAMA" not in chunks or to_xyz is SRGB.to_xyz):
        return SRGB if to_xyz is SRGB.to_xyz else Space(f"{path}: its cHRM chunk", SRGB.decoding, to_xyz)
    table = _table(functools.partial(_power, _GAMMA_UNIT / gamma))
    return Space(f"{path}: its gAMA chunk", (table,) * 3, to_xyz)


def _table(curve: Callable[[NDArray[np.float64]], NDArray[Any]]) -> NDArray[np.float32]:
    """Return a curve from signal to light as a `Space` holds it, (65536,)."""
    return np.asarray(curve(np.linspace(0, 1, TABLE_SIZE)), np.float32)


def _power(exponent: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the light of a signal that a display shows as a power of it."""
    return np.asarray(x**exponent)


def _listed(numbers: Any) -> str:
    """Return numbers for an error."""
    return ", ".join(map(str, numbers))
