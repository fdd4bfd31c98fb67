"""What is made of a photo and its alpha: the alpha, cut-outs, foregrounds and composites, as their files hold them.

All take light or levels and give pixels of a `dtype` for `write_image`: uint8 or uint16 for PNG and TIFF, encoded as
the photo is, or as sRGB where it is light; float16 or float32 for OpenEXR, scene-linear. What an OpenEXR photo gives
to PNG and TIFF is what its display window shows; OpenEXR results have its data window.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.background import Background
from ..images.colour import SRGB, levels_to, to_half_or_float
from ..images.photo import Photo
from .patches import to_levels

_ROW_PIXELS = 1_000_000


def alpha_picture(photo: Photo, alpha: NDArray[np.float32], dtype: type[Any], truncate: bool = False) -> NDArray[Any]:
    """The alpha (H, W), 0..1, as levels or as it is; truncate: as the authors' code makes levels."""
    return _shown(photo, _alpha_as(alpha, dtype, truncate), dtype)


def foreground_picture(photo: Photo, colours: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    """Estimated colours (H, W, 3) in the photo's own numbers, alone."""
    return _shown(photo, _colours_as(photo, colours, dtype), dtype)


def cutout_picture(
    photo: Photo,
    colours: NDArray[Any],
    alpha: NDArray[np.float32],
    dtype: type[Any],
    premultiplied: bool,
    truncate: bool = False,
) -> NDArray[Any]:
    """RGBA (H, W, 4) of estimated colours in the photo's own numbers.

    premultiplied: light times alpha in OpenEXR; in PNG and TIFF the encoded levels times alpha, which is what readers
    of associated alpha undo.
    """
    cutout = np.dstack([_colours_as(photo, colours, dtype), _alpha_as(alpha, dtype, truncate)])
    if premultiplied:
        top = np.float32(np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1)
        for rows in _blocks(*alpha.shape):
            product = cutout[rows, :, :3].astype(np.float32) * (cutout[rows, :, 3:].astype(np.float32) / top)
            cutout[rows, :, :3] = np.rint(product) if np.issubdtype(dtype, np.integer) else product
    return _shown(photo, cutout, dtype)


def composite_picture(
    photo: Photo, colours: NDArray[Any], alpha: NDArray[np.float32], background: Background, dtype: type[Any]
) -> NDArray[Any]:
    """Estimated colours over a background, mixed in linear light: (H, W, 3). Opaque pixels keep the photo's colours."""
    behind = background.placed(photo, shown=np.issubdtype(dtype, np.integer))
    colours, alpha = _shown(photo, colours, dtype), _shown(photo, alpha, dtype)
    composite = np.empty(colours.shape, dtype)
    for rows in _blocks(*alpha.shape):
        weight = alpha[rows, :, None]
        light = photo.to_light(colours[rows]) * weight + behind(rows) * (1 - weight)
        opaque = weight[:, :, 0] >= 1
        composite[rows] = _light_as(photo, light, dtype)
        composite[rows][opaque] = _colours_as(photo, colours[rows], dtype)[opaque]
    return composite


def _blocks(height: int, width: int) -> list[slice]:
    """Rows to work on at a time, which bounds the memory of what is light."""
    rows = max(1, _ROW_PIXELS // width)
    return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]


def _shown(photo: Photo, plane: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    """What a result of `dtype` holds of a plane of the data window: PNG and TIFF what is shown, OpenEXR all."""
    levels = np.issubdtype(dtype, np.integer)
    return photo.windows.show(plane) if levels and photo.windows is not None else plane


def _alpha_as(alpha: NDArray[np.float32], dtype: type[Any], truncate: bool) -> NDArray[Any]:
    return to_levels(alpha, dtype, truncate) if np.issubdtype(dtype, np.integer) else alpha.astype(dtype)


def _colours_as(photo: Photo, colours: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    """The photo's own numbers (H, W, 3) as numbers of a result."""
    if np.issubdtype(dtype, np.integer) and not photo.is_linear:
        return levels_to(colours, dtype)
    result = np.empty(colours.shape, dtype)
    for rows in _blocks(*colours.shape[:2]):
        result[rows] = _light_as(photo, photo.to_light(colours[rows]), dtype)
    return result


def _light_as(photo: Photo, light: NDArray[np.float32], dtype: type[Any]) -> NDArray[Any]:
    """Light in the photo's primaries as numbers of a result."""
    if np.issubdtype(dtype, np.integer):
        return photo.space.encode(light, dtype)
    return to_half_or_float(photo.space.convert(light, SRGB), dtype)
