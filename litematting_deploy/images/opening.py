"""Picture files opened by Pillow, once it is clear that they are what can be read, and not too large.

Nothing here changes what other threads see of Pillow: `Image.open` compares every size with `Image.MAX_IMAGE_PIXELS`,
which belongs to the whole process, and takes only what is registered there. What opens a single format does neither.
"""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import InputError
from .heif import container_factory
from .jpeg import SIGNATURE, check_exif, check_jpeg
from .metadata import DECODER_ERRORS
from .orientation import ORIENTATION_TAG
from .png import PngHead
from .suffixes import RAW, conversion, kind_of
from .tiff import SIGNATURES, check_before_opening, tile_size

Factory: TypeAlias = Callable[[BinaryIO, str], ImageFile.ImageFile]

# Their import registers the formats in `Image.OPEN`.
_PLUGINS = (PngImagePlugin, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin, BmpImagePlugin)
READ_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_SIGNATURE_BYTES = 16
_RAW_EXIF = "Raw profile type exif"  # as ImageMagick writes it to PNG


class _Tiff(TiffImageFile):
    """A TIFF whose tiles are not compared with Pillow's limit."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        ImageFile.ImageFile.load_prepare(self)


@contextlib.contextmanager
def opened(path: str | Path, max_megapixels: float) -> Iterator[ImageFile.ImageFile]:
    """A picture whose header is checked. What goes wrong with it is an `InputError` naming the file."""
    try:
        check_is_file(path)
        if kind_of(path) == RAW:  # of many, Pillow would take the thumbnail for the photo
            raise _not_read(path, RAW)
        PngHead.read(path)
        check_before_opening(path)
        with open(path, "rb") as file:
            if file.read(3) == SIGNATURE:
                check_jpeg(path)
        # A file rather than its name, which Pillow would map into memory, and garble TIFFs that lie on their side.
        with open(path, "rb") as file:
            picture = open_picture(file, container_factory(path))
            if picture is None:
                raise _unknown(path)
            with picture:
                _check_header(picture, path, max_megapixels)
                yield picture
    except (*DECODER_ERRORS, Warning) as error:  # of warnings where the program makes errors of them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: damaged or truncated image ({reason}); save or fetch it again") from error


def open_picture(file: BinaryIO, container: Factory | None = None) -> ImageFile.ImageFile | None:
    """Open a file of one of `READ_FORMATS`, or else by `container`; None for any other, and for one whose header is
    damaged.

    Raises what Pillow raises, among which are warnings where the program makes errors of these.
    """
    signature = file.read(_SIGNATURE_BYTES)
    factory = container
    for name in READ_FORMATS:
        candidate, accept = Image.OPEN[name]
        if accept is None or accept(signature) is True:
            factory = _Tiff if name == "TIFF" else candidate
            break
    if factory is None:
        return None
    file.seek(0)
    try:
        return factory(file, "")
    except (SyntaxError, IndexError, TypeError, struct.error):  # as `Image.open` does
        return None


def check_is_file(path: str | Path) -> None:
    """Raise `InputError` for a path that is no file."""
    if not Path(path).is_file():
        kind = "a folder" if Path(path).is_dir() else "no such file"
        raise InputError(f"{path}: {kind}; give the path of an image file")


def check_size(width: int, height: int, path: str | Path, max_megapixels: float) -> None:
    """Raise `InputError` for a picture over the limit."""
    if not width * height <= max_megapixels * 1e6:
        raise InputError(
            f"{path}: {width}x{height} is {width * height / 1e6:.4g} megapixels, over the limit of "
            f"{max_megapixels:g}; raise `max_megapixels`"
        )


def orientation_of(picture: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or none that can be read."""
    try:
        return int(picture.getexif().get(ORIENTATION_TAG, 1))
    except DECODER_ERRORS:
        return 1


def is_upright(picture: Image.Image) -> bool:
    """Whether a picture that is not loaded has no orientation to see to: Pillow's size of a TIFF is upright, and it
    would read all of a PNG to look for EXIF behind the pixels."""
    if isinstance(picture, TiffImageFile):
        return True
    return picture.format == "PNG" and not {"exif", _RAW_EXIF} & set(picture.info)


def check_exif_of(picture: Image.Image, path: str | Path) -> None:
    """Raise `InputError` for EXIF tags that share their bytes. It may load a PNG."""
    if isinstance(picture, TiffImageFile):
        return
    if picture.format == "PNG" and "exif" not in picture.info:
        picture.load()  # it may stand behind the pixels
    exif: Any = picture.info.get("exif")
    if exif is None:
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(picture.info.get(_RAW_EXIF, "").split("\n")[3:]))
    if isinstance(exif, bytes):
        check_exif(exif, path)


def _not_read(path: str | Path, kind: str) -> InputError:
    return InputError(f"{path}: is a picture of kind {kind}, which is not read; {conversion(kind)}")


def _unknown(path: str | Path) -> InputError:
    """What to say of a file that Pillow does not know."""
    with open(path, "rb") as file:
        if file.read(4) in SIGNATURES:
            return InputError(
                f"{path}: a TIFF that is damaged, or of a kind that is not read (as floating-point, 32-bit, Lab, or "
                "16-bit grey with alpha); wanted 8- or 16-bit RGB or grey"
            )
    kind = kind_of(path)
    if kind is not None and kind.upper() not in READ_FORMATS:
        return _not_read(path, kind)
    return InputError(
        f"{path}: not an image that can be read ({os.path.getsize(path)} bytes); "
        f"wanted {', '.join(READ_FORMATS)} or OpenEXR; it may be empty, damaged or misnamed"
    )


def _check_header(picture: Image.Image, path: str | Path, max_megapixels: float) -> None:
    check_size(*picture.size, path, max_megapixels)
    # `n_frames` would read every frame of a TIFF, which takes time by the square of their number. Cameras keep
    # previews behind an MPO's photo.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise InputError(f"{path}: holds several frames, wanted a single image; save the one you mean")
    if tile := tile_size(picture):
        check_size(*tile, path, max_megapixels)
