"""What numbers mean as light: tone curves and primaries, levels to light and back."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

TABLE_SIZE = 65536
_HALF_MAX = 65504.0
# Columns are sRGB's red, green and blue as XYZ under D50, as ICC profiles hold them (IEC 61966-2-1, Bradford-adapted).
_SRGB_TO_XYZ = (
    (0.4360747, 0.3850649, 0.1430804),
    (0.2225045, 0.7168786, 0.0606169),
    (0.0139322, 0.0971045, 0.7141733),
)


def srgb_decode(encoded: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """sRGB-encoded 0..1 to light 0..1, of the same dtype (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(encoded.dtype)


def srgb_encode(light: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Light to sRGB-encoded 0..1, of the same dtype; light outside 0..1 is clipped."""
    return srgb_curve(np.clip(light, 0, 1))


def srgb_curve(light: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Light from 0 on, to sRGB's numbers, of the same dtype; above 1 the curve goes on."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(light.dtype)


def levels_to(levels: NDArray[Any], dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """uint8 or uint16 levels at another of these depths: times 257, or the nearest level; the same array if equal."""
    if levels.dtype == dtype:
        return levels
    if levels.dtype == np.uint8:
        return levels.astype(np.uint16) * np.uint16(257)
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_half_or_float(light: NDArray[np.float32], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Finite light as float16 or float32; what float16 cannot hold becomes its largest value, ±65504."""
    return light.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16) if dtype == np.float16 else light.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Space:
    """How levels stand for light: one tone curve per channel, and the primaries.

    name: begins a message. decoding: per channel the light of 65536 levels, (65536,) float32, rising. to_xyz: (3, 3),
    from light to XYZ under D50; None where the profile has tables only, whose primaries are not known. top: the most
    light that levels stand for; above 1 for HDR, whose reference white is 1.
    """

    name: str
    decoding: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    to_xyz: NDArray[np.float64] | None
    top: float = 1.0

    @classmethod
    def of_one_curve(
        cls, name: str, curve: NDArray[np.float32], to_xyz: NDArray[np.float64] | None, top: float = 1.0
    ) -> Self:
        return cls(name, (curve, curve, curve), to_xyz, top)

    def decode(self, levels: NDArray[Any]) -> NDArray[np.float32]:
        """(..., 3) uint8 or uint16 to light, float32."""
        step = 257 if levels.dtype == np.uint8 else 1
        light = np.empty(levels.shape, np.float32)
        for channel, table in enumerate(self.decoding):
            np.take(table[::step], levels[..., channel], out=light[..., channel])
        return light

    def encode(self, light: NDArray[np.float32], dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
        """(..., 3) light to the nearest levels, uint8 or uint16; light outside of what levels hold is clipped."""
        top = np.float32(np.iinfo(dtype).max)
        if self is SRGB:
            return np.asarray(np.rint(srgb_encode(light) * top), dtype)
        levels = np.empty(light.shape, dtype)
        even = np.linspace(0, 1, TABLE_SIZE)
        for channel, table in enumerate(self.decoding):
            levels[..., channel] = np.rint(np.interp(light[..., channel], table, even) * top)
        return levels

    def same_primaries(self, other: "Space") -> bool:
        """Whether light here is light there, without a change of primaries."""
        if self.to_xyz is None or other.to_xyz is None:
            return self is other
        return bool(np.abs(self.to_xyz - other.to_xyz).max() < 1e-3)

    def convert(self, light: NDArray[np.float32], other: "Space") -> NDArray[np.float32]:
        """Light (..., 3) in the primaries of `other`. Raises `InputError` where those of one of the two are unknown."""
        if self.same_primaries(other):
            return light
        if self.to_xyz is None or other.to_xyz is None:
            unknown = self if self.to_xyz is None else other
            raise InputError(
                f"{unknown.name} holds tables only, so that its light cannot be turned into that of others; "
                "convert the photo to sRGB"
            )
        matrix = np.linalg.inv(other.to_xyz) @ self.to_xyz
        return np.asarray(light @ matrix.T.astype(np.float32))


SRGB = Space.of_one_curve(
    "sRGB", srgb_decode(np.linspace(0, 1, TABLE_SIZE)).astype(np.float32), np.array(_SRGB_TO_XYZ, np.float64)
)
