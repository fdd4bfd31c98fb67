"""Masks, trimaps and alphas in files, and what the numbers of a mask mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..parameters import Amount, path_text
from ..profiling import stage
from ..specs import MAX_MEGAPIXELS
from .colour import upper_bits
from .decode import Decoded, decode
from .exr import is_exr, read_exr_mask
from .mask_checks import check_clear
from .photo import Photo

_A_PHOTO = "if it is a photo, `box=X,Y,WIDTH,HEIGHT` makes a mask from it"
_LOSSY = ("JPEG", "HEIF", "AVIF")
"""Formats, by Pillow's names, that keep numbers about as they were."""


@dataclass(frozen=True)
class MaskMeaning:
    """Which values of a mask are the object; by default the top of the range is, and what lies below is soft.

    A file's own numbers are 0..255 of 8 bits, 0..15 of 4, 0..1 of 1 bit, 0..65535 of 16 bits, 0.0..1.0 of OpenEXR.

    - `threshold`: values from this one on are foreground and all others background, in the file's own numbers or in
      percent of the top of the mask's range.
    - `labels`: exactly these class ids are foreground; of a palette, its indices. `TrimapSpec` says which numbers these
      may be, and that one of both is given.
    """

    threshold: Amount | None = None
    labels: tuple[int, ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether neither a threshold nor labels are given."""
        return self.threshold is None and not self.labels

    def __str__(self) -> str:
        """Return the parameter and its value; empty for the default."""
        if self.labels:
            return " ".join(f"`mask_labels={label}`" for label in self.labels)
        return "" if self.threshold is None else f"`mask_threshold={self.threshold}`"

    @classmethod
    def parse(cls, threshold: str | float | None = None, labels: tuple[int, ...] = ()) -> Self:
        """Return the meaning of a threshold, as 128 or "50%", and of class ids. Raises `UsageError`."""
        return cls(None if threshold is None else Amount.parse(threshold, "mask_threshold"), labels)

    def applied(
        self, levels: NDArray[Any], top: float, name: str, alone: bool = True, *, of_alpha: bool = False
    ) -> NDArray[np.uint8] | None:
        """Return a mask (H, W) uint8 of 0 and 255; None for the default, where the levels are the mask.

        levels: (H, W), in the file's own numbers, 0..top.
        name: begins an error.
        alone: no other mask of a sequence tells the scale; where one does, this one may be dim, as in a fade.
        of_alpha: the levels are an alpha channel, which holds no class ids.
        Raises `InputError` for a threshold above `top` and, by default, as `check_clear`.
        """
        if self.labels:
            return np.where(np.isin(levels, self.labels), np.uint8(255), np.uint8(0))
        if self.threshold is None:
            check_clear(levels, top, name, alone, of_alpha)
            return None
        least = self.threshold.value * top / 100 if self.threshold.percent else self.threshold.value
        if least > max(top, levels.max()):
            raise InputError(f"{name}: its values range from 0 to {top:g}, so no pixel reaches {self}; lower it")
        return np.where(levels >= least, np.uint8(255), np.uint8(0))

    def check_object(self, mask: NDArray[np.uint8], name: str) -> None:
        """Raise `InputError` where this meaning leaves a single mask without any foreground.

        In a sequence an object may leave the frame, and the check does not apply.
        """
        if not self.is_default and not mask.any():
            raise InputError(f"{name}: no pixel is foreground with {self}; choose a value that occurs in the mask")


@stage("decode trimap")
def read_trimap(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Read a trimap as (H, W) uint8: grey, or colour whose channels are equal.

    16 bits are accepted where every value is 257 times an 8-bit one. Transparent pixels are refused, whether an alpha
    channel, a palette or a PNG's tRNS says so: they might be meant as background or as unknown. Raises `InputError`.
    """
    path = path_text("path", path)
    if is_exr(path):
        raise InputError(f"{path}: is an OpenEXR file, but trimaps must be PNG or TIFF; save it as 8-bit grey")
    decoded = decode(path, max_megapixels)
    if decoded.alpha is not None:
        raise InputError(f"{path}: has transparent pixels; save the trimap as plain grey, without an alpha channel")
    if decoded.levels.dtype == np.uint16 and (decoded.levels % 257).any():
        raise InputError(f"{path}: has 16-bit values without an 8-bit equivalent; save the trimap as 8-bit grey")
    return upper_bits(_grey(decoded, path))


@stage("decode trimap")
def read_mask(
    path: str | Path,
    max_megapixels: float = MAX_MEGAPIXELS,
    photo: Photo | None = None,
    meaning: MaskMeaning = MaskMeaning(),
    alone: bool = True,
    remedy: str = _A_PHOTO,
) -> NDArray[np.uint8]:
    """Read a mask as (H, W) uint8: grey, or the alpha channel of a cut-out where that is not opaque.

    Of 16 bits it takes the upper 8; of an OpenEXR file channel A, or else Y or equal R, G, B, 0..1.

    - `photo`: whose pixels the mask is for, see `Photo.fit`; without, an OpenEXR mask is what its display window shows.
    - `meaning`: which values are the object; class ids are grey values or a palette's indices, never alpha.
    - `alone`: the mask is not one of a sequence, of which another mask tells the scale.
    - `remedy`: ends the error for a picture in colour.

    Raises `InputError`, `DimMaskError`; see `MaskMeaning.applied`.
    """
    path = path_text("path", path)
    if is_exr(path):
        plane, windows, is_alpha = read_exr_mask(path, max_megapixels)
        mask = meaning.applied(plane, 1.0, str(path), alone=alone, of_alpha=is_alpha)
        mask = _exr_levels(plane) if mask is None else mask
        return windows.show(mask) if photo is None else photo.fit(mask, str(path), placed=windows)
    decoded = decode(path, max_megapixels, indices=bool(meaning.labels))
    if meaning.labels and decoded.file_format in _LOSSY:
        raise InputError(
            f"{path}: is a {decoded.file_format}, whose compression changes class ids, so that {meaning} would leave "
            "holes; save the ids as PNG, or say `mask_threshold=VALUE`"
        )
    alpha = None if meaning.labels else decoded.alpha
    classes = "if its colours are classes, select the subject with `mask_labels=ID`"
    advice = f"; {classes if decoded.has_palette and remedy == _A_PHOTO else remedy}"
    levels = _grey(decoded, path, advice) if alpha is None else alpha
    spread = 255 // decoded.top if decoded.top < 255 else 1
    top = min(decoded.top, int(np.iinfo(levels.dtype).max))
    # Few bits come spread over 0..255, and people know the file's own numbers.
    mask = meaning.applied(levels // levels.dtype.type(spread), top, str(path), alone=alone, of_alpha=alpha is not None)
    mask = upper_bits(levels) if mask is None else mask
    return mask if photo is None else photo.fit(mask, str(path))


def read_strokes(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.bool_]:
    """Read a picture of strokes, (H, W) bool: true where it is bright or, with an alpha channel, opaque.

    Raises `InputError`, also where nothing is.
    """
    half, remedy = MaskMeaning(Amount(50, percent=True)), "paint white strokes on black"
    marked = read_mask(path, max_megapixels, meaning=half, remedy=remedy) > 0
    if not marked.any():
        raise InputError(f"{path}: has no bright pixel, so it marks nothing; {remedy}, or leave it out")
    return marked


def read_alpha(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Read a true alpha of a data set as (H, W) uint8, as a mask is read; it may be thin everywhere.

    Raises `InputError`.
    """
    if is_exr(path):
        plane, windows, _ = read_exr_mask(path, max_megapixels)
        return windows.show(_exr_levels(plane))
    decoded = decode(path, max_megapixels)
    levels = _grey(decoded, path) if decoded.alpha is None else decoded.alpha
    # The upper 8 bits of such numbers are all 0.
    if levels.dtype == np.uint16 and levels.max() in (1, 255):
        raise InputError(
            f"{path}: its brightest 16-bit value is {levels.max()}, so all of it would be background; 16-bit alpha "
            "ranges from 0 to 65535: scale it, or save it with 8 bits"
        )
    return upper_bits(levels)


def _exr_levels(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the values of an OpenEXR mask (H, W), which may overshoot 0..1, as 8 bits."""
    return np.asarray(np.rint(plane.clip(0, 1) * 255), np.uint8)


def _grey(decoded: Decoded, path: str | Path, advice: str = "") -> NDArray[Any]:
    """Return the levels (H, W) of a picture without colours. Raises `InputError`, which ends in `advice`."""
    if decoded.levels.ndim == 2:
        return decoded.levels
    if (decoded.levels != decoded.levels[:, :, :1]).any():
        raise InputError(f"{path}: is a colour image, expected grey values; save it as a greyscale image{advice}")
    return decoded.levels[:, :, 0]
