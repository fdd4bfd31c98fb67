"""ICC profiles: pixels converted to sRGB for the network, and what a profile's numbers mean as light."""

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ..errors import InputError
from .colour import SRGB, TABLE_SIZE, Space

_HEADER_BYTES = 128
_SAME_LEVELS = 1  # profiles that change no colour of the probe by more are sRGB under another name
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
# How many numbers each of the ICC's parametric curves takes (ICC.1:2022, 10.18).
_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}
_MODES = {b"RGB ": "RGB", b"GRAY": "L"}


class Profile:
    """An ICC profile of RGB or grey numbers.

    content: its bytes.
    path: begins an error.
    grey: whether it is for grey numbers.
    space: what its numbers mean as light.
    is_srgb: whether it is sRGB under another name.
    Raises `InputError` for a damaged profile, and for one of other numbers.
    """

    def __init__(self, content: bytes, path: str | Path) -> None:
        self.content = content
        mode = _MODES.get(content[16:20])
        if mode is None:
            kind = content[16:20].decode("ascii", "replace").strip()
            raise InputError(
                f"{path}: its ICC profile is for {kind or 'nothing'}, expected RGB or grey; convert it to sRGB"
            )
        self.grey = mode == "L"
        try:
            opened = ImageCms.ImageCmsProfile(io.BytesIO(content))
            srgb = ImageCms.createProfile("sRGB")
            self._to_srgb = ImageCms.buildTransform(opened, srgb, mode, "RGB", renderingIntent=_INTENT)
            self.space = _space(content, self.grey, f"{path}: its ICC profile")
        except (ImageCms.PyCMSError, OSError, struct.error, ValueError, IndexError) as error:
            raise InputError(
                f"{path}: its ICC profile is damaged ({' '.join(str(error).split())}); remove it or convert it to sRGB"
            ) from error
        # Nine steps of each channel: 729 colours, among them greys and the corners of the cube.
        steps = np.linspace(0, 255, 9).round().astype(np.uint8)
        probe = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 27, 3)
        probe = probe[..., :1].repeat(3, axis=-1) if self.grey else probe
        self.is_srgb = bool(np.abs(self.to_srgb(probe).astype(np.int16) - probe).max() <= _SAME_LEVELS)

    def to_srgb(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return pixels (H, W, 3) uint8 of this profile as (H, W, 3) uint8 sRGB, relative colorimetric."""
        picture = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if self.grey else pixels))
        return np.asarray(ImageCms.applyTransform(picture, self._to_srgb))


def _space(content: bytes, grey: bool, name: str) -> Space:
    """Return the curves and primaries of a profile; without curves, sRGB's, and without primaries, none."""
    tags = _tags(content)
    if grey:
        return Space(name, (_curve(tags[b"kTRC"]),) * 3 if b"kTRC" in tags else SRGB.decoding, SRGB.to_xyz)
    matrix = None
    if tags.keys() >= {b"rXYZ", b"gXYZ", b"bXYZ"}:
        matrix = np.array([_fixed(tags[tag][8:20]) for tag in (b"rXYZ", b"gXYZ", b"bXYZ")]).T
        if abs(np.linalg.det(matrix)) < 1e-6:
            raise ValueError("its primaries are collinear")
    if not tags.keys() >= {b"rTRC", b"gTRC", b"bTRC"}:
        return Space(name, SRGB.decoding, matrix)
    return Space(name, tuple(_curve(tags[tag]) for tag in (b"rTRC", b"gTRC", b"bTRC")), matrix)


def _tags(content: bytes) -> dict[bytes, memoryview]:
    """Return the elements of a profile by their tags. Raises `ValueError` for a profile that claims very many."""
    (count,) = struct.unpack_from(">I", content, _HEADER_BYTES)
    if count > 1000:
        raise ValueError(f"it claims {count} tags")
    entries = (struct.unpack_from(">4sII", content, _HEADER_BYTES + 4 + 12 * index) for index in range(count))
    view = memoryview(content)  # a hundred tags may each claim the whole profile
    return {name: view[offset : offset + size] for name, offset, size in entries}


def _fixed(content: memoryview) -> NDArray[np.float64]:
    """Return s15Fixed16 numbers."""
    return np.frombuffer(content, ">i4").astype(np.float64) / 65536


def _curve(content: memoryview) -> NDArray[np.float32]:
    """Return the light of 65536 levels by a `curv` or `para` element. Raises `ValueError` where it falls."""
    x = np.linspace(0, 1, TABLE_SIZE)
    if bytes(content[:4]) == b"curv":
        (count,) = struct.unpack_from(">I", content, 8)
        points = np.frombuffer(content, ">u2", count, 12).astype(np.float64)
        if count == 0:
            light = x
        elif count == 1:
            # A single number is a gamma with 8 bits behind the point.
            light = x ** (points[0] / 256)
        else:
            light = np.interp(x, np.linspace(0, 1, count), points / 65535)
    elif bytes(content[:4]) == b"para":
        (kind,) = struct.unpack_from(">H", content, 8)
        if kind not in _PARAMETERS:
            raise ValueError(f"it has a curve of unknown type {kind}")
        light = _parametric(x, kind, _fixed(content[12 : 12 + 4 * _PARAMETERS[kind]]))
    else:
        raise ValueError(f"it has a curve of type {bytes(content[:4])!r}")
    if not np.isfinite(light).all() or (np.diff(light) < 0).any() or light[-1] <= light[0]:
        raise ValueError("it has a tone curve that is not increasing")
    return light.astype(np.float32)


def _parametric(x: NDArray[np.float64], kind: int, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a power from a threshold on, and a line or a constant below it (ICC.1:2022, table 68)."""
    g, a, b, c, d, e, f = np.pad(numbers, (0, 7 - len(numbers))).tolist()
    a = 1.0 if kind == 0 else a
    with np.errstate(all="ignore"):  # the caller refuses NaN
        if kind in (1, 2):
            c, d, e, f = 0.0, np.divide(-b, a), c, c
        return np.asarray(np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f))
