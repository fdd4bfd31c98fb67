"""What an image file says beside its pixels, how it goes on to PNG and TIFF, and whether EXIF says it is turned."""

import contextlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.IptcImagePlugin import getiptcinfo
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from .exr_header import ExrHeader
from .header_checks import SUB_FOLDERS, check_exif

XMP_TAG, IPTC_TAG, ICC_TAG = 700, 33723, 34675  # of TIFF
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations whose height and width are exchanged."""
_ORIENTATION_TAG = 0x0112
# As an attribute or an element, whatever the prefix that the packet gives to TIFF's names.
_IN_XMP = re.compile(
    rb"""[\w.-]+:Orientation\s*=\s*("[^"]*"|'[^']*')|<([\w.-]+:Orientation)\b[^>]*(/>|>.*?</\2\s*>)""", re.DOTALL
)
_XMP_KEYS = ("xmp", "XML:com.adobe.xmp")
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_PER_INCH = {2: 1.0, 3: 2.54}  # by the number of a unit, inch and centimetre
_RAW_EXIF = "Raw profile type exif"  # as ImageMagick writes it to PNG
# Tags that describe how the pixels of one file lie in it, or that are kept by other means.
_OF_THE_FILE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, _ORIENTATION_TAG, 277, 278, 279, 280, 281, 282, 283),
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
    """What a file says beside its pixels, for pixels that are upright.

    icc: the bytes of an ICC profile.
    exif: tags and sub-folders as Pillow reads them, without anything about how the pixels lay in the file.
    dpi: horizontal and vertical, in pixels per inch.
    exr: the header of an OpenEXR file.
    xmp: a packet without orientation.
    iptc: records, one after the other.
    colour: the chunks, but for iCCP, with which a PNG says what its numbers mean.
    """

    icc: bytes | None = None
    exif: tuple[tuple[int, Any], ...] = ()
    dpi: tuple[float, float] | None = None
    exr: ExrHeader | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    colour: tuple[tuple[bytes, bytes], ...] = ()

    def for_grey(self) -> "Metadata":
        """Return what a grey picture can keep: all but what RGB numbers mean."""
        return replace(self, icc=None, colour=())

    def exif_block(self) -> bytes:
        """Return the EXIF tags as a TIFF-like block without a name before it; empty where there are none."""
        if not self.exif:
            return b""
        block = Image.Exif()
        for tag, value in self.exif:
            if tag in SUB_FOLDERS:
                block.get_ifd(tag).update(value)
            block[tag] = value
        return block.tobytes().removeprefix(b"Exif\x00\x00")


def loaded(picture: Image.Image, path: str | Path) -> tuple[Metadata, int]:
    """Load a picture, and return its metadata, for upright pixels, and the EXIF orientation of the pixels it has now.

    Raises `InputError` for EXIF tags that share their bytes, and what Pillow raises.
    """
    # Before `getexif`, which reads whatever the tags claim.
    _check_exif_of(picture, path)
    orientation = _orientation_of(picture)
    picture.load()
    # Pillow turns a TIFF itself, and then forgets its orientation.
    return _metadata_of(picture, orientation), _orientation_of(picture)


def is_sideways(picture: Image.Image, path: str | Path) -> bool:
    """Return whether height and width of a picture that is not loaded are exchanged once it is upright.

    Pillow's size of a TIFF is upright, and Pillow would read all of a PNG to look for EXIF behind the pixels.
    Raises `InputError` for EXIF tags that share their bytes.
    """
    may_have_exif = picture.format != "PNG" or {"exif", _RAW_EXIF} & set(picture.info)
    if isinstance(picture, TiffImageFile) or not may_have_exif:
        return False
    _check_exif_of(picture, path)
    return _orientation_of(picture) in SIDEWAYS


def _metadata_of(picture: Image.Image, orientation: int) -> Metadata:
    """Return the metadata of a loaded picture; EXIF that is damaged is left out.

    orientation: what the EXIF said before loading.
    """
    metadata = Metadata(exif=_kept_tags(picture))
    icc, xmp = (picture.info.get(name) for name in ("icc_profile", "xmp"))
    dpi = _resolution(picture)
    if dpi is not None and len(dpi) == 2 and all(0 < float(value) < 1e6 for value in dpi):
        x, y = (float(value) for value in dpi)
        # The pixels are upright now, and their resolutions change places with the sides.
        metadata = replace(metadata, dpi=(y, x) if orientation in SIDEWAYS else (x, y))
    return replace(
        metadata,
        icc=icc if isinstance(icc, bytes) and icc else None,
        xmp=_without_orientation(xmp) if isinstance(xmp, bytes) and xmp else None,
        iptc=_iptc(picture),
    )


def _kept_tags(picture: Image.Image) -> tuple[tuple[int, Any], ...]:
    """Return the EXIF tags of a loaded picture and its sub-folders, but for those that Pillow cannot read or write."""
    try:
        tags = _exif_of(picture)
        kept = {tag: value for tag, value in _readable(tags) if tag not in _OF_THE_FILE}
        for tag in SUB_FOLDERS:
            if tag in kept:
                folder = {name: value for name, value in _readable(tags.get_ifd(tag)) if name not in _OF_THE_FILE}
                kept[tag] = {name: value for name, value in folder.items() if _is_writable(tag, {name: value})}
    except DECODER_ERRORS:
        return ()
    # Tried now: they would fail when the results are written.
    return tuple(sorted((tag, value) for tag, value in kept.items() if _is_writable(tag, value)))


def _readable(tags: Any) -> Iterator[tuple[int, Any]]:
    """Yield those tags of a folder, by number and value, whose value can be read."""
    for tag in list(tags):
        with contextlib.suppress(*DECODER_ERRORS):
            yield tag, tags[tag]


def _is_writable(tag: int, value: Any) -> bool:
    """Return whether Pillow can write a tag, a sub-folder of EXIF being a dictionary."""
    try:
        Metadata(exif=((tag, value),)).exif_block()
    except DECODER_ERRORS:
        return False
    return True


def _resolution(picture: Image.Image) -> tuple[float, float] | None:
    """Return pixels per inch, horizontal and vertical; None where the file says nothing, where Pillow has a default."""
    if isinstance(picture, TiffImageFile):
        tags = picture.tag_v2
        try:
            per_inch = _PER_INCH[tags.get(_RESOLUTION_UNIT, 2)]
            return float(tags[_X_RESOLUTION]) * per_inch, float(tags[_Y_RESOLUTION]) * per_inch
        except DECODER_ERRORS:  # a tag is missing, or of an odd type
            return None
    of_exif = isinstance(picture, JpegImageFile) and picture.info.get("jfif_unit") not in (1, 2)
    if of_exif and _X_RESOLUTION not in _exif_of(picture):
        return None
    return picture.info.get("dpi")


def _without_orientation(xmp: bytes) -> bytes | None:
    """Return an XMP packet without orientation, by which readers would turn the upright pixels once more.

    Returns None where the packet names one in a way that is not understood here, such as in UTF-16.
    """
    cleaned = _IN_XMP.sub(b"", xmp)
    return None if re.search(rb":Orientation\b", cleaned.replace(b"\0", b"")) else cleaned


def _exif_of(picture: Image.Image) -> Image.Exif:
    """Return the EXIF tags of a picture, among which Pillow puts an orientation that XMP alone says.

    Other readers (libvips, OpenCV, OpenImageIO) do not turn by that, and editors leave it behind in upright pictures.
    """
    if picture.format == "PNG" and "exif" not in picture.info:
        picture.load()  # as Pillow does, since chunks may follow the pixels
    hidden = {key: picture.info.pop(key) for key in _XMP_KEYS if key in picture.info}
    try:
        tags = picture.getexif()
    finally:
        picture.info.update(hidden)
    # Of a JPEG, Pillow has read the tags when it opened the file, to look for a resolution.
    if hidden and _ORIENTATION_TAG in tags and isinstance(block := picture.info.get("exif"), bytes):
        own = Image.Exif()
        own.load(block)
        if _ORIENTATION_TAG not in own:
            del tags[_ORIENTATION_TAG]
    return tags


def _orientation_of(picture: Image.Image) -> int:
    """Return the EXIF orientation of a picture; 1 where there is none or none that can be read."""
    try:
        return int(_exif_of(picture).get(_ORIENTATION_TAG, 1))
    except DECODER_ERRORS:
        return 1


def _check_exif_of(picture: Image.Image, path: str | Path) -> None:
    """Raise `InputError` for EXIF tags that share their bytes. It may load a PNG, whose EXIF may follow the pixels."""
    # Pillow reads these while it opens the file, so that `header_checks` has looked at them before.
    if isinstance(picture, TiffImageFile | JpegImageFile):
        return
    if picture.format == "PNG" and "exif" not in picture.info:
        picture.load()
    exif: Any = picture.info.get("exif")
    if exif is None:
        with contextlib.suppress(ValueError):
            # Behind an empty line, the name and the size come hexadecimal digits.
            exif = bytes.fromhex("".join(picture.info.get(_RAW_EXIF, "").split("\n")[3:]))
    if isinstance(exif, bytes):
        check_exif(exif, path)


def _iptc(picture: Image.Image) -> bytes | None:
    """Return the records of a JPEG or TIFF one after the other; those too long for the plain form are previews."""
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
