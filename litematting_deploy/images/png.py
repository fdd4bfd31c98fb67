"""What a PNG file says before its pixels: depth, transparency, and the chunks that say what its numbers mean."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .metadata import Metadata

Chunks = tuple[tuple[bytes, bytes], ...]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3  # colour types
# Bytes of the chunks of colour; the lower-case ones are how drafts spelled mDCV and cLLI.
_COLOUR_BYTES = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"mDCV": 24, b"cLLI": 8, b"mDCv": 24, b"cLLi": 8}
_TRANSPARENT_BYTES = {_GREY: 2, _RGB: 6}
_PALETTE_SIZE = 256
FIX = "remove that chunk, or save the file again"


@dataclass(frozen=True)
class PngHead:
    """What comes before the pixels.

    entries: of the palette, 0 without one. transparent: content of tRNS. colour: chunks that say what numbers mean, by
    name. has_profile: whether there is an iCCP chunk.
    """

    bits: int
    colour_type: int
    entries: int
    transparent: bytes | None
    colour: Chunks
    has_profile: bool

    @classmethod
    def read(cls, path: str | Path) -> "PngHead | None":
        """Return None for other files and for one that ends in its head, which is the decoder's to say.

        Of chunks that come twice the first counts. Raises `InputError` for one that is too short or too long.
        """
        found: dict[bytes, bytes] = {}
        entries = 0
        with open(path, "rb") as file:
            if file.read(8) != SIGNATURE:
                return None
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
        transparent = _transparent(found.get(b"tRNS"), kind, path)
        colour = tuple((name, content) for name, content in found.items() if name in _COLOUR_BYTES)
        return cls(bits, kind, entries, transparent, colour, b"iCCP" in found)

    def transparent_level(self) -> NDArray[np.uint16] | None:
        """The grey (1,) or colour (3,) that is transparent, scaled to 8 bits as levels of fewer are; None without."""
        if self.transparent is None or self.colour_type == _PALETTE:
            return None
        top = (1 << self.bits) - 1
        stored = np.frombuffer(self.transparent, ">u2").astype(np.uint16) & np.uint16(top)
        return stored * np.uint16(255 // top) if self.bits < 8 else stored

    def check_indices(self, indices: NDArray[Any], path: str | Path) -> None:
        """Raise `InputError` for pixels (H, W) of a colour that the palette does not have, which decoders make up."""
        if self.colour_type == _PALETTE and indices.max() >= self.entries:
            raise InputError(
                f"{path}: has a pixel of palette index {indices.max()}, wanted 0 to {self.entries - 1}, as its palette "
                f"has {self.entries} colours; save it again"
                if self.entries
                else f"{path}: is a PNG of palette indices without a PLTE chunk; save it again"
            )

    def with_transparency(self, array: NDArray[Any]) -> NDArray[Any]:
        """Levels (H, W) or (H, W, 3), with an alpha channel where one grey or colour is transparent."""
        level = self.transparent_level()
        if level is None:
            return array
        planes = array[:, :, None] if array.ndim == 2 else array
        top = array.dtype.type(np.iinfo(array.dtype).max)
        return np.dstack([planes, np.where((planes == level).all(axis=2), array.dtype.type(0), top)])

    def with_colour(self, metadata: Metadata) -> Metadata:
        """What the file says of its colours besides. An ICC profile counts before sRGB; one that cannot be decompressed
        is an empty one, which photos are refused for."""
        icc = b"" if self.has_profile and metadata.icc is None else metadata.icc
        colour = tuple((name, content) for name, content in self.colour if icc is None or name != b"sRGB")
        return replace(metadata, icc=icc, colour=colour)


def _transparent(content: bytes | None, kind: int, path: str | Path) -> bytes | None:
    """The content of tRNS, checked; None where the colour type has an alpha channel, beside which it means nothing."""
    if content is None or kind not in (_GREY, _RGB, _PALETTE):
        return None
    wanted = _TRANSPARENT_BYTES.get(kind)
    if (wanted is not None and len(content) != wanted) or len(content) > _PALETTE_SIZE:
        raise InputError(
            f"{path}: its tRNS chunk has {len(content)} bytes, wanted {wanted or f'at most {_PALETTE_SIZE}'}; {FIX}"
        )
    return content
