"""The band of unknown pixels around the edge of a mask, wider where the photo is hairy.

Hair shows as many edges in a small window, more than its surroundings have.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..parameters import UNKNOWN_WIDTH, Amount

Region = NDArray[np.bool_]
Widths: TypeAlias = tuple[float, float]
"""The narrowest and the widest unknown band of a mask's objects, in pixels on each side of their edges."""

WIDEST = 4.0
"""How many times its width an adaptive band may grow to."""
LEAST_PX = 3
"""The narrowest relative band: antialiasing and the photo's own blur take that much, however small the object."""
_RATIO = 1.25
"""Objects whose widths differ by less are done together."""
_SOFTEN = 1.0
"""Standard deviation in pixels of the blur that takes a sensor's noise away and leaves a strand of one pixel."""
_DENSE = 0.1
"""The share of a window that edges fill where it is hairy. One strand, 3 or 4 pixels wide with its two edges, fills 0.2
to 0.4 of a window of 9 to 15 pixels."""
_FAINT = 6.0
"""Grey levels within 3x3 pixels that are no edge anywhere: JPEG's blocks and gradients of light."""
_DEVIATIONS = 3.0
_ENOUGH, _SAMPLES = 500, 1_000_000
"""The fewest pixels that tell what is usual, and about the most that are looked at."""


@dataclass(frozen=True)
class Band(Amount):
    """The unknown band on each side of a mask's edge.

    value: in pixels or, with `percent`, in percent of the square root of each object's area, at least `LEAST_PX`
    pixels. That is the side of the square of its size: twice the photo, twice the band; and a long thin object, whose
    box would be large, has a narrow one.
    Raises `UsageError` for an amount that is out of range.
    """

    value: float = 15

    def __post_init__(self) -> None:
        UNKNOWN_WIDTH.check("unknown_width", self)


def unknown_band(
    background: Region, foreground: Region, band: Band, photo: NDArray[np.uint8] | None = None
) -> tuple[Region, Widths | None]:
    """Return the unknown pixels (H, W) bool of a mask, and the widths of the band before it is widened by the photo.

    background, foreground: (H, W) bool, where the mask is sure. What is neither is unknown, and so is every pixel
    within the band's width (Euclidean) of one that is not as sure.
    photo: (H, W, 3) uint8 RGB, to widen the band by. On either side it grows through the hairy pixels beyond it that
    are connected with it, and half its width around them, up to `WIDEST` times its width.
    """
    unknown = ~(background | foreground)
    # Once for the whole photo, since every group of objects looks at it.
    edges = None if photo is None else _contrast(photo)
    widths = []
    for width, members in _groups(~background, band):
        for side, beyond in ((background, members), (members & foreground, ~(members & foreground))):
            if not side.any() or not beyond.any():
                continue
            widths.append(width)
            distance = _distance(beyond)
            near = side & (distance <= width)
            if edges is not None:
                reach = side & (distance <= WIDEST * width)
                wide = near | (reach & _grown(near, _hairy(edges, reach & ~near, side & ~reach, width), side, width))
                if beyond is not members:  # of the foreground
                    wide |= _islands(side & ~near, side & ~wide, reach)
                near = wide
            unknown |= near
    return unknown, spanned((width, width) for width in widths)


def spanned(widths: Iterable[Widths]) -> Widths | None:
    """Return the narrowest and the widest of many bands; None where there are none."""
    ends = [end for both in widths for end in both]
    return (min(ends), max(ends)) if ends else None


def _groups(objects: Region, band: Band) -> Iterator[tuple[float, Region]]:
    """Yield the width of a band and the objects that have it, the widest first.

    A small object within a larger one's band is part of that: most likely a strand that the mask has cut off.
    """
    if not band.percent:
        yield band.value, objects
        return
    count, labels, stats, _ = cv2.connectedComponentsWithStats(objects.astype(np.uint8), connectivity=8)
    own = np.maximum(np.sqrt(stats[:, cv2.CC_STAT_AREA]) * band.value / 100, LEAST_PX)
    steps = np.rint(np.log(own / LEAST_PX) / np.log(_RATIO)).astype(int)
    left = np.arange(count) > 0  # label 0 is the background
    while left.any():
        members = left & (steps == steps[left].max())
        width = float(own[members].max())
        if left.sum() > members.sum():
            members[np.unique(labels[_distance(members[labels]) <= width])] = True
            members &= left
        left &= ~members
        yield width, members[labels]


def _distance(region: Region) -> NDArray[np.float32]:
    """Return the Euclidean distance of every pixel to the nearest of `region`, in pixels."""
    return np.asarray(cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def _grown(near: Region, found: Region, side: Region, width: float) -> Region:
    """Return the pixels within half a width of those `found` that are connected with the band `near`.

    The crumbs of `side` that this leaves between them come with them.
    """
    _, labels = cv2.connectedComponents((near | found).astype(np.uint8), connectivity=8)
    linked = np.isin(labels, np.unique(labels[near])) & found
    if not linked.any():
        return linked
    grown = _distance(linked) <= width / 2
    return np.asarray(grown | (_crumbs(side & ~near & ~grown, width) & ~_crumbs(side & ~near, width)))


def _crumbs(region: Region, width: float) -> Region:
    """Return the parts of `region` that are smaller than the square of `width`."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < width * width
    small[0] = False  # label 0 is what is not in the region
    return np.asarray(small[labels])


def _islands(before: Region, after: Region, reach: Region) -> Region:
    """Return the stray parts of sure foreground that a wider band has cut off.

    Those are all but the largest part of what hung together, if they lie within reach of the mask's edge: what is
    sure in the midst of hair is so by chance, and would be a hole in it.

    before, after: (H, W) bool, sure foreground with the plain band and with the wide one.
    reach: (H, W) bool, where the band could have grown to.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(after.astype(np.uint8), connectivity=4)
    _, wholes = cv2.connectedComponents(before.astype(np.uint8), connectivity=4)
    whole_of, areas = np.zeros(count, np.int32), stats[:, cv2.CC_STAT_AREA].copy()
    whole_of[labels[after]] = wholes[after]
    areas[0] = 0  # label 0 is what is not foreground
    largest = np.zeros(int(whole_of.max()) + 1, areas.dtype)
    np.maximum.at(largest, whole_of, areas)
    reaches_in = np.bincount(labels[after & ~reach], minlength=count) > 0
    stray = (areas < largest[whole_of]) & ~reaches_in
    stray[0] = False
    return np.asarray(stray[labels])


def _contrast(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest less the smallest value within 3x3 pixels, (H, W), in the channel where that is most."""
    soft = cv2.GaussianBlur(photo, (0, 0), _SOFTEN)
    return np.asarray(cv2.morphologyEx(soft, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2))


def _hairy(contrasts: NDArray[np.uint8], where: Region, plain: Region, width: float) -> Region:
    """Return the pixels (H, W) of `where` with many edges around them.

    An edge is a pixel whose contrast exceeds the median of `plain` by three standard deviations (of the median absolute
    deviation): over grass, hair must stand out from grass. A pixel is hairy where edges fill a tenth of the window of
    2/3 `width` around it, at least 9 pixels; only pixels of `where` count, so that an outline outside it is no edge.

    contrasts: (H, W), see `_contrast`.
    plain: (H, W), pixels beyond `where`; if these are few, all of `where` tells what is usual.
    width: of the band, in pixels.
    """
    usual = contrasts[plain] if np.count_nonzero(plain) >= _ENOUGH else contrasts[where]
    if not usual.size:
        return where
    usual = usual[:: max(1, usual.size // _SAMPLES)]
    median = float(np.median(usual))
    # A normal distribution's median absolute deviation, times this, is its standard deviation.
    deviation = 1.4826 * float(np.median(np.abs(usual - median)))
    edges = where & (contrasts > max(median + _DEVIATIONS * deviation, _FAINT))
    # Odd, so that the window has a middle.
    side = max(9, round(width * 2 / 3) | 1)
    found, there = (
        cv2.boxFilter(part.astype(np.float32), -1, (side, side), borderType=cv2.BORDER_REFLECT)
        for part in (edges, where)
    )
    return np.asarray(where & (found > _DENSE * there))
