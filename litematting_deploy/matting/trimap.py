"""Trimaps: background 0, unknown 128, foreground 255."""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.mask import MaskMeaning
from ..specs import Encoding
from .unknown_band import Band, unknown_band

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
VALUES = (BACKGROUND, UNKNOWN, FOREGROUND)

# A soft mask is sure within 2 % of its ends; compressed masks are never exactly 0 and 255.
SURE_BACKGROUND, SURE_FOREGROUND = 5, 250


def decode(grey: NDArray[np.uint8], encoding: Encoding = "exact", name: str = "trimap") -> NDArray[np.uint8]:
    """A checked trimap (H, W) uint8 of 0 / 128 / 255 from grey values (H, W) uint8.

    Raises `InputError` naming `name` and the values that have no meaning in `encoding`.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise InputError(f"{name}: a trimap is (H, W) uint8, this is {grey.shape} {grey.dtype}")
    if encoding == "between":
        return np.where((grey > 0) & (grey < 255), np.uint8(UNKNOWN), grey)
    wanted = VALUES if encoding == "exact" else (0, 1, 2)
    counts = np.bincount(grey.ravel(), minlength=256)
    strange = [value for value in np.flatnonzero(counts) if value not in wanted]
    if strange:
        seen = ", ".join(f"{value} ({counts[value]} px)" for value in strange[:4])
        raise InputError(
            f"{name}: a trimap holds {', '.join(map(str, wanted))}; this also holds {seen}"
            f"{' and more' if len(strange) > 4 else ''}. "
            "Save it without antialiasing or compression, or choose the rule that fits: `trimap_encoding=between` "
            "(all but 0 and 255 is unknown) or `trimap_encoding=labels` (0, 1, 2); a mask is given as `mask`."
        )
    return grey if encoding == "exact" else np.array(VALUES, np.uint8)[grey]


def from_mask(
    mask: NDArray[np.uint8],
    unknown: int | Band,
    name: str = "mask",
    photo: NDArray[np.uint8] | None = None,
    *,
    adaptive: bool = True,
    meaning: MaskMeaning = MaskMeaning(),
    checked: bool = False,
) -> NDArray[np.uint8]:
    """A trimap from a binary or soft mask.

    mask: (H, W) uint8, 0 background to 255 foreground. Values from 6 to 249 are unknown, and so is every pixel
    within `unknown` pixels (Euclidean) of one that is not as sure: a binary edge gets a band of that width on each
    side; that of a `Band` may be relative to the object's size. photo: (H, W, 3) uint8 RGB; where it is hairy near the
    mask's edge, an `adaptive` band is wider, see `band.unknown_band`. meaning: which values are the object, where
    that is not 255. checked: the mask is one that `read_mask` has looked at. Raises `InputError` naming `name` for a
    mask whose brightest value is more than 2 % below 255 and not 0, and for a photo of another size.
    """
    band = unknown if isinstance(unknown, Band) else Band(unknown)
    if not checked:
        chosen = meaning.applied(mask, FOREGROUND, name)
        mask = mask if chosen is None else chosen
    if photo is not None and photo.shape != (*mask.shape, 3):
        raise InputError(
            f"{name}: is {mask.shape[1]}x{mask.shape[0]}, its photo is {photo.shape[1]}x{photo.shape[0]}; "
            "they must be of one size: make it from this very photo"
        )
    background, foreground = mask <= SURE_BACKGROUND, mask >= SURE_FOREGROUND
    trimap = np.where(foreground, np.uint8(FOREGROUND), np.uint8(BACKGROUND))
    trimap[unknown_band(background, foreground, band, photo if adaptive else None)] = UNKNOWN
    return trimap


def check_unknown(trimap: NDArray[np.uint8], name: str) -> None:
    """Raise `InputError` naming `name` where nothing of a trimap (H, W) is unknown, as in a mask."""
    if not (trimap == UNKNOWN).any():
        raise no_unknown(name)


def no_unknown(name: str) -> InputError:
    """What to say of one or more trimaps without unknown pixels."""
    return InputError(
        f"{name}: has no unknown pixels, so that there is nothing to estimate; if this is a mask, give it as `mask`; "
        "to take it as the alpha, say `allow_no_unknown`"
    )


def unsure(trimap: NDArray[np.uint8]) -> str | None:
    """What a trimap (H, W) has no pixel of, in words; None where it has both sure foreground and sure background."""
    sides = (("foreground", FOREGROUND), ("background", BACKGROUND))
    missing = [side for side, value in sides if not (trimap == value).any()]
    return f"no sure {' or '.join(missing)}" if missing else None
