"""Levels to PNG and TIFF files, 8 or 16 bits, with the metadata of the photo they come from."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .metadata import ICC_TAG, IPTC_TAG, SUB_FOLDERS, XMP_TAG, Metadata

_PNG_START = 33  # the signature and IHDR; what follows may not stand behind the pixels
_PNG_END = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
_METRE = 1 / 0.0254  # inches
_STRIP_BYTES = 1 << 20
_UNASSOCIATED, _ASSOCIATED = 2, 1  # TIFF's extra samples
_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7


def encode_png(pixels: NDArray[Any], metadata: Metadata = Metadata()) -> bytes:
    """(H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16."""
    if pixels.ndim == 3:
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV's order is blue, green, red
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels))
    content = encoded.tobytes()
    chunks = b"".join(_chunk(name, content) for name, content in metadata.colour)
    if metadata.icc is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi is not None:
        chunks += _chunk(b"pHYs", struct.pack(">IIB", *(round(value * _METRE) for value in metadata.dpi), 1))
    if exif := metadata.exif_block():
        chunks += _chunk(b"eXIf", exif)
    if metadata.xmp is not None:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + metadata.xmp)  # not compressed, of no language
    return content[:_PNG_START] + chunks + content[_PNG_START:]


def ends_whole(path: str | Path) -> bool:
    """Whether a PNG file has its end, without which decoders still give the pixels. Raises `OSError`."""
    with Path(path).open("rb") as file:
        file.seek(-min(len(_PNG_END), file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read() == _PNG_END


def encode_tiff(pixels: NDArray[Any], metadata: Metadata = Metadata(), premultiplied: bool = False) -> bytes:
    """(H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16: strips compressed by Deflate.

    premultiplied: say so of the alpha channel. Deflate with differences is what OpenCV, Pillow and libtiff read.
    """
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, samples = planes.shape
    row_bytes = width * samples * planes.itemsize
    rows = max(1, min(height, _STRIP_BYTES // row_bytes))
    strips = [_strip(planes[start : start + rows]) for start in range(0, height, rows)]
    starts = np.cumsum([0, *map(len, strips)])[:-1].tolist()
    folder = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    for tag, kind, value in (
        (256, _LONG, width),
        (257, _LONG, height),
        (258, _SHORT, (8 * planes.itemsize,) * samples),
        (259, _SHORT, 8),
        (262, _SHORT, 1 if samples == 1 else 2),
        (273, _LONG, tuple(starts)),  # counted from the end of the folder, which knows where that is
        (277, _SHORT, samples),
        (278, _LONG, rows),
        (279, _LONG, tuple(map(len, strips))),
        (284, _SHORT, 1),
        (317, _SHORT, 2),
    ):
        folder.tagtype[tag] = kind
        folder[tag] = value
    if samples == 4:
        folder.tagtype[338] = _SHORT
        folder[338] = _ASSOCIATED if premultiplied else _UNASSOCIATED
    _describe(folder, metadata)
    file = io.BytesIO()
    folder.save(file)
    return b"".join([file.getvalue(), *strips])


def _describe(folder: ImageFileDirectory_v2, metadata: Metadata) -> None:
    if metadata.dpi is not None:
        for tag, value in zip((282, 283), metadata.dpi, strict=True):
            folder.tagtype[tag] = _RATIONAL
            folder[tag] = value
        folder.tagtype[296] = _SHORT
        folder[296] = 2  # inches
    blocks = (
        (ICC_TAG, _UNDEFINED, metadata.icc),
        (XMP_TAG, _BYTE, metadata.xmp),
        (IPTC_TAG, _UNDEFINED, metadata.iptc),
    )
    for tag, kind, content in blocks:
        if content is not None:
            folder.tagtype[tag] = kind
            folder[tag] = content
    for tag, value in metadata.exif:
        if tag in SUB_FOLDERS:
            folder.tagtype[tag] = _LONG
        folder[tag] = value


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _strip(planes: NDArray[Any]) -> bytes:
    """Rows (h, W, C), little-endian, as differences to the pixel on the left, which compress better."""
    differences = planes.copy()
    differences[:, 1:] -= planes[:, :-1]
    return zlib.compress(differences.astype(planes.dtype.newbyteorder("<")).tobytes())
