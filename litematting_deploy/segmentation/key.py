"""A mask by the colour of a screen behind the object: green, blue or any other.

Colours are compared in OKLab (B. Ottosson, 2020), by a/L and b/L: light that is twice as bright multiplies L, a and b
alike, so that folds and shadows of a screen are one colour, and black, grey and white are another.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..images.colour import SRGB
from ..parameters import AUTO_SCREEN, KEY, SCREENS
from .pieces import SoftMask, without_crumbs

_HUE_OF = dict(zip(SCREENS, (142.0, 264.0), strict=True))
"""The hue of each named screen, in degrees in OKLab, as sRGB's primaries have them."""
SOFTNESS = 0.4
"""Beyond the tolerance, the share of the way to grey over which a colour becomes foreground."""
_TOLERANCE = (0.12, 0.45)
"""The least and the most that the photo's own noise makes of the tolerance."""
_DEVIATIONS = 4.0
_HUES = 45.0
_LEAST_SATURATION = 0.06
_DARK = 0.15
"""OKLab's L below which a pixel is too dark for its hue to say anything."""
_BORDER = 0.06
"""The share of a side within which a screen of unknown colour is looked for."""
_LEAST_SHARE = 0.03
_MOST_OF_BORDER = 0.5
"""The share of the border that a screen of unknown colour must fill: a wall has many colours, a screen one."""
_BINS, _SPAN = 96, 1.2
_SAMPLES = 400_000
_ROWS = 256
# From linear sRGB to the responses of the cones, and from their cube roots to L, a, b.
_TO_CONES = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]], np.float32,
)  # fmt: skip
_TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]], np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class Key:
    """The colour of a screen. chroma: its a/L and b/L. spread: of its pixels, as a share of the way to grey."""

    chroma: tuple[float, float]
    spread: float = 0.0

    @property
    def saturation(self) -> float:
        """How far from grey it is."""
        return math.hypot(*self.chroma)

    @property
    def tolerance(self) -> float:
        """How far a colour may be from the key's and still be the screen, as a share of the way to grey."""
        return min(max(_DEVIATIONS * self.spread, _TOLERANCE[0]), _TOLERANCE[1])

    def share_of(self, chroma: NDArray[np.float32]) -> float:
        """Return the share of pixels, of which `chroma` (..., 2) is known, that are the screen."""
        off = np.hypot(chroma[..., 0] - self.chroma[0], chroma[..., 1] - self.chroma[1])
        return float(np.mean(off <= self.tolerance * self.saturation))


def mask_from_key(
    image: NDArray[np.uint8],
    key: str = "auto",
    tolerance: float | None = None,
    softness: float | None = None,
    name: str = "image",
) -> SoftMask:
    """Return the mask (H, W), 0..1, of what has not the colour of the screen.

    image: (H, W, 3) uint8 RGB, sRGB-encoded.
    key: `green` or `blue`, whose very colour is looked for in the image; `auto`, the colour of most of its border; or
    `#rrggbb`, that colour.
    tolerance: up to this share of the way from the key to grey, a colour is the screen; by default from the screen's
    own noise. softness: over this share beyond, it becomes foreground.
    name: begins an error.
    Raises `UsageError` for a key that is no such colour, `InputError` where the image has no screen of it.
    """
    chroma = chroma_of(image)
    found = find_key(chroma, key, name)
    start = found.tolerance if tolerance is None else tolerance
    distance = np.hypot(chroma[..., 0] - found.chroma[0], chroma[..., 1] - found.chroma[1])
    distance /= np.float32(found.saturation)
    ramp = np.float32(max(SOFTNESS if softness is None else softness, 1e-3))
    return without_crumbs(((distance - np.float32(start)) / ramp).clip(0, 1))


def chroma_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a/L and b/L (H, W, 2) in OKLab of an image (H, W, 3) uint8, sRGB-encoded."""
    chroma = np.empty((*image.shape[:2], 2), np.float32)
    for start in range(0, len(image), _ROWS):  # which bounds the memory
        rows = slice(start, start + _ROWS)
        lab = np.cbrt(SRGB.decode(image[rows]) @ _TO_CONES.T) @ _TO_LAB.T
        # In the dark a little noise would be a strong colour.
        chroma[rows] = lab[..., 1:] / np.maximum(lab[..., :1], np.float32(_DARK))
    return chroma


def exact_chroma(key: str) -> NDArray[np.float32] | None:
    """Return a/L and b/L (2,) of a key `#rrggbb`; None where it must be found in the image.

    Raises `UsageError` for a key that is no colour of a screen.
    """
    KEY.check("key", key)
    if not key.startswith("#"):
        return None
    colour = np.frombuffer(bytes.fromhex(key[1:]), np.uint8).reshape(1, 1, 3)
    exact: NDArray[np.float32] = chroma_of(colour)[0, 0]
    if np.hypot(*exact) < _LEAST_SATURATION:
        raise UsageError(f"`key` must be a saturated colour, as screens have; got {key}, which is nearly grey")
    return exact


def find_key(chroma: NDArray[np.float32], key: str, name: str = "image") -> Key:
    """Return the colour of the screen in an image, of which `chroma` (H, W, 2) is known; see `mask_from_key`."""
    exact = exact_chroma(key)
    if exact is not None:
        found = _measured(chroma.reshape(-1, 2), exact)
        if found.share_of(chroma) < _LEAST_SHARE:
            raise InputError(
                f"{name}: contains hardly any {key}, so no screen was found; give the colour of its screen, or "
                "`key=auto`"
            )
        return found
    by_border = key == AUTO_SCREEN
    sample = _border(chroma) if by_border else chroma.reshape(-1, 2)
    sample = sample[:: max(1, len(sample) // _SAMPLES)]
    wanted = np.hypot(sample[:, 0], sample[:, 1]) >= _LEAST_SATURATION
    if not by_border:
        hues = np.degrees(np.arctan2(sample[:, 1], sample[:, 0]))
        wanted &= np.abs((hues - _HUE_OF[key] + 180) % 360 - 180) <= _HUES
    what = "has no border with one saturated colour" if by_border else f"contains hardly any {key}"
    nothing = InputError(
        f"{name}: {what}, so no screen was found; give the colour of the screen, such as `key=#00b140`, or use `box`"
    )
    if wanted.mean() < _LEAST_SHARE:
        raise nothing
    counts, a_edges, b_edges = np.histogram2d(
        sample[wanted, 0], sample[wanted, 1], bins=_BINS, range=((-_SPAN, _SPAN), (-_SPAN, _SPAN))
    )
    a, b = np.unravel_index(counts.argmax(), counts.shape)
    step = 2 * _SPAN / _BINS
    middle = np.array((a_edges[a] + step / 2, b_edges[b] + step / 2), np.float32)
    found = _measured(sample[wanted], middle, moving=True)
    if by_border and found.share_of(sample) < _MOST_OF_BORDER:
        raise nothing
    return found


def _measured(sample: NDArray[np.float32], middle: NDArray[np.float32], *, moving: bool = False) -> Key:
    """Return the key at `middle`, or, `moving`, at the median of what is near it, and the spread around it."""
    for _ in range(3):
        near = sample[np.hypot(*(sample - middle).T) < _TOLERANCE[1] * np.hypot(*middle)]
        if not len(near):
            break
        if moving:
            middle = np.median(near, axis=0)
    off = np.median(np.abs(near - middle), axis=0).max() if len(near) else 0.0
    # A normal distribution's median absolute deviation, times this, is its standard deviation.
    return Key((float(middle[0]), float(middle[1])), 1.4826 * float(off) / float(np.hypot(*middle)))


def _border(chroma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values (n, 2) along all four sides but the lower one, where people stand, if they are enough."""
    rows, columns = (max(1, round(side * _BORDER)) for side in chroma.shape[:2])
    sides = (chroma[:rows], chroma[:, :columns], chroma[:, -columns:])
    return np.concatenate([side.reshape(-1, 2) for side in sides])
