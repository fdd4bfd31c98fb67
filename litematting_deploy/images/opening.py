"""Picture files opened by Pillow, once it is clear that they can be read and are not too large.

Nothing here changes what other threads see of Pillow: `Image.open` compares every size with `Image.MAX_IMAGE_PIXELS`,
which belongs to the whole process, and takes only what is registered there. What opens a single format does neither.
"""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from ..errors import InputError
from ..parameters import ABOVE_0
from .damage import damaged, has_codec
from .header_checks import TiffPage, check_jpeg, check_tiff_tags
from .heif import container_factory
from .metadata import DECODER_ERRORS
from .png import PngHead
from .suffixes import RAW, conversion, kind_of

Factory: TypeAlias = Callable[[BinaryIO, str], ImageFile.ImageFile]

# Their import registers the formats in `Image.OPEN`.
_PLUGINS = (PngImagePlugin, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin, BmpImagePlugin)
READ_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
# As many as `Image.open` shows to a plugin.
_SIGNATURE_BYTES = 16
_CONVERSION = "tiffcp -c zip IN.tif OUT.tif, or magick IN.tif -compress Zip OUT.tif"
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF
# The names of compressions that Pillow has no decoder for, or not in all its wheels.
_COMPRESSIONS = {
    34887: "LERC",
    34925: "LZMA",
    50000: "ZSTD",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    6: "old-style JPEG",
}


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF whose tiles are not compared with Pillow's limit."""

    def load_prepare(self) -> None:
        """Make room for the pixels, in place of Pillow's own method, which compares the tile with its limit."""
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        ImageFile.ImageFile.load_prepare(self)


@contextlib.contextmanager
def opened(path: str | Path, max_megapixels: float) -> Iterator[tuple[ImageFile.ImageFile, PngHead | None]]:
    """Open a picture whose header is checked, and the head of a PNG.

    max_megapixels: the largest width times height, in millions of pixels.
    Raises `InputError` naming the file, also for what goes wrong with the picture while it is open, and `UsageError`
    for a limit that is none.
    """
    ABOVE_0.check("max_megapixels", max_megapixels)
    try:
        kind = kind_of(path)
        if kind == RAW:  # of many, Pillow would take the thumbnail for the photo
            raise _not_read(path, RAW)
        # A file rather than its name, which Pillow would map into memory, and garble TIFFs that lie on their side.
        with open(path, "rb") as file:
            name = _format_of(file)
            head = PngHead.read(file, path) if name == "PNG" else None
            # Before Pillow sees the file, which would read into memory whatever its tags claim.
            page = TiffPage()
            if name == "TIFF":
                page = check_tiff_tags(file, path)
                _check_compression(path, page.compression)
            elif name == "JPEG":
                check_jpeg(file, path)
            factory = container_factory(path, kind) if name is None else None
            picture = _open(file, name, factory)
            if picture is None:  # of a kind that is read here, the file is damaged
                raise _unknown(path, name, kind if factory is None else None)
            with picture:
                if page.index:
                    picture.seek(page.index)
                _check_header(picture, path, max_megapixels)
                yield picture, head
    except (*DECODER_ERRORS, Warning) as error:  # warnings, where the program makes errors of them
        if str(error).startswith("Unsupported"):  # a whole file, such as a BMP of 4 bits per channel
            raise InputError(f"{path}: cannot be read here ({error}); save it as PNG or TIFF") from error
        raise damaged(path, "image", error) from error


def _check_compression(path: str | Path, compression: int) -> None:
    """Raise `InputError` for a TIFF in a compression that Pillow or its libtiff has no decoder for."""
    if compression not in TiffImagePlugin.COMPRESSION_INFO or not has_codec(compression):
        known = _COMPRESSIONS.get(compression)
        name = f"{known} compression" if known else f"compression number {compression}"
        raise InputError(
            f"{path}: is a TIFF with {name}, which cannot be decoded here; save it with Deflate or LZW: {_CONVERSION}"
        )


def _open(file: BinaryIO, name: str | None, container: Factory | None) -> ImageFile.ImageFile | None:
    """Open a file of one of `READ_FORMATS`, or else by `container`.

    Returns None where there is neither, and for a header that is damaged.
    Raises what Pillow raises, among it warnings where the program makes errors of them.
    """
    factory = container if name is None else _Tiff if name == "TIFF" else Image.OPEN[name][0]
    if factory is None:
        return None
    file.seek(0)
    try:
        return factory(file, "")
    except (SyntaxError, IndexError, TypeError, struct.error):  # as `Image.open` does
        return None


def check_size(width: int, height: int, path: str | Path, max_megapixels: float) -> None:
    """Raise `InputError` for a picture that is larger than the limit, in millions of pixels."""
    if not width * height <= max_megapixels * 1e6:
        raise InputError(
            f"{path}: {width}x{height} is {width * height / 1e6:.4g} megapixels, over the limit of "
            f"{max_megapixels:g}; raise `max_megapixels`"
        )


def _format_of(file: BinaryIO) -> str | None:
    """Return which of `READ_FORMATS` an open file claims to be by its first bytes; None for any other."""
    file.seek(0)
    signature = file.read(_SIGNATURE_BYTES)
    for name in READ_FORMATS:
        accept = Image.OPEN[name][1]
        # Some answer with a text where this Pillow lacks the decoder.
        if accept is None or accept(signature) is True:
            return name
    return None


def _not_read(path: str | Path, kind: str) -> InputError:
    """Return the error for a picture of a kind that is not read, which says how to convert it."""
    return InputError(f"{path}: is a {kind} file, which is not supported; {conversion(kind)}")


def _unknown(path: str | Path, name: str | None, kind: str | None) -> InputError:
    """Return the error for a file of a `kind` that Pillow does not open, though it may claim to be of format `name`."""
    if name == "TIFF":
        return InputError(
            f"{path}: a TIFF that is damaged, or of a kind that is not supported (such as floating-point, 32-bit, "
            "Lab, or 16-bit grey with alpha); expected 8- or 16-bit RGB or grey"
        )
    if kind is not None and kind.upper() not in READ_FORMATS:
        return _not_read(path, kind)
    return InputError(
        f"{path}: cannot be read as an image ({os.path.getsize(path)} bytes); expected {', '.join(READ_FORMATS)} or "
        "OpenEXR; it may be empty, damaged or misnamed"
    )


def _check_header(picture: ImageFile.ImageFile, path: str | Path, max_megapixels: float) -> None:
    """Raise `InputError` for a picture that is too large or holds several frames, before it is decoded."""
    check_size(*picture.size, path, max_megapixels)
    # The pages of a TIFF are looked at before Pillow sees them, and cameras keep previews behind an MPO's photo.
    if getattr(picture, "is_animated", False) and picture.format not in ("TIFF", "MPO"):
        raise InputError(f"{path}: contains several frames, expected a single image; save the frame that you need")
    if isinstance(picture, TiffImagePlugin.TiffImageFile):  # whose tile is decoded whole, however little is shown
        width, height = (int(picture.tag_v2.get(tag, 1)) for tag in (_TILE_WIDTH, _TILE_LENGTH))
        check_size(width, height, path, max_megapixels)
