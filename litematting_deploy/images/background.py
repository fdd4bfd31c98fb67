"""The background of a composite: a colour or an image, as light."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from ..errors import UsageError
from ..specs import MAX_MEGAPIXELS, Fit
from .colour import SRGB
from .photo import Photo, read_photo
from .suffixes import READ_SUFFIXES

_FIX = "the sizes must match: scale it with `background_fit=cover` or contain, or crop it"


def is_image(text: str) -> bool:
    """Return whether a background is the path of an image rather than a colour."""
    return text.lower().endswith(READ_SUFFIXES)


class Background:
    """A colour in sRGB, or an image.

    text: #rrggbb, a CSS name such as white, or the path of an image, which is read.
    max_megapixels: the largest width times height of the image, in millions of pixels.
    fit: how an image of another size is scaled, see `fitted`; None: it must be of the photo's size.
    Raises `UsageError` for what is none of these, and `InputError` as `read_photo`.
    """

    def __init__(self, text: str, max_megapixels: float = MAX_MEGAPIXELS, fit: Fit | None = None) -> None:
        self.text, self._fit = text, fit
        self._image: Photo | None = None
        # The last size that the image was scaled to, since the photos of a job are mostly of one size.
        self._scaled: tuple[tuple[int, int], NDArray[Any]] | None = None
        if is_image(text):
            self._image = read_photo(text, max_megapixels)
            self._image.check_finite(instead="choose another background")
            return
        try:
            colour = ImageColor.getrgb(text)
            levels = np.array(colour[:3], np.uint8)
        except (ValueError, OverflowError):  # the latter of rgb(300,0,0)
            raise UsageError(
                "`background` must be a colour, such as #rrggbb or white, or an image ending in "
                f"{', '.join(READ_SUFFIXES)}; got {text!r}"
            ) from None
        if colour[3:] not in ((), (255,)):
            raise UsageError(f"`background` must be opaque, a colour without alpha; got {text!r}")
        self._colour = SRGB.decode(levels)

    def placed(self, photo: Photo, shown: bool) -> Callable[[slice], NDArray[np.float32]]:
        """Return a function from rows to light, (h, W, 3) or for a colour (3,), in the primaries of `photo`.

        shown: it is what an OpenEXR photo's display window shows, instead of its data window; black where an image of
        the data window has nothing.
        Raises `InputError` for an image of another size, and for primaries that are not known.
        """
        image = self._image
        if image is None:
            colour = SRGB.convert(self._colour, photo.space)
            return lambda _: colour
        meanings = [(each.metadata.icc, each.metadata.colour, each.is_linear) for each in (image, photo)]
        if meanings[0] == meanings[1]:  # equal numbers are equal light, whether their primaries are known or not
            image = replace(image, space=photo.space)
        image.space.convert(np.zeros((1, 3), np.float32), photo.space)  # raises where it cannot be
        # Pixels are placed before they become light, a few rows at a time: levels take a quarter of the memory.
        placed = replace(image, pixels=self._place(image, photo, shown))
        return lambda rows: placed.space.convert(placed.to_light(placed.pixels[rows]), photo.space)

    def _place(self, image: Photo, photo: Photo, shown: bool) -> NDArray[Any]:
        """Return the pixels of the image that lie behind a photo, see `placed`. Raises `InputError`."""
        windows, own = photo.windows, image.windows
        if self._fit is not None:
            hw = photo.pixels.shape[:2] if windows is None else windows.display.hw
            pixels = self._scaled_to(image.pixels if own is None else own.show(image.pixels), hw, self._fit)
            return pixels if shown or windows is None else photo.fit(pixels, self.text)
        if shown and windows is not None:
            pixels = image.pixels if own is None else own.show(image.pixels)
            if pixels.shape[:2] == windows.display.hw:
                return pixels
        fitting = photo.fit(image.pixels, self.text, _FIX, own)
        return windows.show(fitting) if shown and windows is not None else fitting

    def _scaled_to(self, pixels: NDArray[Any], hw: tuple[int, int], fit: Fit) -> NDArray[Any]:
        """Return the image's pixels fitted to a size. Photos are matted in several threads, which may each do it."""
        last = self._scaled
        if last is None or last[0] != hw:
            last = self._scaled = (hw, fitted(pixels, hw, fit))
        return last[1]


def fitted(pixels: NDArray[Any], hw: tuple[int, int], fit: Fit) -> NDArray[Any]:
    """Return pixels (h, w, 3) scaled to a size, keeping their proportions and centred.

    hw: height and width of what is returned.
    fit: `cover`, so that nothing stays empty, and what lies outside is cut off; `contain`, so that all of it is seen,
    between black bars.
    """
    factors = [wanted / side for wanted, side in zip(hw, pixels.shape, strict=False)]
    scale = max(factors) if fit == "cover" else min(factors)
    bound = max if fit == "cover" else min
    height, width = (max(1, bound(wanted, round(side * scale))) for wanted, side in zip(hw, pixels.shape, strict=False))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    # OpenCV knows no half floats.
    source = pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels
    scaled = cv2.resize(source, (width, height), interpolation=method).astype(pixels.dtype)
    if fit == "cover":
        top, left = (height - hw[0]) // 2, (width - hw[1]) // 2
        return np.asarray(scaled[top : top + hw[0], left : left + hw[1]])
    framed = np.zeros((*hw, pixels.shape[2]), pixels.dtype)
    top, left = (hw[0] - height) // 2, (hw[1] - width) // 2
    framed[top : top + height, left : left + width] = scaled
    return framed
