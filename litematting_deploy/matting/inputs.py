"""Pixels as programs give them, to pixels as the package works with them, and these as the network takes them.

What is clear is taken: NumPy arrays, PIL images, nested lists, and whatever else NumPy reads as an array. What could
mean two things raises an error that says what was given, what is accepted, and how to convert it.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import InputError, UsageError, first_line
from .trimap import VALUES, decode

ALPHA_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")

_ACCEPTED = {
    "image": "(H, W, 3) uint8 RGB",
    "plate": "(H, W, 3) uint8 RGB",
    "trimap": "(H, W) uint8 of 0, 128 and 255",
    **dict.fromkeys(("mask", "sure_foreground", "sure_background"), "(H, W) bool or uint8"),
    "alpha": "(H, W), floats between 0 and 1 or levels in uint8 or uint16",
}
_MODES = {
    **dict.fromkeys(("image", "plate"), ("RGB",)),
    "trimap": ("L", "1"),
    **dict.fromkeys(("mask", "sure_foreground", "sure_background"), ("1", "L")),
    "alpha": ("L", "F", "I;16"),
}
"""Modes of PIL images that are taken; others are to be converted to the first."""


def network_image(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an image (H, W, 3) uint8 as the network takes it: (3, H, W) float32, 0..1."""
    return np.divide(np.moveaxis(image, -1, 0), 255, dtype=np.float32)


def one_hot(trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a trimap (..., H, W) uint8 as (..., 3, H, W) float32: background, unknown, foreground, each 0 or 1."""
    return np.stack([trimap == value for value in VALUES], axis=-3).astype(np.float32)


def alpha_dtype(dtype: DTypeLike) -> "np.dtype[Any]":
    """Return the dtype that an alpha shall have, however it is spelled. Raises `UsageError` for any other."""
    try:
        # NumPy reads None as float64, which nobody asked for; V is none of those that are accepted.
        found = np.dtype("V" if dtype is None else dtype)
    except TypeError:
        found = np.dtype("V")
    if found.name not in ALPHA_DTYPES or not found.isnative:
        accepted = f"{', '.join(ALPHA_DTYPES[:-1])} or {ALPHA_DTYPES[-1]}"
        raise UsageError(f"`dtype` must be {accepted}; got {dtype!r}")
    return found


def as_image(image: Any, unit_range: bool = False, name: str = "image") -> NDArray[np.uint8]:
    """Return a photo (H, W, 3) uint8 RGB, without a copy where it is that already.

    image: (H, W, 3), uint8 or integers between 0 and 255, or a PIL image of mode RGB.
    unit_range: the image is (H, W, 3) float, 0..1, and is rounded to 8 bits.
    name: the parameter that it is given as, "image" or "plate".
    Raises `InputError`.
    """
    array = _as_array(image, name)
    if unit_range:
        array = _from_unit_range(array, name)
    elif array.dtype.kind == "f":
        raise _refused(name, array, "scale it to 0 to 255, or set `unit_range=True` if it ranges from 0 to 1")
    elif array.dtype.kind == "U":
        raise _refused(name, array, "read a file with read_image")
    array = _as_bytes(array, name)
    check_image_shape(array, name)
    return array


def as_trimap(trimap: Any) -> NDArray[np.uint8]:
    """Return a trimap (H, W) uint8 of 0 / 128 / 255, without a copy where it is that already.

    trimap: (H, W) or (H, W, 1), uint8 or other integers, or a PIL image of mode L. Raises `InputError`, for a bool
    mask, too, in which nothing is unknown.
    """
    array = _as_array(trimap, "trimap")
    if array.dtype == bool:
        raise InputError(
            f"`trimap` must be {_ACCEPTED['trimap']}; got a Boolean mask, which has no unknown pixels; make a "
            "trimap from it with make_trimap"
        )
    if array.dtype.kind == "f":
        raise _refused("trimap", array, "scale it to 0, 128 and 255")
    return decode(_plane(_as_bytes(array, "trimap"), "trimap"))


def as_mask(mask: Any, name: str = "mask") -> NDArray[np.uint8]:
    """Return a mask (H, W) uint8, 0 background to 255 foreground, without a copy where it is that already.

    mask: (H, W) or (H, W, 1), bool, or uint8 or other integers between 0 and 255, or a PIL image of mode 1 or L.
    name: the parameter that it is given as, "mask", "sure_foreground" or "sure_background".
    Raises `InputError`.
    """
    array = _as_array(mask, name)
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    return _plane(_as_bytes(array, name), name)


def as_strokes(strokes: Any, name: str) -> NDArray[np.bool_]:
    """Return what strokes mark, (H, W) bool. strokes, name: as `as_mask` takes them. Raises `InputError`."""
    grey = as_mask(strokes, name)
    if 0 < grey.max() < 128:
        raise InputError(f"`{name}` must be bool, or uint8 with 255 where it marks; its largest value is {grey.max()}")
    return grey >= 128


def as_alpha(alpha: Any) -> NDArray[np.float32]:
    """Return an alpha (H, W) float32, 0..1.

    alpha: (H, W) or (H, W, 1), of any of `ALPHA_DTYPES`; uint8 and uint16 are levels up to 255 and 65535. Raises
    `InputError`.
    """
    array = _plane(_as_array(alpha, "alpha"), "alpha")
    if array.dtype.name not in ALPHA_DTYPES:
        raise _refused("alpha", array)
    if array.dtype.kind == "u":
        return np.asarray(np.divide(array, np.iinfo(array.dtype).max, dtype=np.float32))
    _check_range(array, "alpha", 1, "")
    return array.astype(np.float32, copy=False)


def check_image_shape(image: Any, name: str = "image") -> None:
    """Raise `InputError` unless an array, on the host or a device, has the shape of a photo (H, W, 3) with pixels."""
    if len(image.shape) != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise _refused(name, image)


def check_trimap_shape(trimap: Any) -> None:
    """Raise `InputError` unless an array, on the host or a device, has the shape of a trimap (H, W) or (H, W, 1)."""
    if len(trimap.shape) not in (2, 3) or trimap.shape[2:] not in ((), (1,)) or 0 in trimap.shape:
        raise _refused("trimap", trimap, "give one channel")


def check_same_size(image_shape: tuple[int, ...], trimap_shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless an image (H, W, 3) and a trimap (H, W) are of one height and width."""
    if image_shape[:2] != trimap_shape:
        raise InputError(
            f"image is {image_shape[1]}x{image_shape[0]}, trimap {trimap_shape[1]}x{trimap_shape[0]}: the sizes "
            "must match",
            parameter="trimap",
        )


def _as_array(given: Any, name: str) -> NDArray[Any]:
    """Return what NumPy makes of an argument, a PIL image of one of `_MODES` included."""
    accepted, modes = _ACCEPTED[name], _MODES[name]
    if type(given).__module__.startswith("PIL.") and given.mode not in modes:
        raise InputError(
            f"`{name}` must be {accepted}; got a PIL image of mode {given.mode}; convert it with convert({modes[0]!r})"
        )
    if hasattr(given, "__cuda_array_interface__"):
        raise InputError(
            f"`{name}` is on a CUDA device, but the engine runs on the host; copy it to the host, or open the "
            "engine with `device=cuda`"
        )
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"`{name}` cannot be read as an array ({first_line(error)}); give {accepted}") from error


def _as_bytes(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return integers between 0 and 255 as uint8. uint16 is refused, for its levels may well go up to 65535."""
    if array.dtype.kind not in "iu" or array.dtype == np.uint16:
        raise _refused(name, array, "scale it to 0 to 255" if array.dtype == np.uint16 else "convert it")
    if array.dtype != np.uint8:
        _check_range(array, name, 255, "")
    return np.asarray(array, np.uint8)


def _from_unit_range(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return floats, 0..1, as the nearest of 256 levels."""
    if array.dtype.kind != "f":
        raise InputError(
            f"`{name}` must be floats between 0 and 1 with `unit_range=True`; got {array.dtype}; leave `unit_range` out"
        )
    _check_range(array, name, 1, " with `unit_range=True`")
    return np.asarray(np.rint(array.astype(np.float32, copy=False) * np.float32(255)), np.uint8)


def _check_range(array: NDArray[Any], name: str, most: int, condition: str) -> None:
    """Raise `InputError` for a value below 0 or above `most`, and for NaN."""
    if not array.size:
        return
    least, largest = array.min(), array.max()
    # In this form NaN, whose comparisons are all false, is refused, too.
    if not (least >= 0 and largest <= most):
        got = "nan" if np.isnan(least) else f"values from {least:g} to {largest:g}"
        raise InputError(f"`{name}` must be between 0 and {most}{condition}; got {got}")


def _plane(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return (H, W) or (H, W, 1) as (H, W), with pixels. Raises `InputError` for any other shape."""
    plane = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if plane.ndim != 2 or not plane.size:
        raise _refused(name, array, "give one channel")
    return plane


def _refused(name: str, array: Any, fix: str = "convert it") -> InputError:
    """Return the error for an array, on the host or a device, of a shape or dtype that is not taken."""
    return InputError(f"`{name}` must be {_ACCEPTED[name]}; got {array.shape} {array.dtype}; {fix}")
