"""Result pictures of a photo: alpha, cut-out, foreground and composite as their files hold them, and the preview.

Results have pixels of a `dtype` for `write_image`: uint8 or uint16 for PNG and TIFF, encoded as the photo is, or as
sRGB where it is light; float16 or float32 for OpenEXR, scene-linear. PNG and TIFF results of an OpenEXR photo hold what
its display window shows; OpenEXR results have its data window.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..images.background import Background
from ..images.colour import SRGB, levels_to, to_half_or_float
from ..images.photo import Photo
from .patches import to_levels
from .trimap import BACKGROUND, FOREGROUND, UNKNOWN

_ROW_PIXELS = 1_000_000
_TINT = np.array((255, 0, 170), np.float32)
"""The colour of the unknown band, magenta, which photos hardly have."""
_OPACITY = 0.4
_DIMMED = 0.55
"""The share of the background's light that is left."""
_OUTLINES = {FOREGROUND: (255, 255, 255), BACKGROUND: (0, 200, 255)}
_MASK_EDGE = (255, 220, 0)
_BOX_EDGE = (0, 235, 60)
_PIXELS_PER_LINE = 900


def alpha_picture(photo: Photo, alpha: NDArray[np.float32], dtype: type[Any], truncate: bool = False) -> NDArray[Any]:
    """Return an alpha (H, W) float32, 0..1, as levels or as it is.

    truncate: levels are made as the authors' code makes them.
    """
    return _shown(photo, _alpha_as(alpha, dtype, truncate), dtype)


def foreground_picture(photo: Photo, colours: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    """Return the estimated colours alone, (H, W, 3).

    colours: (H, W, 3), in the photo's own numbers.
    """
    return _shown(photo, _colours_as(photo, colours, dtype), dtype)


def cutout_picture(
    photo: Photo,
    colours: NDArray[Any],
    alpha: NDArray[np.float32],
    dtype: type[Any],
    premultiplied: bool,
    truncate: bool = False,
) -> NDArray[Any]:
    """Return estimated colours with alpha, (H, W, 4).

    colours: (H, W, 3), in the photo's own numbers.
    alpha: (H, W) float32, 0..1.
    premultiplied: light times alpha in OpenEXR; in PNG and TIFF the encoded levels times alpha, which is what readers
    of associated alpha undo.
    truncate: levels of alpha are made as the authors' code makes them.
    """
    cutout = np.dstack([_colours_as(photo, colours, dtype), _alpha_as(alpha, dtype, truncate)])
    top = np.float32(np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1)
    # Alpha a little below 1 may be stored as 1, and opaque pixels have the photo's values.
    rounded = (cutout[:, :, 3] >= top) & (alpha < 1)
    if rounded.any():
        cutout[rounded, :3] = _colours_as(photo, photo.pixels[rounded][:, None], dtype)[:, 0]
    if premultiplied:
        for rows in _blocks(*alpha.shape):
            product = cutout[rows, :, :3].astype(np.float32) * (cutout[rows, :, 3:].astype(np.float32) / top)
            cutout[rows, :, :3] = np.rint(product) if np.issubdtype(dtype, np.integer) else product
    return _shown(photo, cutout, dtype)


def composite_picture(
    photo: Photo, colours: NDArray[Any], alpha: NDArray[np.float32], background: Background, dtype: type[Any]
) -> NDArray[Any]:
    """Return estimated colours over a background, (H, W, 3), mixed in linear light.

    colours: (H, W, 3), in the photo's own numbers, which opaque pixels keep.
    alpha: (H, W) float32, 0..1.
    Raises `InputError` for a background of another size, or of unknown primaries.
    """
    behind = background.placed(photo, shown=np.issubdtype(dtype, np.integer))
    colours, alpha = _shown(photo, colours, dtype), _shown(photo, alpha, dtype)
    composite = np.empty(colours.shape, dtype)
    for rows in _blocks(*alpha.shape):
        weight = alpha[rows, :, None]
        light = photo.to_light(colours[rows]) * weight + behind(rows) * (1 - weight)
        opaque = weight[:, :, 0] >= 1
        composite[rows] = _light_as(photo, light, dtype)
        # Through light and back a level may change by one, and opaque pixels keep the photo's.
        composite[rows][opaque] = _colours_as(photo, colours[rows], dtype)[opaque]
    return composite


def trimap_preview(
    trimap: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None = None,
    box: tuple[int, int, int, int] | None = None,
) -> NDArray[np.uint8]:
    """Return a picture that shows at a glance what of a photo will be estimated, (H, W, 3) uint8.

    Its background is darkened, the unknown band tinted magenta, the foreground as it is. A white line borders the
    foreground, a cyan one the background; they lie on the unknown side, and are thicker in a larger picture.

    trimap: (H, W) uint8 of 0 / 128 / 255.
    picture: (H, W) or (H, W, 3) uint8.
    mask: (H, W) uint8, which the trimap was made from; a yellow line shows where it is half sure.
    box: x, y, width and height in pixels of the box that the mask was made from, drawn in green.
    """
    colours = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    shown = colours.copy()
    unknown, background = trimap == UNKNOWN, trimap == BACKGROUND
    shown[background] = np.rint(shown[background] * np.float32(_DIMMED))
    shown[unknown] = np.rint(shown[unknown] * np.float32(1 - _OPACITY) + _TINT * np.float32(_OPACITY))
    line = max(1, round(max(trimap.shape) / _PIXELS_PER_LINE))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * line + 1, 2 * line + 1))
    for value, colour in _OUTLINES.items():
        region = (trimap == value).astype(np.uint8)
        shown[(cv2.dilate(region, disk) > 0) & unknown] = colour
    if mask is not None:
        inside = (mask >= UNKNOWN).astype(np.uint8)
        shown[(cv2.dilate(inside, disk) > 0) & (inside == 0)] = _MASK_EDGE
    if box is not None:
        x, y, width, height = box
        cv2.rectangle(shown, (x, y), (x + width - 1, y + height - 1), _BOX_EDGE, line)
    return shown


def _blocks(height: int, width: int) -> list[slice]:
    """Return the rows to work on at a time, which bounds the memory of what is light."""
    rows = max(1, _ROW_PIXELS // width)
    return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]


def _shown(photo: Photo, plane: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    """Return what a result of `dtype` holds of a plane of the data window: PNG and TIFF what is shown, OpenEXR all."""
    return photo.windows.show(plane) if np.issubdtype(dtype, np.integer) and photo.windows is not None else plane


def _alpha_as(alpha: NDArray[np.float32], dtype: type[Any], truncate: bool) -> NDArray[Any]:
    """Return an alpha (H, W), 0..1, as numbers of a result."""
    return to_levels(alpha, dtype, truncate) if np.issubdtype(dtype, np.integer) else alpha.astype(dtype)


def _colours_as(photo: Photo, colours: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    """Return the photo's own numbers (H, W, 3) as numbers of a result."""
    if np.issubdtype(dtype, np.integer) and not photo.is_linear:
        return levels_to(colours, dtype)
    result = np.empty(colours.shape, dtype)
    for rows in _blocks(*colours.shape[:2]):
        result[rows] = _light_as(photo, photo.to_light(colours[rows]), dtype)
    return result


def _light_as(photo: Photo, light: NDArray[np.float32], dtype: type[Any]) -> NDArray[Any]:
    """Return light in the photo's primaries as numbers of a result."""
    if np.issubdtype(dtype, np.integer):
        # Light of an OpenEXR photo has primaries, and no curve.
        return (
            SRGB.encode(photo.space.convert(light, SRGB), dtype)
            if photo.is_linear
            else photo.space.encode(light, dtype)
        )
    return to_half_or_float(light if photo.is_linear else photo.space.convert(light, SRGB), dtype)
