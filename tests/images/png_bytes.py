"""PNG files written by hand: any depth, colour type and chunks."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of each colour type: grey, RGB, palette, grey with alpha, RGB with alpha."""


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(samples: NDArray[np.integer], bits: int, colour_type: int, *before: tuple[bytes, bytes]) -> bytes:
    """samples: (H, W) or (H, W, C) whole numbers of `bits`. before: chunks between the header and the pixels."""
    height, width = samples.shape[:2]
    plain = samples.reshape(height, -1)
    if bits == 16:
        rows = plain.astype(">u2").view(np.uint8)
    else:
        each = (plain[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(each.reshape(height, -1).astype(np.uint8), axis=1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", head), *before, (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in chunks)


def chunks_of(content: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        found[content[at + 4 : at + 8]] = content[at + 8 : at + 8 + size]
        at += 12 + size
    return found
