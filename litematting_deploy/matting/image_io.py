"""Image files in, image files out. Reading refuses what it would have to guess; writing is all or nothing."""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .._files import check_writable, replace_file
from ..errors import InputError, UsageError

MAX_MEGAPIXELS = 200
READ_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
WRITE_SUFFIXES = (".png", ".tif", ".tiff")
_SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L")
_pillow_limit = threading.Lock()


def read_image(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """A photo as (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    8-bit and 16-bit RGB, grey and palette images; an alpha channel must be opaque, since nobody can tell which
    colours lie under it. 16-bit values keep their upper 8 bits. Raises `InputError`.
    """
    with _opened(path, max_megapixels) as picture:
        picture = _without_opaque_alpha(picture)
        if "A" in picture.getbands():
            raise InputError(
                f"{path}: has transparent pixels, whose colours are unclear; flatten it or save it without alpha"
            )
        array = np.asarray(picture)
        return array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)


def read_grey(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS, use_alpha: bool = False) -> NDArray[np.uint8]:
    """A trimap or mask as (H, W) uint8.

    Grey, or colour whose channels are equal; 16-bit values keep their upper 8 bits. `use_alpha`: where an alpha
    channel is not opaque, it is the answer (a cut-out used as a mask). Raises `InputError`.
    """
    with _opened(path, max_megapixels) as picture:
        picture = _without_opaque_alpha(picture)
        if "A" in picture.getbands():
            if not use_alpha:
                raise InputError(f"{path}: has transparent pixels; save it as plain grey, without an alpha channel")
            return np.asarray(picture.getchannel("A"))
        array = np.asarray(picture)
        if array.ndim == 3:
            if (array != array[:, :, :1]).any():
                raise InputError(f"{path}: has colours, wanted grey values; save it as a greyscale image")
            array = array[:, :, 0]
        return np.ascontiguousarray(array)


@contextlib.contextmanager
def _opened(path: str | Path, max_megapixels: float) -> Iterator[Image.Image]:
    """An L, RGB, LA or RGBA picture, decoded whole; every way to fail becomes an `InputError` naming the file."""
    if not Path(path).is_file():
        kind = "a folder" if Path(path).is_dir() else "no such file"
        raise InputError(f"{path}: {kind}; give the path of an image file")
    try:
        with _header(path) as picture:
            _check_header(picture, path, max_megapixels)
            picture.load()
            yield _plain_mode(ImageOps.exif_transpose(picture), path)
    except UnidentifiedImageError:
        raise InputError(
            f"{path}: not an image that can be read ({os.path.getsize(path)} bytes); "
            f"wanted {', '.join(READ_FORMATS)}; it may be empty, damaged or misnamed"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: damaged or truncated image ({error}); save or fetch it again") from error


@contextlib.contextmanager
def _header(path: str | Path) -> Iterator[Image.Image]:
    # Pillow's own pixel limit is one global number; ours is an option and is checked before anything is decoded.
    with _pillow_limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(path, formats=READ_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with picture:
        yield picture


def _check_header(picture: Image.Image, path: str | Path, max_megapixels: float) -> None:
    width, height = picture.size
    if width * height > max_megapixels * 1e6:
        raise InputError(
            f"{path}: {width}x{height} is {width * height / 1e6:.1f} megapixels, over the limit of "
            f"{max_megapixels:g}; raise it with --max-megapixels"
        )
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # cameras keep previews behind an MPO's photo
        raise InputError(f"{path}: holds {frames} frames, wanted a single image; save the one you mean")


def _plain_mode(picture: Image.Image, path: str | Path) -> Image.Image:
    if picture.mode in ("L", "RGB", "LA", "RGBA"):
        return picture
    if picture.mode in ("P", "1", "PA"):
        transparent = picture.mode == "PA" or "transparency" in picture.info
        return picture.convert("RGBA" if transparent else "L" if picture.mode == "1" else "RGB")
    if picture.mode in _SIXTEEN_BIT_GREY:
        return Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
    raise InputError(
        f"{path}: its colour mode is {picture.mode}, wanted 8- or 16-bit RGB or grey; convert it to sRGB first"
    )


def _without_opaque_alpha(picture: Image.Image) -> Image.Image:
    if "A" in picture.getbands() and picture.getchannel("A").getextrema() == (255, 255):
        return picture.convert("RGB" if picture.mode == "RGBA" else "L")
    return picture


def check_output(path: str | Path, inputs: tuple[str | Path, ...] = ()) -> None:
    """Raise before any work is done when `path` cannot be written or is one of the inputs."""
    target = Path(path)
    if target.suffix.lower() not in WRITE_SUFFIXES:
        raise UsageError(f"{path}: results are written as {', '.join(WRITE_SUFFIXES)}; choose one of these endings")
    if any(Path(other).exists() and target.exists() and target.samefile(other) for other in inputs):
        raise UsageError(f"{path}: would overwrite an input; choose another output")
    check_writable(target)


def write_image(path: str | Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4) uint8 by the suffix of `path`. Raises `OutputError`."""
    if pixels.ndim == 3:
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV's order is blue, green, red
    _, encoded = cv2.imencode(Path(path).suffix.lower(), np.ascontiguousarray(pixels))
    replace_file(path, encoded.tobytes())
