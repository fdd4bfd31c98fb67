"""The meaning of a clip's numbers: FFmpeg's pictures to codes to R'G'B' to light, and back, by its tags.

Tags are the code points of ITU-T H.273. Nothing is clipped on the way, so that what lies above white stays there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from ..errors import InputError
from ..images.colour import AS_SRGB, CURVES, PRIMARIES, SRGB, Floats, Space, primaries_to_xyz, srgb_decode, srgb_encode

FULL, LIMITED = 2, 1
"""Ranges of codes, as FFmpeg numbers them."""
_DEPTHS = (8, 9, 10, 12, 14, 16)
_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_GBR = (2, 0, 1)  # where red, green and blue are among FFmpeg's planes of RGB
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
    def of(cls, frame: av.VideoFrame, name: str) -> "Colours":
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
                    f"{name}: its colours have H.273 {tag} {getattr(colours, tag)}, expected one of "
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
        luma = signal @ np.array([red, 1 - red - blue, blue], np.float32)
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


def planes_of(picture: av.VideoFrame, name: str) -> tuple[list[NDArray[Any]], int]:
    """Return a picture as planes (H, W) of codes, uint8 or uint16, and how many bits a code has.

    They are luma, Cb and Cr, or red, green and blue, or grey alone. Subsampled chroma is made larger; luma is left.
    name: begins an error.
    Raises `InputError` for formats of floats, and where an alpha channel is not opaque.
    """
    components = picture.format.components
    bits = next((depth for depth in _DEPTHS if depth >= max(part.bits for part in components)), 0)
    if not bits or "f16" in picture.format.name or "f32" in picture.format.name:
        raise InputError(f"{name}: has pixel format {picture.format.name}, expected YUV or RGB with 8 to 16 bits")
    has_alpha = any(part.is_alpha for part in components)
    is_grey = len(components) - has_alpha == 1 and not picture.format.has_palette
    kind = "gbrp" if picture.format.is_rgb else "gray" if is_grey else "yuv444p"
    if has_alpha and not is_grey:
        kind = {"gbrp": "gbrap", "yuv444p": "yuva444p"}[kind]
    planes = _read(rescaled(picture, kind if bits == 8 else f"{kind}{bits}le"), bits)
    if len(planes) == 4 and (planes.pop() != (1 << bits) - 1).any():
        raise InputError(f"{name}: has transparent pixels, whose colours are undefined; flatten the clip")
    return ([planes[index] for index in _GBR] if kind.startswith("gb") else planes), bits


def picture_of(planes: list[NDArray[Any]], kind: str) -> av.VideoFrame:
    """Return planes (H, W) of codes as a picture in FFmpeg's pixel format `kind`, whose depth theirs is."""
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, kind)
    dtype = np.dtype(np.uint8 if picture.format.components[0].bits == 8 else "<u2")
    for target, plane in zip(picture.planes, planes, strict=True):
        lines = np.zeros((target.height, target.line_size), np.uint8)
        lines[:, : target.width * dtype.itemsize] = np.ascontiguousarray(plane, dtype).view(np.uint8)
        target.update(lines.tobytes())
    return picture


def rescaled(picture: av.VideoFrame, kind: str) -> av.VideoFrame:
    """Return a picture with the same codes in another format of their depth: only chroma is scaled."""
    if picture.format.name == kind:
        return picture
    # Equal ranges and matrices on both sides, so that no code is converted.
    codes = FULL if is_full(picture) else LIMITED
    return picture.reformat(
        format=kind,
        src_colorspace=1,
        dst_colorspace=1,
        src_color_range=codes,
        dst_color_range=codes,
        interpolation=_SCALING,
    )


def is_full(picture: av.VideoFrame) -> bool:
    """Return whether codes take the whole range of their bits; those of grey alone do unless tagged otherwise."""
    name = picture.format.name
    untagged_grey = name.startswith(("gray", "ya", "mono")) and picture.color_range != LIMITED
    return bool(picture.format.is_rgb or picture.color_range == FULL or name.startswith("yuvj") or untagged_grey)


def _read(picture: av.VideoFrame, bits: int) -> list[NDArray[Any]]:
    """Return the planes (H, W) of a picture whose format has one for each component, as views of its own memory."""
    # FFmpeg's lines are longer than the picture is wide, so that each begins at a round address.
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    planes: Any = picture.planes
    return [
        np.frombuffer(plane, np.uint8)
        .reshape(plane.height, plane.line_size)[:, : plane.width * dtype.itemsize]
        .view(dtype)
        for plane in planes
    ]
