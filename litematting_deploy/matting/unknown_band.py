"""Where a mask cannot be trusted: the band of unknown pixels around its edge, and how wide that is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..specs import Amount
from .hairiness import contrast, hairy

Region = NDArray[np.bool_]

WIDEST = 4.0
"""What an adaptive band may grow to, times its width."""
LEAST_PX = 3
"""The narrowest relative band: antialiasing and the photo's own blur take that much, however small the object."""
_RATIO = 1.25
"""Objects whose widths differ by less are done together."""


@dataclass(frozen=True)
class Band:
    """The unknown band on each side of a mask's edge.

    amount: in pixels or, where `relative`, in percent of the square root of each object's area, at least `LEAST_PX`
    pixels. That is the side of the square of its size: twice the photo, twice the band; and a long thin object, whose
    box would be large, has a narrow one. widest: how many times its width it may grow where the photo is hairy.
    """

    amount: float = 15
    relative: bool = False
    widest: float = WIDEST

    def __post_init__(self) -> None:
        if self.relative and not 0 < self.amount <= 100:
            raise UsageError(
                f"`unknown_width` must be above 0% and up to 100% of the object's size; got {self.amount:g}%",
                parameter="unknown_width",
            )
        if not self.relative and self.amount < 1:
            raise UsageError(
                f"`unknown_width` must be at least 1 pixel on each side of the edge; got {self.amount:g}",
                parameter="unknown_width",
            )

    def __str__(self) -> str:
        return str(Amount(self.amount, self.relative))

    @classmethod
    def parse(cls, written: str | float) -> Self:
        """Return the band of a width in pixels, as 15 or "15", or of a share of the object's size, as "2%".

        Raises `UsageError`.
        """
        amount = Amount.parse(written, "unknown_width")
        return cls(amount.value, amount.percent)


def unknown_band(background: Region, foreground: Region, band: Band, photo: NDArray[np.uint8] | None = None) -> Region:
    """The unknown pixels (H, W) of a mask.

    background, foreground: (H, W), where the mask is sure; what is neither is unknown, and so is every pixel within
    the band's width (Euclidean) of one that is not as sure. photo: (H, W, 3) uint8 RGB to widen the band by, as
    `hairiness.hairy` says: it grows, on either side by itself, through the hairy pixels beyond it that hang together
    with it, and half its width around them, up to `band.widest` times its width.
    """
    unknown = ~(background | foreground)
    edges = None if photo is None or band.widest <= 1 else contrast(photo)
    for width, members in _groups(~background, band):
        for side, beyond in ((background, members), (members & foreground, ~(members & foreground))):
            if not side.any() or not beyond.any():
                continue
            distance = _distance(beyond)
            near = side & (distance <= width)
            if edges is not None:
                reach = side & (distance <= band.widest * width)
                near |= reach & _grown(near, hairy(edges, reach & ~near, side & ~reach, width), side, width)
            unknown |= near
    return unknown


def _groups(objects: Region, band: Band) -> Iterator[tuple[float, Region]]:
    """The objects by the width of their band, the widest first. A small one within a larger one's band is part of it:
    most likely a strand that the mask has cut off."""
    if not band.relative:
        yield band.amount, objects
        return
    count, labels, stats, _ = cv2.connectedComponentsWithStats(objects.astype(np.uint8), connectivity=8)
    own = np.maximum(np.sqrt(stats[:, cv2.CC_STAT_AREA]) * band.amount / 100, LEAST_PX)
    steps = np.rint(np.log(own / LEAST_PX) / np.log(_RATIO)).astype(int)
    left = np.arange(count) > 0  # label 0 is the background
    while left.any():
        widest = steps[left].max()
        members = left & (steps == widest)
        width = float(own[members].max())
        if left.sum() > members.sum():
            members[np.unique(labels[_distance(members[labels]) <= width])] = True
            members &= left
        left &= ~members
        yield width, members[labels]


def _distance(region: Region) -> NDArray[np.float32]:
    """Euclidean distance of every pixel to the nearest of `region`, in pixels."""
    return np.asarray(cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def _grown(near: Region, found: Region, side: Region, width: float) -> Region:
    """Pixels within half a width of those `found` that hang together with the band `near`, and the crumbs of `side`
    that this leaves between them."""
    _, labels = cv2.connectedComponents((near | found).astype(np.uint8), connectivity=8)
    linked = np.isin(labels, np.unique(labels[near])) & found
    if not linked.any():
        return linked
    grown = _distance(linked) <= width / 2
    return np.asarray(grown | (_crumbs(side & ~near & ~grown, width) & ~_crumbs(side & ~near, width)))


def _crumbs(region: Region, width: float) -> Region:
    """The parts of `region` that are smaller than the square of `width`."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < width * width
    small[0] = False  # label 0 is what is not in the region
    return np.asarray(small[labels])
