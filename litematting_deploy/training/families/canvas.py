"""Supersampled drawing of exact coverage, and the few operations on what was drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

NEUTRAL = 128.0
_SCALE = 2
_FRACTION_BITS = 4
# OpenCV's antialiased edges reach this far beyond the polygon, in canvas pixels; its thinnest line is this wide.
_EDGE = 0.633
_THINNEST = 1.25

Floats = NDArray[np.float32]
Points = NDArray[np.float64]
Reals = TypeVar("Reals", Floats, Points)
# (S, S, 2) float32: coverage 0..1, and coverage times shade (0..255). Premultiplied, so that compositing, blurring and
# warping are linear in it.
Sheet = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A foreground without its colours.

    alpha: (S, S) uint8, the coverage, 0..255. shade: (S, S) uint8, the material's brightness relative to its base
    colour, 128 neutral: foreground = base · shade / 128.
    """

    alpha: NDArray[np.uint8]
    shade: NDArray[np.uint8]


class Canvas:
    """A square drawn at twice its size, or more, with antialiased edges and averaged down. Coordinates are (x, y) in
    pixels of the result, where pixel i covers i..i+1; every stroke lies over the ones before it."""

    def __init__(self, size: int, scale: int = _SCALE) -> None:
        self.size, self.scale = size, scale
        # OpenCV antialiases one or three channels: coverage, premultiplied shade, and one unused.
        self._pixels = np.zeros((size * scale, size * scale, 3), np.uint8)

    def fill(self, outline: Points, shade: float = NEUTRAL) -> None:
        """Fill a closed polygon, (N, 2) floats, opaquely.

        shade: 0..255, 128 neutral.
        """
        self._polygon(outline, (255.0, shade, 0.0))

    def erase(self, outline: Points) -> None:
        """Cut a closed polygon, (N, 2) floats, out of everything drawn so far."""
        self._polygon(outline, (0.0, 0.0, 0.0))

    def strokes(
        self, lines: Points, widths: ArrayLike, shades: ArrayLike, tip: float = 0.3, pieces: int = 1, root: float = 1.0
    ) -> None:
        """Draw K lines of M points, (K, M, 2) floats, whose widths, (K,), are `root` and `tip` times that at the ends.

        shades: (K,) or (K, pieces), 0..255. A line that crosses itself needs enough pieces that none of them does.
        """
        count, points = lines.shape[:2]
        width = np.broadcast_to(np.asarray(widths, np.float64), (count,)) * self.scale
        shade = np.asarray(shades, np.float64)
        shade = np.broadcast_to(shade[:, None] if shade.ndim == 1 else shade, (count, pieces)).clip(0, 255)
        centres = lines * self.scale - 0.5
        normals = normal(np.gradient(centres, axis=1))
        profile = np.interp(np.linspace(0, 1, points), [0, 0.15, 1], [root, 0.85 + 0.15 * tip, tip])
        half = np.maximum(width[:, None] * profile - 2 * _EDGE, 0.05)[..., None] / 2
        left, right, middle = (_fixed(centres + side * half * normals) for side in (1, -1, 0))
        cuts = np.linspace(0, points - 1, pieces + 1).round().astype(int).tolist()
        thin = (width < _THINNEST * 1.4).tolist()
        for k, piece_shades in enumerate(shade.tolist()):
            for start, stop, value in zip(cuts, cuts[1:], piece_shades, strict=False):
                part = slice(start, stop + 1)
                colour = (255.0, value, 0.0)
                if thin[k]:
                    cv2.polylines(self._pixels, [middle[k, part]], False, colour, 1, cv2.LINE_AA, _FRACTION_BITS)
                else:
                    ring = np.concatenate([left[k, part], right[k, part][::-1]])
                    cv2.fillPoly(self._pixels, [ring], colour, cv2.LINE_AA, _FRACTION_BITS)

    def sheet(self) -> Sheet:
        """Return what was drawn, averaged down to (S, S, 2) float32."""
        small = cv2.resize(self._pixels, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(small[..., :2] * np.array([1 / 255, 1], np.float32), np.float32)

    def outlined(self, ring: Points, width: ArrayLike, shade: ArrayLike, pieces: int = 1) -> None:
        """Draw a line around a closed polygon, (N, 2) floats; its ends overlap by one side.

        width: in pixels. shade, pieces: as those of `strokes`.
        """
        self.strokes(np.concatenate([ring, ring[:2]])[None], width, shade, 1.0, pieces)

    def twofold(
        self, lines: Points, shift: Points, widths: Sequence[ArrayLike], shades: Sequence[ArrayLike], **how: Any
    ) -> None:
        """Draw K lines of M points twice each, as they are and lit by `shift` (broadcast to (K, M, 2)), in turn.

        Lines in front then cover both strokes of those behind. widths: two, numbers or (K,). shades: two, (K,) or
        (K, pieces), 0..255. how: further arguments of `strokes`.
        """
        count = len(lines)
        both = np.stack([lines, lines + shift], 1).reshape(2 * count, *lines.shape[1:])
        thick = np.stack([np.broadcast_to(width, count) for width in widths], 1).reshape(-1)
        self.strokes(both, thick, np.stack(shades, 1).reshape(2 * count, -1), **how)

    def _polygon(self, outline: Points, colour: tuple[float, float, float]) -> None:
        """Fill a closed polygon in one colour, drawn in by as much as OpenCV's edges reach out."""
        points = np.asarray(outline, np.float64) * self.scale - 0.5
        after = np.concatenate([points[1:], points[:1]])
        along = after - np.concatenate([points[-1:], points[:-1]])
        area = points[:, 0] @ after[:, 1] - points[:, 1] @ after[:, 0]
        ring = _fixed(points + normal(along) * np.sign(area) * _EDGE)
        cv2.fillPoly(self._pixels, [ring], colour, cv2.LINE_AA, _FRACTION_BITS)


def unit(ways: Reals) -> Reals:
    """Return directions, (..., D) floats, of length 1."""
    return ways / (np.linalg.norm(ways, axis=-1, keepdims=True) + 1e-9)  # type: ignore[no-any-return]


def normal(ways: Points) -> Points:
    """Return the unit normals of directions in the picture, (..., 2)."""
    along = unit(ways)
    return np.stack([-along[..., 1], along[..., 0]], -1)


def _fixed(points: Points) -> NDArray[np.int32]:
    """Return OpenCV's fixed-point coordinates; far ones are held where its arithmetic cannot overflow."""
    return np.asarray(np.rint(points.clip(-8000, 16000) * (1 << _FRACTION_BITS)), np.int32)


def over(top: Sheet, bottom: Sheet) -> Sheet:
    """Composite `top` over `bottom`: coverage 1 - (1 - a)(1 - b). (S, S, 2) float32."""
    return np.asarray(top + bottom * (1 - top[..., :1]), np.float32)


def plain(coverage: ArrayLike, shade: ArrayLike = NEUTRAL) -> Sheet:
    """Return a sheet of a coverage, (S, S) 0..1, and a shade, a number or (S, S) 0..255, both taken as float32."""
    cover = np.asarray(coverage, np.float32).clip(0, 1)
    light = shade if isinstance(shade, float) else np.asarray(shade, np.float32)
    return np.stack([cover, cover * np.clip(light, 0, 255)], -1).astype(np.float32)


def blur(sheet: Sheet, sigma: float) -> Sheet:
    """Return a Gaussian blur of (S, S, 2) float32; what lies outside the frame continues its border.

    sigma: in pixels.
    """
    return np.asarray(cv2.GaussianBlur(sheet, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def displace(sheet: Sheet, field: Floats) -> Sheet:
    """Move (S, S, 2) float32 by `field`, (S, S, 2) float32 pixels: result(p) = sheet(p + field(p)).

    What comes from outside is mirrored, since strands drawn out into streaks would give the frame away.
    """
    steps = np.arange(len(sheet), dtype=np.float32)
    x, y = field[..., 0] + steps, field[..., 1] + steps[:, None]
    return np.asarray(cv2.remap(sheet, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.float32)


def opened(layer: Layer) -> Sheet:
    """Return the (S, S, 2) float32 sheet of a layer."""
    return plain(layer.alpha / np.float32(255), layer.shade)


def finish(sheet: Sheet) -> Layer:
    """Return the layer of a sheet, (S, S, 2) float32."""
    coverage = sheet[..., 0]
    shade = np.where(coverage > 1 / 512, sheet[..., 1] / np.maximum(coverage, 1 / 512), NEUTRAL)
    return Layer(np.rint(coverage.clip(0, 1) * 255).astype(np.uint8), np.rint(shade.clip(0, 255)).astype(np.uint8))
