"""A photo without loss: its own pixels, what the network sees of it, and what its numbers mean as light."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..profiling import stage
from ..specs import MAX_MEGAPIXELS
from .colour import SRGB, Space, levels_to, srgb_encode, to_half_or_float
from .decode import decode
from .exr import is_exr, read_exr_rgb
from .exr_header import Windows
from .icc import Profile
from .metadata import Metadata
from .png_colour import lost_names, space_of

_ROWS = 256
_MOST_STOPS = 100
_FIX = "they must be of one size: make it from this very photo"


@dataclass(frozen=True, eq=False)
class Photo:
    """pixels: (H, W, 3) RGB as in the file, upright: uint8 or uint16 levels in `space`, or scene-linear light, float16
    or float32, in the primaries of `space`. network: (H, W, 3) uint8, sRGB-encoded. Of an OpenEXR file, H and W are
    those of the data window.
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
        """Of an OpenEXR file."""
        return self.metadata.exr.windows if self.metadata.exr is not None else None

    def linear(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Scene-linear light of these rows, (h, W, 3) float32: 0..`space.top`, of an OpenEXR file any finite value.

        Raises `InputError` where an OpenEXR file holds infinity or what is no number.
        """
        return self.to_light(self.pixels[rows])

    def to_light(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels (..., 3) in this photo's own numbers to light, float32. Raises `InputError` as `linear`."""
        if not self.is_linear:
            return self.space.decode(pixels)
        self.check_finite(pixels)
        return pixels.astype(np.float32)

    def check_finite(
        self, pixels: NDArray[Any] | None = None, instead: str = "leave out `cutout` and `foreground`"
    ) -> None:
        """Raise `InputError` where pixels, all of the photo's by default, are infinite or no numbers.

        instead: what can be done but to clamp them.
        """
        pixels = self.pixels if pixels is None else pixels
        if self.is_linear and not np.isfinite(pixels).all():
            count = int((~np.isfinite(pixels)).any(axis=-1).sum())
            raise InputError(
                f"{self.path}: holds infinity or what is no number in {count} pixels, whose light cannot be mixed; "
                f"clamp them, or {instead}"
            )

    def to_pixels(self, light: NDArray[np.float32]) -> NDArray[Any]:
        """Light (..., 3) to this photo's own numbers, at its depth; levels clip light outside 0..1."""
        if self.is_linear:
            return to_half_or_float(light, self.pixels.dtype.type)
        return self.space.encode(light, self.pixels.dtype.type)

    def lost_colour(self, numbers_kept: bool) -> list[str]:
        """Return the names of a PNG's chunks that a result in another format misses: those that say how it was
        mastered, and, where `numbers_kept` and neither sRGB nor a profile that counts says it, those of their meaning.
        """
        says_else = b"cICP" not in dict(self.metadata.colour) and self.metadata.icc is not None
        return lost_names(self.metadata.colour, numbers_kept and self.space is not SRGB and not says_else)

    def deepened(self) -> Self:
        """The same photo with 16-bit levels, for results deeper than its own 8 bits; itself where it is deep."""
        if self.pixels.dtype != np.uint8:
            return self
        return replace(self, pixels=levels_to(self.pixels, np.uint16))

    def fit(self, plane: NDArray[Any], name: str, fix: str = _FIX, placed: Windows | None = None) -> NDArray[Any]:
        """A plane (H, W, ...) made for this photo; of an OpenEXR file's also of its display window, see `Windows.fit`.

        placed: of a plane that is the data window of an OpenEXR file itself. With the photo's display window it lies
        where its data window says, on top of 0; otherwise it is what its own display window shows. Raises `InputError`
        naming `name` and both sizes.
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


@stage("decode photo")
def read_photo(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS, exposure_stops: float | None = None) -> Photo:
    """Read 8- or 16-bit PNG, JPEG, TIFF, WebP or BMP, RGB, grey or palette, or OpenEXR, R, G, B or Y.

    An alpha channel must be opaque, since nobody can tell which colours lie under it. The network sees the upper
    8 bits, through an ICC profile or a PNG's cICP, gAMA and cHRM as sRGB; of OpenEXR light times 2**exposure_stops,
    clipped to 0..1 and sRGB-encoded, infinity as 1 and what is no number as 0. A grey photo with a profile of its own
    becomes sRGB, since its results are in colour. Raises `InputError`, and `UsageError` for an exposure of other photos
    than OpenEXR or out of range.
    """
    if exposure_stops is not None and not abs(exposure_stops) <= _MOST_STOPS:  # nor what is no number
        raise UsageError(
            f"`exposure` must be between -{_MOST_STOPS} and {_MOST_STOPS} stops; got {exposure_stops:g}",
            parameter="exposure",
        )
    if is_exr(path):
        pixels, header = read_exr_rgb(path, max_megapixels)
        network = _exposed(pixels, 2.0 ** (exposure_stops or 0))
        return Photo(str(path), pixels, network, metadata=Metadata(exr=header))
    if exposure_stops is not None:
        raise UsageError(
            f"`exposure` applies to scene-linear OpenEXR photos, and {path} is none; leave it out", parameter="exposure"
        )
    decoded = decode(path, max_megapixels)
    if decoded.alpha is not None:
        raise InputError(
            f"{path}: has transparent pixels, whose colours are unclear; flatten it or save it without alpha"
        )
    levels = decoded.levels if decoded.levels.ndim == 3 else np.repeat(decoded.levels[:, :, None], 3, axis=2)
    return _in_its_space(str(path), levels, decoded.metadata)


def _exposed(light: NDArray[Any], factor: float) -> NDArray[np.uint8]:
    network = np.empty(light.shape, np.uint8)
    for start in range(0, len(light), _ROWS):
        rows = slice(start, start + _ROWS)
        exposed = np.nan_to_num(light[rows].astype(np.float32), nan=0, posinf=np.inf, neginf=-np.inf).clip(0, None)
        network[rows] = np.rint(srgb_encode((exposed * np.float32(factor)).clip(0, 1)) * 255)
    return network


def _in_its_space(path: str, levels: NDArray[Any], metadata: Metadata) -> Photo:
    """A photo whose space is what a PNG's cICP says, or else the ICC profile, or else PNG's other chunks, or sRGB."""
    space = space_of(metadata.colour, path)
    if metadata.icc is None or b"cICP" in dict(metadata.colour):
        if space is SRGB:
            return Photo(path, levels, _upper_bits(levels), metadata=metadata)
        return Photo(path, levels, _through_light(space, levels), space, metadata)
    profile = Profile(metadata.icc, path)
    if profile.grey:
        if not profile.is_srgb:
            levels = SRGB.encode(profile.space.decode(levels), levels.dtype.type)
        return Photo(path, levels, _upper_bits(levels), metadata=metadata.for_grey())
    if profile.is_srgb:
        return Photo(path, levels, _upper_bits(levels), metadata=metadata)
    return Photo(path, levels, _seen_through(profile, levels), profile.space, metadata)


def _seen_through(profile: Profile, levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Levels as 8-bit sRGB. Of 16 bits all count, since a profile of plain light has too few of the dark in 8."""
    space = profile.space
    if levels.dtype == np.uint8 or space.to_xyz is None:
        return profile.to_srgb(_upper_bits(levels))
    return _through_light(space, levels)


def _through_light(space: Space, levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Levels as 8-bit sRGB; light above reference white is clipped."""
    network = np.empty(levels.shape, np.uint8)
    for start in range(0, len(levels), _ROWS):
        rows = slice(start, start + _ROWS)
        network[rows] = SRGB.encode(space.convert(space.decode(levels[rows]), SRGB), np.uint8)
    return network


def _upper_bits(levels: NDArray[Any]) -> NDArray[np.uint8]:
    return levels if levels.dtype == np.uint8 else (levels >> 8).astype(np.uint8)
