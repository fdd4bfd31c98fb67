"""Pictures opened with Pillow, without its limit on pixels and without a change to what other threads see of Pillow.

`Image.open` compares every size with `Image.MAX_IMAGE_PIXELS`, which belongs to the whole process. What opens a single
format does not; sizes are checked against our own limit, see `decoding.check_size`.
"""

import struct
from collections.abc import Sequence
from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.TiffImagePlugin import TiffImageFile

# Their import registers the formats in `Image.OPEN`.
_PLUGINS = (PngImagePlugin, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin, BmpImagePlugin, AvifImagePlugin)
READ_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_SIGNATURE_BYTES = 16


class _Tiff(TiffImageFile):
    """A TIFF whose tiles are not compared with Pillow's limit."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        ImageFile.ImageFile.load_prepare(self)


def open_picture(file: BinaryIO, formats: Sequence[str] = READ_FORMATS) -> ImageFile.ImageFile | None:
    """Open a file of one of Pillow's `formats`; None for any other, and for one whose header is damaged.

    Raises what Pillow raises, among which are warnings where the program makes errors of these.
    """
    signature = file.read(_SIGNATURE_BYTES)
    for name in formats:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(signature) is not True:
            continue
        file.seek(0)
        try:
            return _Tiff(file) if name == "TIFF" else factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # as `Image.open` does
            return None
    return None
