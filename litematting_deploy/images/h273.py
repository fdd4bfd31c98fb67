"""Code points of ITU-T H.273 as light: the transfer functions and primaries of clips and of a PNG's cICP chunk.

Light is 1 at reference white: 203 cd/m2 of PQ, and the scene light of 75 % of HLG's signal (ITU-R BT.2408).
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .colour import SRGB

Pairs: TypeAlias = tuple[tuple[float, float], ...]
Floats: TypeAlias = NDArray[np.float32]

LINEAR, PQ, HLG = 8, 16, 18
AS_SRGB = {1, 2, 4, 5, 6, 7, 11, 13, 14, 15}
"""Transfers whose numbers players show as they are: those of Rec. 709, 601 and 2020, sRGB, and none."""
D65 = (0.3127, 0.3290)
_C, _DCI = (0.310, 0.316), (0.314, 0.351)
XY_709: Pairs = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_XY_525: Pairs = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_XY_P3: Pairs = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
# Red, green, blue as CIE x, y, and white.
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
_PQ_WHITE = 203 / 10000  # of the 10000 cd/m2 that its signal ends at
_HLG_WHITE = 0.26496256
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084
_A, _B, _C_HLG = 0.17883277, 0.28466892, 0.55991073  # ITU-R BT.2100
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def pq_to_light(signal: NDArray[np.floating]) -> Floats:
    """PQ's signal, clipped to 0..1, to light."""
    root = signal.clip(0, 1) ** (1 / _M2)
    return np.asarray(((root - _C1).clip(0) / (_C2 - _C3 * root)) ** (1 / _M1) / _PQ_WHITE, np.float32)


def light_to_pq(light: Floats) -> Floats:
    """Light to PQ's signal, 0..1."""
    root = (light * np.float32(_PQ_WHITE)).clip(0, 1) ** _M1
    return np.asarray(((_C1 + _C2 * root) / (1 + _C3 * root)) ** _M2, np.float32)


def hlg_to_light(signal: NDArray[np.floating]) -> Floats:
    """HLG's signal to scene light: the inverse of its OETF, without a display's system gamma."""
    low, high = signal.clip(0, 0.5), signal.clip(0.5, 1.1)
    light = np.where(signal <= 0.5, low**2 / 3, (np.exp((high - _C_HLG) / _A) + _B) / 12)
    return np.asarray(light / _HLG_WHITE, np.float32)


def light_to_hlg(light: Floats) -> Floats:
    """Scene light to HLG's signal."""
    scene = light.clip(0) * np.float32(_HLG_WHITE)
    high = _A * np.log((12 * scene - _B).clip(1e-6)) + _C_HLG
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high), np.float32)


def primaries_to_xyz(xy: Pairs, white: tuple[float, float] = D65) -> NDArray[np.float64]:
    """Return (3, 3) from light in these primaries to XYZ under D50, on the scale of `SRGB`; another white is adapted
    by Bradford's matrix.

    Raises `ValueError` for a chromaticity whose y is 0, and `numpy.linalg.LinAlgError` for primaries on a line.
    """
    assert SRGB.to_xyz is not None
    matrix = SRGB.to_xyz @ np.linalg.inv(_to_xyz(XY_709, D65))
    if white != D65:
        cones = (_BRADFORD @ _white_xyz(point) for point in (white, D65))
        old, new = cones
        matrix = matrix @ np.linalg.inv(_BRADFORD) @ np.diag(new / old) @ _BRADFORD
    return np.asarray(matrix @ _to_xyz(xy, white))


def _to_xyz(xy: Pairs, white: tuple[float, float]) -> NDArray[np.float64]:
    """Columns are light's red, green and blue as XYZ under `white`."""
    columns = np.array([_white_xyz(point) for point in xy]).T
    return np.asarray(columns * np.linalg.solve(columns, _white_xyz(white)))


def _white_xyz(point: tuple[float, float]) -> NDArray[np.float64]:
    x, y = point
    if not y > 0:
        raise ValueError(f"a chromaticity of {x:g}, {y:g}")
    return np.array([x / y, 1, (1 - x - y) / y])
