"""A photo without loss: its own pixels, what the network sees of it, and what its numbers mean as light."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..parameters import path_text
from ..profiling import stage
from ..specs import MAX_MEGAPIXELS, ExrSpec
from .colour import SRGB, Space, levels_to, to_half_or_float, upper_bits
from .decode import decode
from .exr import is_exr, read_exr_rgb
from .exr_header import Windows
from .icc import Profile
from .metadata import Metadata
from .ocio import input_space
from .png import MASTERING, space_of

_ROWS = 256
_BRIGHT = 1e9
_ICC_SPACE = slice(16, 20)  # where an ICC profile says of which colours it is
_FIX = "the sizes must match: make it from this photo"


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as it is in its file, upright. Of an OpenEXR file, H and W are those of the data window.

    path: begins an error.
    pixels: (H, W, 3) RGB; uint8 or uint16 levels in `space`, or scene-linear light, float16 or float32, in its
    primaries.
    network: (H, W, 3) uint8, sRGB-encoded.
    """

    path: str
    pixels: NDArray[Any]
    network: NDArray[np.uint8]
    space: Space = SRGB
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def is_linear(self) -> bool:
        """Whether `pixels` are light already, as in OpenEXR files."""
        return bool(np.issubdtype(self.pixels.dtype, np.floating))

    @property
    def windows(self) -> Windows | None:
        """The windows of an OpenEXR file; None for other files."""
        return self.metadata.exr.windows if self.metadata.exr is not None else None

    def to_light(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return pixels (..., 3) in this photo's own numbers as light, float32.

        It is 0..`space.top`, of an OpenEXR file any finite value. Raises `InputError` for NaN and infinity there.
        """
        if not self.is_linear:
            return self.space.decode(pixels)
        self.check_finite(pixels)
        return pixels.astype(np.float32)

    def to_pixels(self, light: NDArray[np.float32]) -> NDArray[Any]:
        """Return light (..., 3) in this photo's own numbers, at its depth; levels clip light outside 0..1."""
        if self.is_linear:
            return to_half_or_float(light, self.pixels.dtype.type)
        return self.space.encode(light, self.pixels.dtype.type)

    def check_finite(
        self, pixels: NDArray[Any] | None = None, instead: str = "leave out `cutout` and `foreground`"
    ) -> None:
        """Raise `InputError` where pixels contain NaN or infinity.

        pixels: (..., 3), in this photo's own numbers; all of the photo's by default.
        instead: what can be done but to clamp them.
        """
        pixels = self.pixels if pixels is None else pixels
        if self.is_linear and not np.isfinite(pixels).all():
            count = int((~np.isfinite(pixels)).any(axis=-1).sum())
            raise InputError(
                f"{self.path}: {count} pixels are NaN or infinite and cannot be composited; clamp them, or {instead}"
            )

    def lost_colour(self, numbers_kept: bool) -> list[str]:
        """Return the names of a PNG's colour chunks that a result in another format lacks.

        These are the chunks of mastering and, where the result keeps the photo's numbers and neither sRGB nor a profile
        says what they mean, those of their meaning.
        """
        by_profile = b"cICP" not in dict(self.metadata.colour) and self.metadata.icc is not None
        meaning_lost = numbers_kept and self.space is not SRGB and not by_profile
        names = [name for name, _ in self.metadata.colour]
        return [name.decode() for name in names if name in MASTERING or (meaning_lost and name != b"sRGB")]

    def deepened(self) -> Self:
        """Return the photo with 16-bit levels, for results deeper than its own 8 bits; itself where it is deep."""
        return replace(self, pixels=levels_to(self.pixels, np.uint16)) if self.pixels.dtype == np.uint8 else self

    def fit(self, plane: NDArray[Any], name: str, fix: str = _FIX, placed: Windows | None = None) -> NDArray[Any]:
        """Return a plane (H, W, ...) that was made for this photo, at the photo's size.

        For an OpenEXR photo it may have the size of the display window, see `Windows.fit`.

        name, fix: begin and end an error.
        placed: the windows of a plane from an OpenEXR file. If it has the photo's display window, it lies where its
        data window says, on top of 0; otherwise it is what its own display window shows.
        Raises `InputError` naming both sizes.
        """
        (height, width), windows = self.pixels.shape[:2], self.windows
        if placed is not None:
            if windows is not None and placed.display == windows.display:
                return placed.data.moved(plane, windows.data)
            plane = placed.show(plane)
        if windows is not None and windows.data != windows.display:
            return windows.fit(plane, name)
        if plane.shape[:2] != (height, width):
            raise InputError(f"{name}: is {plane.shape[1]}x{plane.shape[0]}, {self.path} is {width}x{height}; {fix}")
        return plane


def shrink(pixels: NDArray[np.uint8], longest: float, interpolation: int = cv2.INTER_AREA) -> NDArray[np.uint8]:
    """Return pixels (H, W, ...) made so small that the longer side has at most `longest`, or as they are.

    interpolation: OpenCV's, by default the average over areas.
    """
    factor = longest / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=interpolation), np.uint8)


def read_image(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Return what the network sees of a photo, (H, W, 3) uint8 sRGB; see `read_photo`.

    Raises `InputError`, and `UsageError` for what is no path.
    """
    return read_photo(path_text("path", path), max_megapixels).network


@stage("decode photo")
def read_photo(
    path: str | Path,
    max_megapixels: float = MAX_MEGAPIXELS,
    exr: ExrSpec = ExrSpec(),
) -> Photo:
    """Read an 8- or 16-bit PNG, JPEG, TIFF, WebP or BMP, RGB, grey or palette, or an OpenEXR file of R, G, B or Y.

    An alpha channel must be opaque, since nobody can tell which colours lie under it. The network sees the upper 8 bits
    through an ICC profile or a PNG's cICP, gAMA and cHRM as sRGB. A grey photo with a profile of its own becomes sRGB,
    since its results are in colour.

    max_megapixels: the largest width times height, in millions of pixels.
    exr: how an OpenEXR photo is read; the network sees its light clipped to 0..1 and sRGB-encoded, infinity as 1 and
    NaN as 0.
    Raises `InputError`, and `UsageError` where `exr` says something about a photo other than OpenEXR.
    """
    if is_exr(path):
        pixels, header = read_exr_rgb(path, max_megapixels, exr.layer)
        space = SRGB if exr.input_space is None else input_space(exr.input_space)
        network = _seen(pixels, space, exposure=2.0 ** (exr.exposure or 0))
        return Photo(str(path), pixels, network, space, Metadata(exr=header))
    for name in exr.differing():
        raise UsageError(
            f"`{name}` applies only to scene-linear OpenEXR photos, and {path} is not one; leave it out",
            parameter=name,
        )
    decoded = decode(path, max_megapixels)
    if decoded.alpha is not None:
        raise InputError(
            f"{path}: has transparent pixels, whose colours are undefined; flatten it, or save it without alpha"
        )
    # Results have estimated colours, so that a grey photo has three channels from here on.
    levels = decoded.levels if decoded.levels.ndim == 3 else np.repeat(decoded.levels[:, :, None], 3, axis=2)
    return _in_its_space(str(path), levels, decoded.metadata)


def _in_its_space(path: str, levels: NDArray[Any], metadata: Metadata) -> Photo:
    """Return the photo of levels in the space of cICP, else the ICC profile, else PNG's other chunks, or sRGB."""
    if metadata.icc is None or b"cICP" in dict(metadata.colour):
        space = space_of(metadata.colour, path) if metadata.colour else SRGB
        # Results are in colour, of which a profile of greys says nothing, whatever stands beside it.
        if metadata.icc is not None and metadata.icc[_ICC_SPACE] == b"GRAY":
            metadata = replace(metadata, icc=None)
        network = upper_bits(levels) if space is SRGB else _seen(levels, space)
        return Photo(path, levels, network, space, metadata)
    profile = Profile(metadata.icc, path)
    if profile.grey:
        if not profile.is_srgb:
            levels = SRGB.encode(profile.space.decode(levels), levels.dtype.type)
        return Photo(path, levels, upper_bits(levels), metadata=metadata.for_grey())
    if profile.is_srgb:
        return Photo(path, levels, upper_bits(levels), metadata=metadata)
    # Of 16 bits all count, since a profile of plain light has too few of the dark in 8.
    deep = levels.dtype == np.uint16 and profile.space.to_xyz is not None
    network = _seen(levels, profile.space) if deep else profile.to_srgb(upper_bits(levels))
    return Photo(path, levels, network, profile.space, metadata)


def _seen(pixels: NDArray[Any], space: Space = SRGB, exposure: float = 1) -> NDArray[np.uint8]:
    """Return pixels (H, W, 3), levels in `space` or light, as 8-bit sRGB; light above reference white is clipped."""
    network = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), _ROWS):  # a few rows at a time, which bounds the memory of what is light
        rows = pixels[start : start + _ROWS]
        if rows.dtype.kind == "f":
            # NaN alone is replaced: infinity is clipped to white below, as any light above 1.
            light = np.nan_to_num(rows.astype(np.float32), nan=0, posinf=np.inf, neginf=-np.inf).clip(0, None)
            light = light * np.float32(exposure)
            if space is not SRGB:  # infinite light has no colour that could be converted
                light = space.convert(np.minimum(light, np.float32(_BRIGHT)), SRGB).clip(0)
        else:
            light = space.convert(space.decode(rows), SRGB)
        network[start : start + _ROWS] = SRGB.encode(light, np.uint8)
    return network
