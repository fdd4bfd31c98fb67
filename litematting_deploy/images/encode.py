"""Write results as PNG, TIFF, OpenEXR or JPEG, with the metadata of the photo they come from."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..errors import UsageError
from ..files import replace_file
from ..parameters import path_text
from ..profiling import stage
from .exr import write_exr
from .header_checks import EXIF_NAME
from .metadata import ICC_TAG, IPTC_TAG, XMP_TAG, Metadata
from .suffixes import JPEG_SUFFIXES, PNG_SUFFIX, RESULT_SUFFIXES, is_exr_name, is_jpeg_name

_PNG_START = 33  # the signature and IHDR; what follows may not stand behind the pixels
_METRE = 1 / 0.0254  # inches
_STRIP_BYTES = 1 << 20
_UNASSOCIATED, _ASSOCIATED = 2, 1  # TIFF's extra samples
_QUALITY, MOST_JPEG_SIDE = 95, 65535
# What a segment of a JPEG holds beside the name of its content.
_MOST_EXIF, _MOST_XMP = 65_500, 65_000


@stage("encode")
def write_image(
    path: str | Path, pixels: NDArray[Any], metadata: Metadata = Metadata(), premultiplied: bool = False
) -> None:
    """Write a picture by the suffix of `path`, whole or not at all.

    - `pixels`: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA; uint8 or uint16 for PNG and TIFF, float16 or float32 for
      OpenEXR, where grey is alpha, and uint8 grey or RGB for JPEG.
    - `metadata`: what the type of file can hold of it is kept; grey has no use for a profile of colours.
    - `premultiplied`: what a TIFF says of its alpha channel.

    Raises `OutputError`, or `UsageError` for another suffix, for pixels of another type or shape, and for what is no
    path.
    """
    path = path_text("path", path)
    _check_pixels(path, pixels)
    metadata = metadata.for_grey() if pixels.ndim == 2 else metadata
    if is_exr_name(path):
        write_exr(path, pixels, metadata.exr)
    elif is_jpeg_name(path):
        replace_file(path, encode_jpeg(pixels, metadata))
    elif Path(path).suffix.lower() == PNG_SUFFIX:
        replace_file(path, encode_png(pixels, metadata))
    else:
        replace_file(path, encode_tiff(pixels, metadata, premultiplied))


def _check_pixels(path: str | Path, pixels: NDArray[Any]) -> None:
    """Raise `UsageError` for what the type of file cannot hold: libraries would round it to 0 and 1, or cut it off."""
    if Path(path).suffix.lower() not in (*RESULT_SUFFIXES, *JPEG_SUFFIXES):
        raise UsageError(
            f"{path}: images must end in {', '.join((*RESULT_SUFFIXES, *JPEG_SUFFIXES))}; choose one of these endings"
        )
    is_jpeg = is_jpeg_name(path)
    types = ("float16", "float32") if is_exr_name(path) else ("uint8",) if is_jpeg else ("uint8", "uint16")
    found = pixels.dtype.name if isinstance(pixels, np.ndarray) else type(pixels).__name__
    if found not in types:
        raise UsageError(
            f"{path}: `pixels` must be {' or '.join(types)} for this format; got {found}; convert them first"
        )
    if pixels.size == 0 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,), (4,)):
        raise UsageError(
            f"{path}: `pixels` must be (H, W), (H, W, 3) or (H, W, 4), H and W above 0; got {pixels.shape}"
        )
    if is_jpeg and (pixels.shape[2:] == (4,) or max(pixels.shape) > MOST_JPEG_SIDE):
        raise UsageError(
            f"{path}: a JPEG has no alpha, and at most {MOST_JPEG_SIDE} pixels per side; got {pixels.shape}; write "
            "PNG or TIFF"
        )


def encode_png(pixels: NDArray[Any], metadata: Metadata = Metadata()) -> bytes:
    """Return a PNG file of (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16."""
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


def encode_jpeg(pixels: NDArray[np.uint8], metadata: Metadata = Metadata()) -> bytes:
    """Return a JPEG file of (H, W) grey or (H, W, 3) RGB, at a quality that hides the loss, with colour at full size.

    EXIF and XMP that are longer than a JPEG can hold are left out.
    """
    file, others = io.BytesIO(), {"icc_profile": metadata.icc, "dpi": metadata.dpi}
    exif = metadata.exif_block()
    if 0 < len(exif) <= _MOST_EXIF:
        others["exif"] = EXIF_NAME + exif
    if metadata.xmp is not None and len(metadata.xmp) <= _MOST_XMP:
        others["xmp"] = metadata.xmp
    given = {name: value for name, value in others.items() if value is not None}
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=_QUALITY, subsampling=0, **given)
    return file.getvalue()


def encode_tiff(pixels: NDArray[Any], metadata: Metadata = Metadata(), premultiplied: bool = False) -> bytes:
    """Return a TIFF file whose strips are compressed by Deflate with differences, which common readers know.

    pixels: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16.
    premultiplied: what the file says of its alpha channel.
    """
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, samples = planes.shape
    # Readers decode a strip at a time, so that its size bounds their memory.
    rows = max(1, min(height, _STRIP_BYTES // (width * samples * planes.itemsize)))
    strips = [_strip(planes[start : start + rows]) for start in range(0, height, rows)]
    folder = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")  # it knows the types of all these tags
    tags: dict[int, Any] = {
        256: width,
        257: height,
        258: (8 * planes.itemsize,) * samples,
        259: 8,  # Deflate
        262: 1 if samples == 1 else 2,  # grey from black on, or RGB
        273: tuple(np.cumsum([0, *map(len, strips)])[:-1].tolist()),  # from the end of the folder on
        277: samples,
        278: rows,
        279: tuple(map(len, strips)),
        284: 1,  # channels side by side
        317: 2,  # differences
        ICC_TAG: metadata.icc,
        XMP_TAG: metadata.xmp,
        IPTC_TAG: metadata.iptc,
        **dict(metadata.exif),
    }
    if samples == 4:
        tags[338] = _ASSOCIATED if premultiplied else _UNASSOCIATED
    if metadata.dpi is not None:
        tags[282], tags[283] = metadata.dpi
        tags[296] = 2  # inches
    for tag, value in tags.items():
        if value is not None:
            folder[tag] = value
    file = io.BytesIO()
    folder.save(file)
    return b"".join([file.getvalue(), *strips])


def _chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of PNG: size, name, content, and the CRC of the last two."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _strip(planes: NDArray[Any]) -> bytes:
    """Compress rows (h, W, C), little-endian, as differences to the pixel on the left, which take less space."""
    differences = planes.copy()
    # Unsigned numbers wrap around, as TIFF's predictor does.
    differences[:, 1:] -= planes[:, :-1]
    return zlib.compress(differences.astype(planes.dtype.newbyteorder("<")).tobytes())
