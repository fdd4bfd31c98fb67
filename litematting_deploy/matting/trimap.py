"""Trimaps, whose pixels are background (0), unknown (128) or foreground (255)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.mask import MaskMeaning
from ..specs import Encoding
from .unknown_band import Band, Widths, unknown_band

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
VALUES = (BACKGROUND, UNKNOWN, FOREGROUND)

DOUBT = (0.02, 0.98)
"""The values, 0..1, between which a mask hesitates; compressed masks are never exactly 0 and 1."""


def decode(grey: NDArray[np.uint8], encoding: Encoding = "exact", name: str = "trimap") -> NDArray[np.uint8]:
    """Return a checked trimap (H, W) uint8 of 0 / 128 / 255.

    grey: (H, W) uint8.
    encoding: how grey values mean background, unknown and foreground.
    name: begins an error.
    Raises `InputError` naming the values that have no meaning.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise InputError(f"{name}: a trimap must be (H, W) uint8; got {grey.shape} {grey.dtype}")
    if encoding == "between":
        return np.where((grey > 0) & (grey < 255), np.uint8(UNKNOWN), grey)
    wanted = VALUES if encoding == "exact" else (0, 1, 2)
    counts = np.bincount(grey.ravel(), minlength=256)
    strange = [value for value in np.flatnonzero(counts) if value not in wanted]
    if strange:
        seen = ", ".join(f"{value} ({counts[value]} px)" for value in strange[:4])
        raise InputError(
            f"{name}: a trimap contains only {', '.join(map(str, wanted))}; this one also contains "
            f"{seen}{' and more' if len(strange) > 4 else ''}. Save it without antialiasing or compression, or "
            "set `trimap_encoding=between` (everything between 0 and 255 is unknown) or `trimap_encoding=labels` "
            "(0, 1, 2); if it is a mask, give it as `mask`."
        )
    return grey if encoding == "exact" else np.array(VALUES, np.uint8)[grey]


def from_mask(mask: NDArray[np.uint8], unknown: int | Band, *given: Any, **options: Any) -> NDArray[np.uint8]:
    """Return the trimap (H, W) uint8 of 0 / 128 / 255 alone that `banded` makes of these arguments."""
    return banded(mask, unknown, *given, **options)[0]


def banded(
    mask: NDArray[np.uint8],
    unknown: int | Band,
    name: str = "mask",
    photo: NDArray[np.uint8] | None = None,
    *,
    adaptive: bool = True,
    checked: bool = False,
    doubt: tuple[float, float] | None = None,
) -> tuple[NDArray[np.uint8], Widths | None]:
    """Return a trimap (H, W) uint8 of 0 / 128 / 255 from a binary or soft mask, and the widths of its unknown band;
    None for a mask without an edge.

    Values of which the mask is in doubt are unknown, by default from 6 to 249, and so is every pixel within the width
    of the band (Euclidean) of one that is not as sure: a binary edge gets a band of that width on each side.

    mask: (H, W) uint8, 0 background to 255 foreground.
    unknown: the width in pixels, or a `Band`, which may be relative to the object's size.
    name: begins an error.
    photo: (H, W, 3) uint8 RGB; near the mask's edge an `adaptive` band is wider where it is hairy, see `unknown_band`.
    checked: `read_mask` has looked at the values already.
    doubt: up to the one of these, 0..1, the mask is background, from the other on foreground; `DOUBT` by default.
    Raises `InputError` for a mask whose brightest value is more than 2 % below 255 and not 0, for one of class ids, and
    for a photo of another size.
    """
    band = unknown if isinstance(unknown, Band) else Band(unknown)
    if not checked:
        MaskMeaning().applied(mask, FOREGROUND, name)  # which raises for a mask that does not say what the object is
    if photo is not None and photo.shape != (*mask.shape, 3):
        raise InputError(
            f"{name}: is {mask.shape[1]}x{mask.shape[0]}, its photo is {photo.shape[1]}x{photo.shape[0]}; the sizes "
            "must match: make it from this photo"
        )
    low, high = (255 * value for value in doubt or DOUBT)
    background, foreground = mask <= low, mask >= high
    trimap = np.where(foreground, np.uint8(FOREGROUND), np.uint8(BACKGROUND))
    found, widths = unknown_band(background, foreground, band, photo if adaptive else None)
    trimap[found] = UNKNOWN
    return trimap, widths


def no_unknown(name: str, remedy: str = "give it as `mask`") -> InputError:
    """Return the error for one or more trimaps without unknown pixels. remedy: what to do with a mask."""
    return InputError(
        f"{name}: has no unknown pixels, so there is nothing to estimate; if it is a plain mask, {remedy}; to use "
        "it as the alpha, set `allow_no_unknown`"
    )


def may_be_mask(trimap: NDArray[np.uint8]) -> bool:
    """Return whether a trimap (H, W) has foreground and background, but no unknown pixels between them.

    One that is all foreground or all background is no mask of anything: it is its own alpha.
    """
    return unsure(trimap) is None and not (trimap == UNKNOWN).any()


def unsure(trimap: NDArray[np.uint8]) -> str | None:
    """Return in words what a trimap (H, W) has no pixel of; None where foreground and background both occur."""
    sides = (("foreground", FOREGROUND), ("background", BACKGROUND))
    missing = [side for side, value in sides if not (trimap == value).any()]
    return f"no sure {' or '.join(missing)}" if missing else None
