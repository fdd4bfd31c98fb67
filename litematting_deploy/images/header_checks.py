"""What TIFF and JPEG files and EXIF blocks ask for, checked in their tags and markers before decoders read them.

Tags may share their bytes: a small file can claim many times its size, and each claim would be read into memory.
"""

import io
import itertools
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from PIL.TiffImagePlugin import PREFIXES

from ..errors import InputError

SUB_FOLDERS = {0x8769: "Exif", 0x8825: "GPS"}
EXIF_NAME = b"Exif\0\0"
_MOST_TAGS = 65535  # what a folder of a plain TIFF can say; a BigTIFF's may claim any number
_MOST_NUMBERS = 1_000_000  # each becomes an object of Pillow's, and a fraction takes ten times as much as others
# By TIFF's types: the bytes of one value.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_BYTES, _WHOLE_NUMBERS, _FRACTIONS = (1, 2, 7), (3, 4, 6, 8, 9, 13, 16), (5, 10)
_SAMPLES, _COMPRESSION = 277, 259
# What a page is: in bits, of which the lowest means a reduced copy of another page; or, in old files, 2 for that.
_KIND, _OLD_KIND = 254, 255
_REDUCED, _OLD_REDUCED = 1, 2
_MATTER = (_SAMPLES, _COMPRESSION, _KIND, _OLD_KIND, *SUB_FOLDERS)
_MOST_PAGES = 100  # reduced copies halve the sides, so that none has as many
_PLACES_OF_PIXELS = (273, 279, 324, 325)
_BIG_ENDIAN_BIGTIFF = b"MM\0+"
_MOST_SAMPLES = 6  # Pillow opens no more, and writes a line to the standard error
# Each scan is a pass over the whole picture, and may be ten bytes long; cameras and encoders write ten at the most.
_MAX_SCANS = 100
_EXIF, _END, _SCAN = 0xE1, 0xD9, 0xDA
# Neither a zero behind 0xFF, which stands for 0xFF among the pixels, nor a restart.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_WITH_CONTENT = {*range(0xC0, 0xF0), 0xFE} - {0xC8, *range(0xD0, 0xDA)}
_BLOCK, _LONGEST = 1 << 20, 1 << 16


@dataclass(frozen=True)
class TiffPage:
    """Which page of a TIFF is the picture, from 0 on, and the number of its compression."""

    index: int = 0
    compression: int = 1


def check_tiff_tags(file: BinaryIO, path: str | Path) -> TiffPage:
    """Return the only page of an open TIFF that is no reduced copy, as pyramids and cameras have them beside it.

    Raises `InputError` for a file whose tags Pillow would stumble over, and for one with several such pages.
    """
    file.seek(0)
    if file.read(4) == _BIG_ENDIAN_BIGTIFF:  # Pillow takes it for a plain TIFF, and libtiff does not
        raise InputError(f"{path}: is a big-endian BigTIFF, which is not supported; save it as a plain TIFF")
    pages = list(itertools.islice(_pages(file, os.fstat(file.fileno()).st_size, str(path)), _MOST_PAGES))
    for page in pages:
        if page.get(_SAMPLES, 1) > _MOST_SAMPLES:
            raise InputError(f"{path}: has {page[_SAMPLES]} channels, expected at most 4; save it as RGB or grey")
    full = [index for index, page in enumerate(pages) if not _is_reduced(page)]
    if len(pages) > 1 and (len(full) != 1 or len(pages) == _MOST_PAGES):
        raise InputError(f"{path}: contains several frames, expected a single image; save the frame that you need")
    index = full[0] if full else 0
    return TiffPage(index, pages[index].get(_COMPRESSION, 1) if pages else 1)


def _is_reduced(page: dict[int, int]) -> bool:
    """Return whether a page, given its tags that matter, is a reduced copy of another one."""
    return bool(page.get(_KIND, 0) & _REDUCED) or page.get(_OLD_KIND) == _OLD_REDUCED


def _pages(file: BinaryIO, size: int, name: str) -> Iterator[dict[int, int]]:
    """Yield the tags that matter of each page of a TIFF, checked as `_checked_tags` does; see there for arguments."""
    start: int | None = None
    seen: set[int | None] = set()
    while start != 0 and start not in seen:
        seen.add(start)
        tags = _checked_tags(file, size, name, start)
        if tags is None:
            return
        yield tags.first
        start = tags.following


def check_exif(block: bytes, path: str | Path) -> None:
    """Raise `InputError` for an EXIF block whose tags share their bytes."""
    while block.startswith(EXIF_NAME):
        block = block.removeprefix(EXIF_NAME)
    _checked_tags(io.BytesIO(block), len(block), f"{path}: its EXIF")


def check_jpeg(file: BinaryIO, path: str | Path) -> None:
    """Raise `InputError` for an open JPEG file with very many scans, or with EXIF tags that share their bytes.

    The file is read in blocks, to the end of the picture: behind it, phones keep videos.
    """
    file.seek(0)
    scans, exif = 0, b""
    for code, content in _segments(file):
        if code == _SCAN:
            scans += 1
        if code == _END and scans:
            break
        if code == _EXIF and not scans and content.startswith(EXIF_NAME):
            exif += content.removeprefix(EXIF_NAME)
        if scans > _MAX_SCANS:
            raise InputError(f"{path}: is a JPEG with more than {_MAX_SCANS} scans, expected about ten; save it again")
    check_exif(exif, path)


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the code of each marker and the content that belongs to it."""
    block, at = file.read(_BLOCK), 2
    while True:
        found = _MARKER.search(block, at)
        if (found is None or len(block) - found.end() < _LONGEST) and (more := file.read(_BLOCK)):
            # The last byte is kept, since it may be the first half of a marker.
            block, at = block[found.start() if found else -1 :] + more, 0
            continue
        if found is None:
            return
        code, at, end = found[1][0], found.end(), found.end()
        if code in _WITH_CONTENT:
            # A length counts its own two bytes; a damaged one must not keep the search in one place.
            end += max(2, int.from_bytes(block[at : at + 2]))
        yield code, block[at + 2 : end]
        at = end


def _checked_tags(file: BinaryIO, size: int, name: str, start: int | None = None) -> "_Tags | None":
    """Return the tags of one page, those of its sub-folders counted; None for what is no TIFF.

    What is damaged is left to the decoders.

    file: `size` bytes, which begin with TIFF's signature.
    name: begins an error.
    start: the byte at which the page's folder begins; None for the first one.
    Raises `InputError` where tags claim more bytes than are there, or hold very many numbers.
    """
    file.seek(0)
    head = file.read(16)
    big = head[2:3] == b"+"
    if not head.startswith(tuple(PREFIXES)) or len(head) < (16 if big else 8):
        return None
    tags = _Tags(file, size, name, "little" if head.startswith(b"II") else "big", big)
    tags.following = tags.count(tags.whole(head[8:16] if big else head[4:8]) if start is None else start, tags.first)
    for place in [tags.first[tag] for tag in SUB_FOLDERS if tag in tags.first]:
        tags.count(place, {})
    advice = "save it again, without its metadata if necessary"
    if tags.total > size:
        raise InputError(f"{name}: its tags claim {tags.total} bytes, but the file has {size}; {advice}")
    if tags.numbers > _MOST_NUMBERS:
        raise InputError(
            f"{name}: its tags contain {tags.numbers} numbers (a fraction counts as ten), expected at most "
            f"{_MOST_NUMBERS}; {advice}"
        )
    return tags


@dataclass
class _Tags:
    """The tags of the folders that were counted: one page, and its sub-folders.

    total, numbers: bytes and numbers of all values that lie outside the folders.
    first: the first value of those tags of the page that matter.
    following: the byte at which the next page's folder begins; 0 at the last page.
    """

    file: BinaryIO
    size: int
    name: str
    order: Literal["little", "big"]
    big: bool
    total: int = 0
    numbers: int = 0
    first: dict[int, int] = field(default_factory=dict)
    following: int = 0
    _following: int = 0

    def count(self, start: int, first: dict[int, int]) -> int:
        """Add the folder that begins at the byte `start`, keep in `first` what matters, and return what follows it."""
        for tag, kind, count, content in self._entries(start):
            unit, offset = _SIZES.get(kind, 0), self.whole(content)
            outside = unit * count > len(content)
            if outside and offset + unit * count <= self.size:
                self.total += unit * count
                if kind not in _BYTES and not (tag in _PLACES_OF_PIXELS and kind in _WHOLE_NUMBERS):
                    self.numbers += count * (10 if kind in _FRACTIONS else 1)
            if tag in _MATTER and kind in _WHOLE_NUMBERS and count:
                first[tag] = self.whole(self._read(offset, unit) if outside else content[:unit])
        return self._following

    def whole(self, content: bytes) -> int:
        """Return the unsigned number that bytes stand for."""
        return int.from_bytes(content, self.order)

    def _entries(self, start: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield tag, type, count, and the value or its place."""
        count = self.whole(self._read(start, 8 if self.big else 2))
        if count > _MOST_TAGS:
            raise InputError(
                f"{self.name}: claims {count} tags, expected at most {_MOST_TAGS}; the file is damaged: save it again"
            )
        layout = struct.Struct(("<" if self.order == "little" else ">") + ("HHQ8s" if self.big else "HHL4s"))
        content = self._read(self.file.tell(), count * layout.size)
        self._following = self.whole(self.file.read(8 if self.big else 4))
        yield from layout.iter_unpack(content[: len(content) // layout.size * layout.size])

    def _read(self, start: int, count: int) -> bytes:
        """Return `count` bytes, or fewer at the end of the file."""
        # A BigTIFF can name places beyond any that `seek` takes.
        self.file.seek(min(start, self.size))
        return self.file.read(count)
