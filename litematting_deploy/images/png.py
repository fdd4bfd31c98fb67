"""What a PNG file says before its pixels: depth, transparency, and the chunks that say what its numbers mean."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .metadata import Metadata

Chunks = tuple[tuple[bytes, bytes], ...]

_SIGNATURE_BYTES = 8
_GREY, _RGB, _PALETTE = 0, 2, 3  # colour types
# Bytes of the chunks of colour; the lower-case ones are how drafts spelled mDCV and cLLI.
_COLOUR_BYTES = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"mDCV": 24, b"cLLI": 8, b"mDCv": 24, b"cLLi": 8}
_TRANSPARENT_BYTES = {_GREY: 2, _RGB: 6}
_PALETTE_SIZE = 256
FIX = "remove that chunk, or save the file again"


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
            content = file.read(min(size, _PALETTE_SIZE + 1))
            file.seek(size - len(content) + 4, 1)
            entries = entries or (size // 3 if name == b"PLTE" else 0)
            if name in (b"IHDR", b"tRNS", b"iCCP", *_COLOUR_BYTES) and name not in found:
                wanted = _COLOUR_BYTES.get(name, size)
                if size != wanted:
                    raise InputError(f"{path}: its {name.decode()} chunk has {size} bytes, wanted {wanted}; {FIX}")
                found[name] = content
        if len(found.get(b"IHDR", b"")) != 13:
            return None
        bits, kind = found[b"IHDR"][8:10]
        # Beside an alpha channel, which the other colour types have, tRNS means nothing.
        transparent = found.get(b"tRNS") if kind in (_GREY, _RGB, _PALETTE) else None
        wanted = _TRANSPARENT_BYTES.get(kind, 0)
        if transparent is not None and (len(transparent) > _PALETTE_SIZE or wanted not in (0, len(transparent))):
            raise InputError(
                f"{path}: its tRNS chunk has {len(transparent)} bytes, wanted "
                f"{wanted or f'at most {_PALETTE_SIZE}'}; {FIX}"
            )
        colour = tuple((name, content) for name, content in found.items() if name in _COLOUR_BYTES)
        return cls(path, bits, kind, entries, transparent, colour, b"iCCP" in found)

    def check_indices(self, indices: NDArray[Any]) -> None:
        """Raise `InputError` for pixels (H, W) of a colour that the palette does not have, which decoders make up."""
        if self.colour_type == _PALETTE and indices.max() >= self.entries:
            raise InputError(
                f"{self.path}: has a pixel of palette index {indices.max()}, wanted 0 to {self.entries - 1}, as its "
                f"palette has {self.entries} colours; save it again"
                if self.entries
                else f"{self.path}: is a PNG of palette indices without a PLTE chunk; save it again"
            )

    def with_transparency(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return levels (H, W) or (H, W, 3), with an alpha channel where the file makes one grey or colour transparent.

        The transparent value has the file's own depth; levels of fewer than 8 bits are spread over 0..255.
        """
        if self.transparent is None or self.colour_type == _PALETTE:
            return array
        top = (1 << self.bits) - 1
        level = np.frombuffer(self.transparent, ">u2").astype(np.uint16) & np.uint16(top)
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
