"""The meaning of a clip's numbers: codes to R'G'B' and back, and R'G'B' to light, by the tags of its frames.

Tags are the code points of ITU-T H.273. Nothing is clipped on the way, so that what lies above white stays there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from ..errors import InputError
from ..images.colour import AS_SRGB, CURVES, PRIMARIES, SRGB, Floats, Space, primaries_to_xyz, srgb_decode, srgb_encode
from .pixel_formats import is_full

RGB, BT709, UNSPECIFIED, BT601 = 0, 1, 2, 6
_RED_BLUE = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)} | {
    9: (0.2627, 0.0593)
}


def _mirrored(curve: Callable[[Any], Any]) -> Callable[[Floats], Floats]:
    """Return a curve that goes on below black as above it."""
    return lambda values: np.asarray(np.copysign(curve(np.abs(values)), values), np.float32)


_AS_SRGB = (_mirrored(srgb_decode), _mirrored(srgb_encode))
"""From R'G'B' to light and back, for transfers that are none of `CURVES`."""


@dataclass(frozen=True)
class Colours:
    """The tags of a frame, as code points of H.273.

    matrix: from R'G'B' to luma and chroma, `RGB` for none.
    full: codes take the whole range of their bits.
    transfer, primaries: what R'G'B' means as light.
    """

    matrix: int
    full: bool
    transfer: int
    primaries: int

    @classmethod
    def of(cls, frame: VideoFrame, name: str) -> "Colours":
        """Return the tags of a frame; without a matrix Rec. 709 from 720 lines on and Rec. 601 below, as players do.

        Raises `InputError` naming `name` for tags whose light is not known here.
        """
        matrix = int(frame.colorspace)
        if frame.format.is_rgb:
            matrix = RGB
        elif matrix in (UNSPECIFIED, RGB):
            matrix = BT709 if frame.height >= 720 else BT601
        colours = cls(matrix, is_full(frame), int(frame.color_trc), int(frame.color_primaries))
        known = {"matrix": {RGB, *_RED_BLUE}, "transfer": {*CURVES, *AS_SRGB}, "primaries": PRIMARIES}
        for tag, values in known.items():
            if getattr(colours, tag) not in values:
                raise InputError(
                    f"{name}: its colours have {tag} {getattr(colours, tag)} of H.273, wanted one of "
                    f"{', '.join(map(str, sorted(values)))}; convert the clip to Rec. 709"
                )
        return colours

    @cached_property
    def space(self) -> Space:
        """The primaries of light. The curve of this `Space`, which is for levels, is not used."""
        if self.primaries in (BT709, UNSPECIFIED):
            return SRGB
        return Space(f"primaries {self.primaries}", SRGB.decoding, primaries_to_xyz(*PRIMARIES[self.primaries]))

    def signal(self, planes: list[NDArray[Any]], bits: int) -> Floats:
        """Return codes, three planes (H, W) or one of grey, as R'G'B' (H, W, 3), black 0 to white 1 and beyond."""
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
        """Return R'G'B' (H, W, 3) as three planes of codes of limited range; RGB without a matrix becomes Rec. 709."""
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
        """The matrix of results, which no codec here writes as RGB."""
        return BT709 if self.matrix == RGB else self.matrix

    def light(self, signal: Floats) -> Floats:
        """Return the light (1: reference white) of R'G'B'."""
        return np.asarray(CURVES.get(self.transfer, _AS_SRGB)[0](signal))

    def to_signal(self, light: Floats) -> Floats:
        """Return the R'G'B' of light (1: reference white)."""
        return CURVES.get(self.transfer, _AS_SRGB)[1](light)

    def network(self, signal: Floats) -> NDArray[np.uint8]:
        """Return R'G'B' as 8-bit sRGB: as it is, or through light where transfer or primaries are not sRGB's."""
        if self.transfer in AS_SRGB and self.space is SRGB:
            return np.asarray(np.rint(signal.clip(0, 1) * 255), np.uint8)
        return np.asarray(SRGB.encode(self.space.convert(self.light(signal), SRGB), np.uint8))
