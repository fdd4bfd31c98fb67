"""Tags of TIFF files and EXIF blocks that share their bytes: read one by one, a small file would fill the memory."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from PIL.TiffImagePlugin import PREFIXES

from ..errors import InputError
from .metadata import SUB_FOLDERS

_MOST_TAGS = 65535  # what a folder of a plain TIFF can say; a BigTIFF's may claim any number
_MOST_NUMBERS = 1_000_000  # each becomes an object of Pillow's, and a fraction takes ten times as much as others
# By TIFF's types: the bytes of one value.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_BYTES, _WHOLE_NUMBERS, _FRACTIONS = (1, 2, 7), (3, 4, 6, 8, 9, 13, 16), (5, 10)
_SAMPLES = 277
_PLACES_OF_PIXELS = (273, 279, 324, 325)


def check_tags(file: BinaryIO, size: int, name: str, most_samples: int | None = None) -> None:
    """Raise `InputError` where the tags that Pillow and libtiff read have more bytes than are there, or many numbers.

    file: `size` bytes, at their start. most_samples: channels that a TIFF's first picture may have. What is damaged, or
    no TIFF, is left to the decoders.
    """
    head = file.read(16)
    big = head[2:3] == b"+"
    if not head.startswith(tuple(PREFIXES)) or len(head) < (16 if big else 8):
        return
    tags = _Tags(file, size, name, "little" if head.startswith(b"II") else "big", big)
    tags.count(tags.whole(head[8:16] if big else head[4:8]))
    if most_samples is not None and tags.samples > most_samples:
        raise InputError(f"{name}: has {tags.samples} channels, wanted 4 at most; save it as RGB or grey")
    for start in list(tags.below.values()):
        tags.count(start)
    advice = "save it again, without its metadata if need be"
    if tags.total > size:
        raise InputError(f"{name}: its tags claim {tags.total} bytes where {size} are; {advice}")
    if tags.numbers > _MOST_NUMBERS:
        raise InputError(
            f"{name}: its tags hold {tags.numbers} numbers, counting a fraction as ten, wanted {_MOST_NUMBERS} at "
            f"most; {advice}"
        )


@dataclass
class _Tags:
    """total, numbers: bytes and numbers of the values outside the folders. samples: channels of a
    picture. below: where other folders begin."""

    file: BinaryIO
    size: int
    name: str
    order: Literal["little", "big"]
    big: bool
    total: int = 0
    numbers: int = 0
    samples: int = 1
    below: dict[int, int] = field(default_factory=dict)

    def count(self, start: int) -> None:
        """Add the folder that begins there."""
        for tag, kind, count, content in self._entries(start):
            unit, offset = _SIZES.get(kind, 0), self.whole(content)
            outside = unit * count > len(content)
            if outside and offset + unit * count <= self.size:
                self.total += unit * count
                if kind not in _BYTES and not (tag in _PLACES_OF_PIXELS and kind in _WHOLE_NUMBERS):
                    self.numbers += count * (10 if kind in _FRACTIONS else 1)
            if tag == _SAMPLES and kind in _WHOLE_NUMBERS and count and not outside:
                self.samples = self.whole(content[:unit])
            if tag in SUB_FOLDERS and kind in _WHOLE_NUMBERS:
                self.below[tag] = self.whole(self._read(offset, unit) if outside else content[:unit])

    def whole(self, content: bytes) -> int:
        """A number without sign."""
        return int.from_bytes(content, self.order)

    def _entries(self, start: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Tag, type, count, and the value or its place."""
        count = self.whole(self._read(start, 8 if self.big else 2))
        if count > _MOST_TAGS:
            raise InputError(
                f"{self.name}: claims {count} tags, wanted {_MOST_TAGS} at most; it is damaged, save it again"
            )
        layout = struct.Struct(("<" if self.order == "little" else ">") + ("HHQ8s" if self.big else "HHL4s"))
        content = self._read(self.file.tell(), count * layout.size)
        yield from layout.iter_unpack(content[: len(content) // layout.size * layout.size])

    def _read(self, start: int, count: int) -> bytes:
        """As many bytes, fewer at the end."""
        self.file.seek(min(start, self.size))
        return self.file.read(count)
