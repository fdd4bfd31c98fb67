"""What a clip's numbers mean: codes to R'G'B' and back, and R'G'B' to light, by the tags that its frames have.

Tags are the code points of ITU-T H.273. Nothing is clipped on the way, so that what lies above white stays there.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.colour import SRGB, Space, srgb_decode
from .planes import is_full

RGB, BT709, UNSPECIFIED, BT601 = 0, 1, 2, 6
_LINEAR, _PQ, _HLG = 8, 16, 18
_AS_SRGB = {1, 2, 4, 5, 6, 7, 11, 13, 14, 15}
"""Transfers whose numbers players show as they are: those of Rec. 709, 601 and 2020, sRGB, and none."""
_RED_BLUE = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)} | {
    9: (0.2627, 0.0593)
}
_D65 = (0.3127, 0.3290)
_709_XY = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_525_XY = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_PRIMARIES = {
    1: _709_XY,
    2: _709_XY,
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: _525_XY,
    7: _525_XY,
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_PQ_WHITE = 203 / 10000  # BT.2408: reference white, in nits of 10000
_HLG_WHITE = 0.26496256  # the scene light of 75 %, reference white there
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Colours:
    """matrix: of H.273, `RGB` for none. full: whether codes take the whole range of their bits."""

    matrix: int
    full: bool
    transfer: int
    primaries: int

    @classmethod
    def of(cls, frame: VideoFrame, name: str) -> "Colours":
        """As tagged; without a matrix Rec. 709 from 720 lines on and Rec. 601 below, as players take it. Raises
        `InputError` naming `name` for tags whose light is not known here.
        """
        matrix = int(frame.colorspace)
        if frame.format.is_rgb:
            matrix = RGB
        elif matrix in (UNSPECIFIED, RGB):
            matrix = BT709 if frame.height >= 720 else BT601
        colours = cls(matrix, is_full(frame), int(frame.color_trc), int(frame.color_primaries))
        known = {"matrix": {RGB, *_RED_BLUE}, "transfer": {_LINEAR, _PQ, _HLG, *_AS_SRGB}, "primaries": _PRIMARIES}
        for tag, values in known.items():
            if getattr(colours, tag) not in values:
                raise InputError(
                    f"{name}: its colours have {tag} {getattr(colours, tag)} of H.273, wanted one of "
                    f"{', '.join(map(str, sorted(values)))}; convert the clip to Rec. 709"
                )
        return colours

    @cached_property
    def space(self) -> Space:
        """The primaries, for light; the tone curve of a `Space` of levels is not used."""
        if self.primaries in (BT709, UNSPECIFIED):
            return SRGB
        assert SRGB.to_xyz is not None
        from_709 = np.linalg.inv(_to_xyz(_709_XY))
        return Space(f"primaries {self.primaries}", SRGB.decoding, SRGB.to_xyz @ from_709 @ _to_xyz(self._xy))

    @property
    def _xy(self) -> tuple[tuple[float, float], ...]:
        return _PRIMARIES[self.primaries]

    def signal(self, planes: list[NDArray[Any]], bits: int) -> Floats:
        """Codes, three planes (H, W) or one of grey, as R'G'B' (H, W, 3), 0..1 from black to white and beyond."""
        scale, top = 1 << (bits - 8), (1 << bits) - 1
        base, luma, chroma = (0, top, top) if self.full else (16 * scale, 219 * scale, 224 * scale)
        first = (planes[0].astype(np.float32) - base) / np.float32(luma)
        if len(planes) == 1:
            return np.repeat(first[:, :, None], 3, axis=2)
        if self.matrix == RGB:
            return np.dstack([plane.astype(np.float32) / np.float32(top) for plane in planes])
        red, blue = _RED_BLUE[self.matrix]
        cb, cr = ((plane.astype(np.float32) - 128 * scale) / np.float32(chroma) for plane in planes[1:])
        rgb = np.empty((*first.shape, 3), np.float32)
        rgb[:, :, 0] = first + np.float32(2 * (1 - red)) * cr
        rgb[:, :, 2] = first + np.float32(2 * (1 - blue)) * cb
        rgb[:, :, 1] = (first - red * rgb[:, :, 0] - blue * rgb[:, :, 2]) / np.float32(1 - red - blue)
        return rgb

    def codes(self, signal: Floats, bits: int) -> list[NDArray[np.uint16]]:
        """R'G'B' (H, W, 3) as three planes of codes of limited range; RGB without a matrix becomes Rec. 709."""
        scale, top = 1 << (bits - 8), (1 << bits) - 1
        red, blue = _RED_BLUE[self.written_matrix]
        weights = np.array([red, 1 - red - blue, blue], np.float32)
        luma = signal @ weights
        planes = (
            luma * (219 * scale) + 16 * scale,
            (signal[:, :, 2] - luma) * np.float32(112 * scale / (1 - blue)) + 128 * scale,
            (signal[:, :, 0] - luma) * np.float32(112 * scale / (1 - red)) + 128 * scale,
        )
        return [np.rint(plane).clip(scale, top - scale).astype(np.uint16) for plane in planes]

    @property
    def written_matrix(self) -> int:
        """Of the results."""
        return BT709 if self.matrix == RGB else self.matrix

    def light(self, signal: Floats) -> Floats:
        """R'G'B' to light, 1 being reference white."""
        if self.transfer == _LINEAR:
            return signal
        if self.transfer == _PQ:
            root = signal.clip(0, 1) ** (1 / _M2)
            return np.asarray(((root - _C1).clip(0) / (_C2 - _C3 * root)) ** (1 / _M1) / _PQ_WHITE, np.float32)
        if self.transfer == _HLG:
            low, high = signal.clip(0, 0.5), signal.clip(0.5, 1.1)
            light = np.where(signal <= 0.5, low**2 / 3, (np.exp((high - _C) / _A) + _B) / 12)
            return np.asarray(light / _HLG_WHITE, np.float32)
        return np.asarray(np.copysign(srgb_decode(np.abs(signal)), signal), np.float32)

    def to_signal(self, light: Floats) -> Floats:
        """Light to R'G'B'."""
        if self.transfer == _LINEAR:
            return light
        if self.transfer == _PQ:
            root = (light * np.float32(_PQ_WHITE)).clip(0, 1) ** _M1
            return np.asarray(((_C1 + _C2 * root) / (1 + _C3 * root)) ** _M2, np.float32)
        if self.transfer == _HLG:
            scene = light.clip(0) * np.float32(_HLG_WHITE)
            high = _A * np.log((12 * scene - _B).clip(1e-6)) + _C
            return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high), np.float32)
        size = np.abs(light)
        encoded = np.where(size <= 0.0031308, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055)
        return np.copysign(encoded, light).astype(np.float32)

    def network(self, signal: Floats) -> NDArray[np.uint8]:
        """R'G'B' as 8-bit sRGB: as it is, unless transfer or primaries are others than sRGB's, then through light."""
        if self.transfer in _AS_SRGB and self.space is SRGB:
            return np.asarray(np.rint(signal.clip(0, 1) * 255), np.uint8)
        return np.asarray(SRGB.encode(self.space.convert(self.light(signal), SRGB), np.uint8))


def _to_xyz(xy: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Columns are light's red, green and blue as XYZ under D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in xy]).T
    x, y = _D65
    return np.asarray(columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y])))
