"""Pictures of FFmpeg's as arrays of codes, and arrays as pictures."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from ..errors import InputError

FULL, LIMITED = 2, 1
"""Ranges of codes, as FFmpeg numbers them."""
_DEPTHS = (8, 9, 10, 12, 14, 16)
_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_GBR = (2, 0, 1)  # where red, green and blue are among FFmpeg's planes of RGB


def planes_of(picture: av.VideoFrame, name: str) -> tuple[list[NDArray[Any]], int]:
    """Return a picture as planes (H, W) of codes, uint8 or uint16, and how many bits a code has.

    They are luma, Cb and Cr, or red, green and blue, or grey alone. Subsampled chroma is made larger; luma is left.
    name: begins an error.
    Raises `InputError` for formats of floats, and where an alpha channel is not opaque.
    """
    components = picture.format.components
    bits = next((depth for depth in _DEPTHS if depth >= max(part.bits for part in components)), 0)
    if not bits or "f16" in picture.format.name or "f32" in picture.format.name:
        raise InputError(f"{name}: has pixels of format {picture.format.name}, wanted 8 to 16 bits of YUV or RGB")
    has_alpha = any(part.is_alpha for part in components)
    is_grey = len(components) - has_alpha == 1 and not picture.format.has_palette
    kind = "gbrp" if picture.format.is_rgb else "gray" if is_grey else "yuv444p"
    if has_alpha and not is_grey:
        kind = {"gbrp": "gbrap", "yuv444p": "yuva444p"}[kind]
    planes = _read(rescaled(picture, kind if bits == 8 else f"{kind}{bits}le"), bits)
    if len(planes) == 4 and (planes.pop() != (1 << bits) - 1).any():
        raise InputError(f"{name}: has transparent pixels, whose colours are unclear; flatten the clip")
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
    is_full: bool = picture.format.is_rgb or picture.color_range == FULL or name.startswith("yuvj") or untagged_grey
    return is_full


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
