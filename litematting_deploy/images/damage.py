"""Find damage in compressed TIFF and in OpenEXR files before they are decoded.

libtiff and OpenEXR write what they find to the standard error of the process, and libtiff gives pixels all the same for
some of it. Each has a handler of errors for one open file, which neither Pillow nor OpenEXR's Python module can set.
So a file is read once through here, and its pixels are thrown away; after that there is nothing left to write. Structs
of the libraries that grow with their versions are only passed on, in room for larger ones. Where the modules export no
functions of the libraries, as on Windows, nothing is found here, and the lines appear.
"""

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import _imaging

from ..errors import InputError
from .exr_header import Windows

_MOST_PIXEL_BYTES = 12  # six channels of 16 bits, the most that is read
_Int = ctypes.c_int


class _Pointer(ctypes.c_void_p):
    """An address; unlike its base class, what a function returns stays one."""


_TIFF_HANDLER = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, ctypes.c_char_p, ctypes.c_char_p, _Pointer)
_EXR_HANDLER = ctypes.CFUNCTYPE(None, _Pointer, _Int, ctypes.c_char_p)
_HANDLED = 1  # keeps libtiff from its own handler
_SILENT_HEADER = 2  # as OpenEXR's module: oddities of a header that do not matter are not reported
_CHUNK_BYTES, _PIPELINE_BYTES = 1024, 16384  # of structs that take 64 and some 500 bytes in OpenEXR 3.5
_FIRST_PART = _FIRST_LEVEL = 0
# Functions by what they return; their arguments are integers of C, or have a type of ctypes.
_TIFF: dict[str, Any] = {
    **dict.fromkeys(("TIFFOpenOptionsAlloc", "TIFFOpenExt"), _Pointer),
    **dict.fromkeys(("TIFFOpenOptionsFree", "TIFFClose"), None),
    **dict.fromkeys(("TIFFOpenOptionsSetErrorHandlerExtR", "TIFFOpenOptionsSetWarningHandlerExtR"), None),
    **dict.fromkeys(("TIFFNumberOfStrips", "TIFFNumberOfTiles"), ctypes.c_uint32),
    **dict.fromkeys(("TIFFStripSize", "TIFFTileSize", "TIFFReadEncodedStrip", "TIFFReadEncodedTile"), ctypes.c_ssize_t),
    **dict.fromkeys(("TIFFIsTiled", "TIFFSetDirectory", "TIFFIsCODECConfigured"), _Int),
}
_EXR: dict[str, Any] = dict.fromkeys(
    (
        *("exr_start_read", "exr_finish", "exr_get_scanlines_per_chunk", "exr_get_tile_counts"),
        *("exr_read_scanline_chunk_info", "exr_read_tile_chunk_info", "exr_decoding_initialize"),
        *("exr_decoding_choose_default_routines", "exr_decoding_run", "exr_decoding_destroy"),
    ),
    _Int,
)


def damaged(path: str | Path, kind: str, reason: object) -> InputError:
    """Return the error for a file of a `kind` that its decoder refuses for a reason, which may have several lines."""
    said = " ".join(str(reason).split()) or type(reason).__name__
    return InputError(f"{path}: damaged or truncated {kind} ({said}); save or download it again")


def has_codec(compression: int) -> bool:
    """Return whether libtiff is built for a TIFF's compression, by its number; True where that cannot be asked."""
    library = _library(_imaging.__file__, tuple(_TIFF.items()))
    return library is None or bool(library.TIFFIsCODECConfigured(ctypes.c_uint16(compression)))


def check_tiff(path: str | Path, max_megapixels: float, page: int = 0) -> None:
    """Raise `InputError` where libtiff finds an error in one page of a file.

    max_megapixels: a strip or tile that takes more room than so many pixels is refused before it is decoded: where
    tags are damaged, libtiff may see another size than Pillow, whose size is checked already.
    """
    library = _library(_imaging.__file__, tuple(_TIFF.items()))
    if library is None:
        return
    said: list[str] = []

    def note(_: object, __: object, module: bytes | None, text: bytes | None, ___: object) -> int:
        # The arguments of the text are left alone, since how they are passed depends on the machine.
        reason = (text or b"").partition(b"%")[0].decode(errors="replace").strip(" (")
        said.append(reason or (module or b"libtiff").decode(errors="replace"))
        return _HANDLED

    handlers = _TIFF_HANDLER(note), _TIFF_HANDLER(lambda *_: _HANDLED)  # which live until the file is closed
    options = library.TIFFOpenOptionsAlloc()
    library.TIFFOpenOptionsSetErrorHandlerExtR(options, handlers[0], None)
    library.TIFFOpenOptionsSetWarningHandlerExtR(options, handlers[1], None)
    opened = library.TIFFOpenExt(os.fsencode(path), b"rm", options)  # m: read it rather than map it into memory
    library.TIFFOpenOptionsFree(options)
    if opened:
        try:
            if page == 0 or library.TIFFSetDirectory(opened, ctypes.c_uint32(page)):
                _read_parts(library, opened, said, int(max_megapixels * 1e6 * _MOST_PIXEL_BYTES))
        finally:
            library.TIFFClose(opened)
    if said or not opened:
        raise damaged(path, "TIFF file", said[0] if said else "libtiff")


def check_exr(path: str | Path, windows: Windows, tiled: bool) -> None:
    """Raise `InputError` where OpenEXR finds an error in the pixels of a file.

    windows, tiled: what its header says, which is checked already.
    """
    import OpenEXR  # here: machines that are lent to train on photos have none

    library = _library(OpenEXR.__file__, tuple(_EXR.items()))
    if library is None:
        return
    said: list[str] = []

    def note(_: object, __: object, text: bytes | None) -> None:
        said.append((text or b"OpenEXR").decode(errors="replace"))

    start = _Start(ctypes.sizeof(_Start), _EXR_HANDLER(note), zip_level=-2, dwa_quality=-1, flags=_SILENT_HEADER)
    context = _Pointer()
    failed = library.exr_start_read(ctypes.byref(context), os.fsencode(path), ctypes.byref(start))
    if not failed:
        said.clear()
        try:
            failed = _decode_chunks(library, context, windows, tiled)
        finally:
            library.exr_finish(ctypes.byref(context))
    if failed or said:
        reason = said[0].replace(str(path), "it") if said else f"error {failed} of OpenEXR"
        raise damaged(path, "OpenEXR file", reason)


class _Start(ctypes.Structure):
    """`exr_context_initializer_t`, which begins with its size, so that later versions know what is not there."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("error_handler", _EXR_HANDLER),
        ("other_functions", _Pointer * 7),
        ("most_pixels", _Int * 4),
        ("zip_level", _Int),
        ("dwa_quality", ctypes.c_float),
        ("flags", _Int),
        ("padding", _Int),
    )


def _read_parts(library: Any, opened: Any, said: list[str], most_bytes: int) -> None:
    """Decode strips or tiles until the first error, which is one that takes more than `most_bytes`."""
    kind = "Tile" if library.TIFFIsTiled(opened) else "Strip"
    size = getattr(library, f"TIFF{kind}Size")(opened)
    if size > most_bytes:
        said.append(f"a {kind.lower()} of {size} bytes, more than the {most_bytes} that `max_megapixels` allows")
        return
    count, read = getattr(library, f"TIFFNumberOf{kind}s")(opened), getattr(library, f"TIFFReadEncoded{kind}")
    pixels = np.empty(max(size, 0), np.uint8)
    for index in range(count):
        if said or read(opened, ctypes.c_uint32(index), _Pointer(pixels.ctypes.data), ctypes.c_ssize_t(size)) < 0:
            return


def _decode_chunks(library: Any, context: Any, windows: Windows, tiled: bool) -> int:
    """Decompress every chunk, of tiles those of the whole size; without a place for pixels nothing else is done.

    Returns OpenEXR's first error, or 0.
    """
    places: list[tuple[int, ...]]
    first, second = _Int(), _Int()
    if tiled:
        level = (_FIRST_LEVEL, _FIRST_LEVEL)
        failed = library.exr_get_tile_counts(context, _FIRST_PART, *level, ctypes.byref(first), ctypes.byref(second))
        places = [(x, y, *level) for y in range(second.value) for x in range(first.value)]
        locate = library.exr_read_tile_chunk_info
    else:
        failed = library.exr_get_scanlines_per_chunk(context, _FIRST_PART, ctypes.byref(first))
        places = [(y,) for y in range(windows.data.top, windows.data.bottom, max(1, first.value))]
        locate = library.exr_read_scanline_chunk_info
    chunk, pipeline = (ctypes.create_string_buffer(size) for size in (_CHUNK_BYTES, _PIPELINE_BYTES))
    for place in places:
        failed = failed or locate(context, _FIRST_PART, *place, chunk)
        if failed:
            break
        failed = library.exr_decoding_initialize(context, _FIRST_PART, chunk, pipeline)
        failed = failed or library.exr_decoding_choose_default_routines(context, _FIRST_PART, pipeline)
        failed = failed or library.exr_decoding_run(context, _FIRST_PART, pipeline)
        library.exr_decoding_destroy(context, pipeline)
    return int(failed)


@functools.cache
def _library(module: str, functions: tuple[tuple[str, Any], ...]) -> Any:
    """Return the library that a compiled module is, or is linked to; None where it lacks one of the functions."""
    try:
        library = ctypes.CDLL(module)
        for name, returned in functions:
            getattr(library, name).restype = returned
    except (OSError, AttributeError):
        return None
    return library
