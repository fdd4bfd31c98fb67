"""Image files in, image files out. Reading refuses what it would have to guess; writing is all or nothing."""

import contextlib
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .._files import check_writable, replace_file
from ..errors import InputError, UsageError

MAX_MEGAPIXELS = 200
READ_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
READ_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
WRITE_SUFFIXES = (".png", ".tif", ".tiff")
_SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L")
# What Pillow raises on damaged files, beside its own UnidentifiedImageError.
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, ArithmeticError)
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_pillow_state = threading.Lock()


def looks_like_image(path: Path) -> bool:
    """Whether a file in a folder is to be read as an image, by its name: one of `READ_SUFFIXES`, not hidden."""
    return path.suffix.lower() in READ_SUFFIXES and not path.name.startswith(".")


def read_image(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """A photo as (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    8-bit and 16-bit RGB, grey and palette images; an alpha channel must be opaque, since nobody can tell which
    colours lie under it. 16-bit values keep their upper 8 bits. Raises `InputError`.
    """
    picture, _ = _decode(path, max_megapixels)
    if "A" in picture.getbands():
        raise InputError(
            f"{path}: has transparent pixels, whose colours are unclear; flatten it or save it without alpha"
        )
    return np.asarray(picture.convert("RGB"))


def read_trimap(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """A trimap as (H, W) uint8: grey, or colour whose channels are equal.

    16-bit grey is accepted where every value is 257 times an 8-bit one. Raises `InputError`.
    """
    picture, exact = _decode(path, max_megapixels)
    if not exact:
        raise InputError(f"{path}: has 16-bit values that no 8-bit value stands for; save the trimap as 8-bit grey")
    if "A" in picture.getbands():
        raise InputError(f"{path}: has transparent pixels; save the trimap as plain grey, without an alpha channel")
    return _grey(picture, path)


def read_mask(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """A mask as (H, W) uint8: grey, or the alpha channel of a cut-out where that is not opaque. Raises `InputError`."""
    picture, _ = _decode(path, max_megapixels)
    return np.asarray(picture.getchannel("A")) if "A" in picture.getbands() else _grey(picture, path)


def _grey(picture: Image.Image, path: str | Path) -> NDArray[np.uint8]:
    array = np.asarray(picture)
    if array.ndim == 3:
        if (array != array[:, :, :1]).any():
            raise InputError(f"{path}: has colours, wanted grey values; save it as a greyscale image")
        array = array[:, :, 0]
    return np.ascontiguousarray(array)


def _decode(path: str | Path, max_megapixels: float) -> tuple[Image.Image, bool]:
    """The whole picture in mode L, RGB, LA or RGBA, without an opaque alpha; and whether 8 bits lost nothing.

    Every way to fail is an `InputError` naming the file.
    """
    try:
        if not Path(path).is_file():
            kind = "a folder" if Path(path).is_dir() else "no such file"
            raise InputError(f"{path}: {kind}; give the path of an image file")
        with _decoders_quiet(), Image.open(path, formats=READ_FORMATS) as picture:
            _check_header(picture, path, max_megapixels)
            sixteen_bit_colour = picture.mode == "RGB" and "16" in str([tile[3] for tile in picture.tile])
            picture.load()
            plain, exact = _plain_mode(picture, path)
            turn = _TURNS.get(_orientation(picture))
            plain = plain if turn is None else plain.transpose(turn)
    except UnidentifiedImageError:
        raise InputError(
            f"{path}: not an image that can be read ({os.path.getsize(path)} bytes); "
            f"wanted {', '.join(READ_FORMATS)}; it may be empty, damaged or misnamed"
        ) from None
    except _DECODER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: damaged or truncated image ({reason}); save or fetch it again") from error
    if "A" in plain.getbands() and plain.getchannel("A").getextrema() == (255, 255):
        plain = plain.convert("RGB" if plain.mode == "RGBA" else "L")
    return plain, exact and not sixteen_bit_colour


@contextlib.contextmanager
def _decoders_quiet() -> Iterator[None]:
    """Pillow without its own pixel limit and warnings, libtiff without its messages on the standard error.

    Both are global to the process; ours is an option, and checked before anything is decoded.
    """
    with _pillow_state, warnings.catch_warnings(), contextlib.ExitStack() as restore:
        warnings.simplefilter("ignore")
        restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None
        stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        for descriptor in (stderr, nowhere):
            restore.callback(os.close, descriptor)
        os.dup2(nowhere, 2)
        restore.callback(os.dup2, stderr, 2)
        yield


def _check_header(picture: Image.Image, path: str | Path, max_megapixels: float) -> None:
    width, height = picture.size
    if not width * height <= max_megapixels * 1e6:
        raise InputError(
            f"{path}: {width}x{height} is {width * height / 1e6:.4g} megapixels, over the limit of "
            f"{max_megapixels:g}; raise it with --max-megapixels"
        )
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # cameras keep previews behind an MPO's photo
        raise InputError(f"{path}: holds {frames} frames, wanted a single image; save the one you mean")


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or none that can be read."""
    try:
        return int(picture.getexif().get(_ORIENTATION_TAG, 1))
    except _DECODER_ERRORS:
        return 1


def _plain_mode(picture: Image.Image, path: str | Path) -> tuple[Image.Image, bool]:
    """The picture in mode L, RGB, LA or RGBA, and whether that lost nothing."""
    if picture.mode in _SIXTEEN_BIT_GREY:
        deep = np.asarray(picture).astype(np.uint16)
        return Image.fromarray((deep >> 8).astype(np.uint8)), bool((deep % 257 == 0).all())
    if picture.mode in ("P", "PA", "1", "L", "RGB"):
        transparent = picture.mode == "PA" or "transparency" in picture.info
        grey = picture.mode in ("1", "L")
        return picture.convert("RGBA" if transparent else "L" if grey else "RGB"), True
    if picture.mode in ("LA", "RGBA"):
        return picture.copy(), True
    raise InputError(
        f"{path}: its colour mode is {picture.mode}, wanted 8- or 16-bit RGB or grey; convert it to sRGB first"
    )


def check_output(path: str | Path, inputs: tuple[str | Path, ...] = ()) -> None:
    """Raise before any work is done when `path` cannot be written or is one of the inputs."""
    target = Path(path)
    if target.suffix.lower() not in WRITE_SUFFIXES:
        raise UsageError(f"{path}: results are written as {', '.join(WRITE_SUFFIXES)}; choose one of these endings")
    check_writable(target)
    if target.exists() and any(os.path.exists(other) and target.samefile(other) for other in inputs):
        raise UsageError(f"{path}: would overwrite an input; choose another output")


def write_image(path: str | Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4) uint8 by the suffix of `path`. Raises `OutputError`."""
    if pixels.ndim == 3:
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV's order is blue, green, red
    _, encoded = cv2.imencode(Path(path).suffix.lower(), np.ascontiguousarray(pixels))
    replace_file(path, encoded.tobytes())
