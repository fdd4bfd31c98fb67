"""What numbers mean as light: tone curves and primaries, levels to light and back.

Light is 1 at reference white: 203 cd/m2 of PQ, and the scene light of 75 % of HLG's signal (ITU-R BT.2408). Transfers
and primaries have the code points of ITU-T H.273, which clips and a PNG's cICP chunk use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Pairs: TypeAlias = tuple[tuple[float, float], ...]
Floats: TypeAlias = NDArray[np.float32]

# One entry for each 16-bit level; those of 8 bits are every 257th.
TABLE_SIZE = 65536
LINEAR, PQ, HLG = 8, 16, 18
AS_SRGB = {1, 2, 4, 5, 6, 7, 11, 13, 14, 15}
"""Transfers whose numbers players show as they are: those of Rec. 709, 601 and 2020, sRGB, and none."""
D65 = (0.3127, 0.3290)
XY_709: Pairs = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_C, _DCI = (0.310, 0.316), (0.314, 0.351)
_XY_525: Pairs = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_XY_P3: Pairs = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
PRIMARIES: dict[int, tuple[Pairs, tuple[float, float]]] = {
    1: (XY_709, D65),
    2: (XY_709, D65),
    4: (((0.670, 0.330), (0.210, 0.710), (0.140, 0.080)), _C),
    5: (((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)), D65),
    6: (_XY_525, D65),
    7: (_XY_525, D65),
    8: (((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _C),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), D65),
    11: (_XY_P3, _DCI),
    12: (_XY_P3, D65),
    22: (((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), D65),
}
"""Red, green and blue as CIE x, y, and white."""
# The largest finite float16.
_HALF_MAX = 65504.0
# Columns are sRGB's red, green and blue as XYZ under D50, as ICC profiles hold them (IEC 61966-2-1, Bradford-adapted).
_SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_PQ_WHITE = 203 / 10000  # of the 10000 cd/m2 that its signal ends at
_HLG_WHITE = 0.26496256
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084
_A, _B, _C_HLG = 0.17883277, 0.28466892, 0.55991073  # ITU-R BT.2100


def srgb_decode(encoded: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the light, 0..1, of sRGB-encoded numbers, 0..1, in their dtype (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(encoded.dtype)


def srgb_encode(light: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return light from 0 on as sRGB-encoded numbers, in its dtype; above 1 the curve goes on."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(light.dtype)


def pq_to_light(signal: NDArray[np.floating]) -> Floats:
    """Return the light of PQ's signal, which is clipped to 0..1."""
    root = signal.clip(0, 1) ** (1 / _M2)
    # The standard clips here, too: below the least signal the difference is negative.
    return np.asarray(((root - _C1).clip(0) / (_C2 - _C3 * root)) ** (1 / _M1) / _PQ_WHITE, np.float32)


def hlg_to_light(signal: NDArray[np.floating]) -> Floats:
    """Return the scene light of HLG's signal: the inverse of its OETF, without a display's system gamma."""
    # `where` computes both branches everywhere: clipped, the one that is not taken stays finite.
    low, high = signal.clip(0, 0.5), signal.clip(0.5, 1.1)
    light = np.where(signal <= 0.5, low**2 / 3, (np.exp((high - _C_HLG) / _A) + _B) / 12)
    return np.asarray(light / _HLG_WHITE, np.float32)


def light_to_pq(light: Floats) -> Floats:
    """Return light as PQ's signal, 0..1."""
    root = (light * np.float32(_PQ_WHITE)).clip(0, 1) ** _M1
    return np.asarray(((_C1 + _C2 * root) / (1 + _C3 * root)) ** _M2, np.float32)


def light_to_hlg(light: Floats) -> Floats:
    """Return scene light as HLG's signal."""
    scene = light.clip(0) * np.float32(_HLG_WHITE)
    # Below the knee, where this is not used, the logarithm would not be defined.
    high = _A * np.log((12 * scene - _B).clip(1e-6)) + _C_HLG
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high), np.float32)


CURVES: dict[int, tuple[Callable[[NDArray[Any]], Any], Callable[[Floats], Floats]]] = {
    LINEAR: (np.asarray, np.asarray),
    PQ: (pq_to_light, light_to_pq),
    HLG: (hlg_to_light, light_to_hlg),
}
"""Transfers that are not shown as they are: from signal to light, and back."""


def primaries_to_xyz(xy: Pairs, white: tuple[float, float] = D65) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from light in these primaries to XYZ under D50, on the scale of `SRGB`.

    xy: red, green and blue as CIE x, y.
    white: as CIE x, y; one other than D65 is adapted by Bradford's matrix.
    Raises `ValueError` for a chromaticity whose y is 0, and `numpy.linalg.LinAlgError` for primaries on a line.
    """
    # By way of sRGB, so that its primaries give the very matrix that profiles have for it.
    matrix = _SRGB_TO_XYZ @ np.linalg.inv(_to_xyz(XY_709, D65))
    if white != D65:
        old, new = (_BRADFORD @ _point_xyz(point) for point in (white, D65))
        matrix = matrix @ np.linalg.inv(_BRADFORD) @ np.diag(new / old) @ _BRADFORD
    return np.asarray(matrix @ _to_xyz(xy, white))


def _to_xyz(xy: Pairs, white: tuple[float, float]) -> NDArray[np.float64]:
    """Return columns that are light's red, green and blue as XYZ under `white`."""
    columns = np.array([_point_xyz(point) for point in xy]).T
    return np.asarray(columns * np.linalg.solve(columns, _point_xyz(white)))


def _point_xyz(point: tuple[float, float]) -> NDArray[np.float64]:
    """Return CIE x, y as X, Y, Z where Y is 1. Raises `ValueError` where y is 0."""
    x, y = point
    if not y > 0:
        raise ValueError(f"a chromaticity of {x:g}, {y:g}")
    return np.array([x / y, 1, (1 - x - y) / y])


def levels_to(levels: NDArray[Any], dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Return uint8 or uint16 levels at another of these depths: times 257, or the nearest; the same array if equal."""
    if levels.dtype == dtype:
        return levels
    if levels.dtype == np.uint8:
        # 255 times 257 is 65535, so that white stays white.
        return levels.astype(np.uint16) * np.uint16(257)
    # Half a step is added to round to the nearest, and 65535 has no room for it in 16 bits.
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def upper_bits(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the upper 8 bits of uint16 levels, or uint8 levels as they are; contiguous."""
    return np.ascontiguousarray(levels if levels.dtype == np.uint8 else (levels >> 8).astype(np.uint8))


def to_half_or_float(light: NDArray[np.float32], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Return finite light as float16 or float32; what float16 cannot hold becomes its largest value, ±65504."""
    return light.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16) if dtype == np.float16 else light.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Space:
    """How levels stand for light: one tone curve per channel, and the primaries.

    name: begins a message.
    decoding: per channel the light of 65536 levels, (65536,) float32, rising.
    to_xyz: (3, 3), from light to XYZ under D50; None where a profile has tables only, whose primaries are not known.
    top: the most light that levels stand for; above 1 for HDR.
    """

    name: str
    decoding: tuple[Floats, ...]
    to_xyz: NDArray[np.float64] | None
    top: float = 1.0

    def decode(self, levels: NDArray[Any]) -> Floats:
        """Return the light, float32, of levels (..., 3), uint8 or uint16."""
        step = 257 if levels.dtype == np.uint8 else 1
        light = np.empty(levels.shape, np.float32)
        for channel, table in enumerate(self.decoding):
            np.take(table[::step], levels[..., channel], out=light[..., channel])
        return light

    def encode(self, light: Floats, dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
        """Return the levels, uint8 or uint16, nearest to light (..., 3); light outside of what they hold is clipped."""
        top = np.float32(np.iinfo(dtype).max)
        if self is SRGB:
            return np.asarray(np.rint(srgb_encode(np.clip(light, 0, 1)) * top), dtype)
        levels = np.empty(light.shape, dtype)
        even = np.linspace(0, 1, TABLE_SIZE)
        for channel, table in enumerate(self.decoding):
            # Tables rise, so that a curve is inverted by looking it up the other way round.
            levels[..., channel] = np.rint(np.interp(light[..., channel], table, even) * top)
        return levels

    def convert(self, light: Floats, other: "Space") -> Floats:
        """Return light (..., 3) in the primaries of `other`.

        Raises `InputError` where the primaries of one of the two are unknown.
        """
        if self is other:
            return light
        if self.to_xyz is None or other.to_xyz is None:
            unknown = self if self.to_xyz is None else other
            raise InputError(
                f"{unknown.name} contains only lookup tables, so it cannot be converted to another colour space; "
                "convert the photo to sRGB"
            )
        # Profiles write the same primaries with different last digits; converting would only round once more.
        if np.abs(self.to_xyz - other.to_xyz).max() < 1e-3:
            return light
        matrix = np.linalg.inv(other.to_xyz) @ self.to_xyz
        return np.asarray(light @ matrix.T.astype(np.float32))


SRGB = Space("sRGB", (srgb_decode(np.linspace(0, 1, TABLE_SIZE)).astype(np.float32),) * 3, _SRGB_TO_XYZ)
