"""What a JPEG file asks for, found in its markers before it is decoded."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from .tiff import EXIF_NAME, check_exif

# Each scan is a pass over the whole picture, and may be ten bytes long; cameras and encoders write ten at the most.
_MAX_SCANS = 100
_EXIF, _END, _SCAN = 0xE1, 0xD9, 0xDA
# Neither a zero behind 0xFF, which stands for 0xFF among the pixels, nor a restart.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_WITH_CONTENT = {*range(0xC0, 0xF0), 0xFE} - {0xC8, *range(0xD0, 0xDA)}
_BLOCK, _LONGEST = 1 << 20, 1 << 16


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
            raise InputError(f"{path}: is a JPEG of more than {_MAX_SCANS} scans, wanted ten or so; save it again")
    check_exif(exif, path)


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the code of each marker and the content that belongs to it."""
    block, at = file.read(_BLOCK), 2
    while True:
        found = _MARKER.search(block, at)
        if (found is None or len(block) - found.end() < _LONGEST) and (more := file.read(_BLOCK)):
            block, at = block[found.start() if found else -1 :] + more, 0
            continue
        if found is None:
            return
        code, at, end = found[1][0], found.end(), found.end()
        if code in _WITH_CONTENT:
            end += max(2, int.from_bytes(block[at : at + 2]))
        yield code, block[at + 2 : end]
        at = end
