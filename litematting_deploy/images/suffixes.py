"""The endings of pictures that are read and written, what a file is by its first bytes, how to convert others."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from PIL import features

from .._optional import install
from ..errors import InputError

READS_AVIF = features.check("avif")
# Looked for rather than imported, which every start would pay for.
READS_HEIC = importlib.util.find_spec("pillow_heif") is not None

READ_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".exr"),
    *((".avif",) if READS_AVIF else ()),
    *((".heic", ".heif", ".hif") if READS_HEIC else ()),
)
"""Endings of the files that are read as pictures, in folders too; in any case of letters."""
PNG_SUFFIX, TIFF_SUFFIX, EXR_SUFFIX, JPEG_SUFFIX = ".png", ".tif", ".exr", ".jpg"
RESULT_FORMATS = {"png": PNG_SUFFIX, "tiff": TIFF_SUFFIX, "exr": EXR_SUFFIX, "jpeg": JPEG_SUFFIX}
"""The endings that are written for the formats of results."""
WRITE_SUFFIXES = (PNG_SUFFIX, TIFF_SUFFIX, ".tiff")
"""Endings of the trimaps, masks and previews that are written."""
RESULT_SUFFIXES = (*WRITE_SUFFIXES, EXR_SUFFIX)
"""Endings of the files that hold a matte or a cut-out."""
JPEG_SUFFIXES = (JPEG_SUFFIX, ".jpeg")
"""JPEG loses a little of everything, and is written for opaque pictures to look at alone."""

# Room for some sixty brands of an ISO container.
_START = 256
_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "PNG": (b"\x89PNG\r\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "OpenEXR": (b"v/1\x01",),
    "GIF": (b"GIF8",),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "DPX": (b"SDPX", b"XPDS"),
    "Cineon": (b"\x80\x2a\x5f\xd7",),
    "Photoshop": (b"8BPS",),
    "Radiance HDR": (b"#?RADIANCE",),
    "TIFF": (b"II*\0", b"MM\0*"),
}
RAW = "camera raw"
_RAW_SUFFIXES = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw")
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_READ = ("PNG", "JPEG", "OpenEXR", "TIFF", "WebP")
_CONVERSION = {
    "HEIC": "convert it: heif-convert IN.heic OUT.png",
    "AVIF": "install a version of Pillow that reads it, or convert it: avifdec IN.avif OUT.png",
    "JPEG XL": "convert it: djxl IN.jxl OUT.png",
    "JPEG 2000": "convert it: opj_decompress -i IN.jp2 -o OUT.png",
    "DPX": "convert it: oiiotool IN.dpx -o OUT.exr",
    "Cineon": "convert it: oiiotool IN.cin -o OUT.exr",
    "Radiance HDR": "convert it: oiiotool IN.hdr -o OUT.exr",
    RAW: "develop it to a 16-bit TIFF or PNG",
}


def looks_like_image(path: Path) -> bool:
    """Return whether a file in a folder is to be read as an image, by its name: in `READ_SUFFIXES`, not hidden."""
    return path.suffix.lower() in READ_SUFFIXES and not path.name.startswith(".")


def files_in(folder: str | Path, kind: str, wanted: Callable[[Path], bool]) -> list[Path]:
    """Return the files in a folder that are `wanted`, by name.

    kind: what they are, for errors, as "grooms (.npz, .tfx)".
    Raises `InputError` where there is no such folder, it cannot be read, or none of them are in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that contains {kind}")
    try:
        found = sorted(path for path in folder.iterdir() if wanted(path))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}; make it readable") from error
    if not found:
        raise InputError(f"{folder}: contains no {kind}; give a folder that does")
    return found


def is_exr_name(path: str | Path) -> bool:
    """Return whether a file is OpenEXR by its ending."""
    return Path(path).suffix.lower() == EXR_SUFFIX


def is_jpeg_name(path: str | Path) -> bool:
    """Return whether a file that is written is a JPEG by its ending."""
    return Path(path).suffix.lower() in JPEG_SUFFIXES


def kind_of(path: str | Path) -> str | None:
    """Return the kind of picture that a file is by its first bytes, or raw by its ending; None for any other file.

    Raises `OSError`.
    """
    # Most of them begin as TIFF does, so that only the ending tells them apart.
    if Path(path).suffix.lower() in _RAW_SUFFIXES:
        return RAW
    with open(path, "rb") as file:
        start = file.read(_START)
    if start[4:8] == b"ftyp":
        end = min(int.from_bytes(start[:4], "big"), len(start))
        brands = {start[8:12], *(start[place : place + 4] for place in range(16, end, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIC" if brands & _HEIC_BRANDS else None
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    return next((kind for kind, signatures in _SIGNATURES.items() if start.startswith(signatures)), None)


def conversion(kind: str) -> str:
    """Return what to do with a picture of a kind that is not read."""
    reader = f"install the extra that reads it, {install('heif')}, or " if kind == "HEIC" else ""
    return reader + _CONVERSION.get(kind, "convert it to PNG or TIFF")


def why_left_out(path: Path) -> str | None:
    """Return which kind of picture a file is whose ending is not read, and what to do; None for no picture."""
    try:
        kind = kind_of(path) if path.is_file() else None
    except OSError:
        return None
    advice = "give it the usual ending" if kind in _READ else conversion(kind or "")
    return None if kind is None else f"{kind}; {advice}"
