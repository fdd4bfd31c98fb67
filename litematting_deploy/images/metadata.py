"""What an image file says beside its pixels, and how it goes on to PNG and TIFF."""

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.IptcImagePlugin import getiptcinfo
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from .orientation import ORIENTATION_TAG, SIDEWAYS, without_orientation

if TYPE_CHECKING:
    from .exr_header import ExrHeader

SUB_FOLDERS = {0x8769: "Exif", 0x8825: "GPS"}
XMP_TAG, IPTC_TAG, ICC_TAG = 700, 33723, 34675  # of TIFF
# Tags that describe how the pixels of one file lie in it, or that are kept by other means.
_OF_THE_FILE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, ORIENTATION_TAG, 277, 278, 279, 280, 281, 282, 283),
    *(284, 288, 289, 290, 291, 292, 293, 296, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333),
    *(334, 336, 338, 339, 340, 341, 342, 343, 344, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532),
    *(XMP_TAG, IPTC_TAG, ICC_TAG, 34377, 37724),  # the last two are Photoshop's own: layers, previews, sizes
    *(0xA002, 0xA003, 0xA005),  # of EXIF: width and height, and where in the file another folder lies
}
_IPTC_MARK, _IPTC_LONG = 0x1C, 0x8000
# What Pillow raises on damaged files, beside its own UnidentifiedImageError.
DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, ArithmeticError),
    AttributeError,  # of tags whose type is odd
    RuntimeError,  # of AVIF and HEIC
)


@dataclass(frozen=True)
class Metadata:
    """icc: a profile's bytes. exif: tags and sub-folders as Pillow reads them, without orientation or anything about
    how the pixels lay in the file. dpi: horizontal and vertical, pixels per inch. xmp: a packet without orientation.
    iptc: records. exr: an OpenEXR file's header. colour: a PNG's chunks that say what its numbers mean, but for iCCP.
    """

    icc: bytes | None = None
    exif: tuple[tuple[int, Any], ...] = ()
    dpi: tuple[float, float] | None = None
    exr: "ExrHeader | None" = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    colour: tuple[tuple[bytes, bytes], ...] = ()

    def for_grey(self) -> "Metadata":
        """Return what a grey picture can keep: all but what RGB numbers mean."""
        return replace(self, icc=None, colour=())

    def exif_block(self) -> bytes:
        """The EXIF tags as a TIFF-like block, without a name before it; empty where there are none."""
        if not self.exif:
            return b""
        block = Image.Exif()
        for tag, value in self.exif:
            if tag in SUB_FOLDERS:
                block.get_ifd(tag).update(value)
            block[tag] = value
        return block.tobytes().removeprefix(b"Exif\x00\x00")


def metadata_of(picture: Image.Image, orientation: int) -> Metadata:
    """The metadata of a loaded picture, for its pixels once they are turned upright. EXIF that is damaged is none.

    orientation: what its EXIF said before loading, which Pillow forgets of a TIFF.
    """
    try:
        tags = picture.getexif()
        kept = {tag: tags[tag] for tag in tags if tag not in _OF_THE_FILE}
        for tag in SUB_FOLDERS:
            if tag in kept:
                kept[tag] = {name: value for name, value in tags.get_ifd(tag).items() if name not in _OF_THE_FILE}
        metadata = Metadata(exif=tuple(sorted(kept.items())))
        metadata.exif_block()
    except DECODER_ERRORS:
        metadata = Metadata()
    icc, dpi = picture.info.get("icc_profile"), picture.info.get("dpi")
    if dpi is not None and len(dpi) == 2 and all(0 < float(value) < 1e6 for value in dpi):
        x, y = (float(value) for value in dpi)
        metadata = replace(metadata, dpi=(y, x) if orientation in SIDEWAYS else (x, y))
    return replace(
        metadata, icc=icc if isinstance(icc, bytes) and icc else None, xmp=_xmp(picture), iptc=_iptc(picture)
    )


def _xmp(picture: Image.Image) -> bytes | None:
    """The packet, for pixels that are upright."""
    packet = picture.info.get("xmp")
    return without_orientation(packet) if isinstance(packet, bytes) and packet else None


def _iptc(picture: Image.Image) -> bytes | None:
    """The records of a JPEG or TIFF, one after the other; those too long for the plain form are previews."""
    if not isinstance(picture, JpegImageFile | TiffImageFile):
        return None
    try:
        found = getiptcinfo(picture) or {}
    except DECODER_ERRORS:
        return None
    records = b""
    for kind, values in sorted(found.items()):
        for value in values if isinstance(values, list) else [values]:
            if len(value) < _IPTC_LONG:
                records += struct.pack(">BBBH", _IPTC_MARK, *kind, len(value)) + value
    return records or None
