"""Alphas of a sequence made steadier: each is averaged with its neighbours in time, along optical flow, where colours
agree.

What a network estimates wrongly changes from frame to frame, where the object itself only moves; the average of three
frames keeps the motion and loses some of the rest. Refined alphas are sharp, so that flow which is half a pixel off
would blur their strands: of them, only those that nearly agree are averaged, whose difference is noise.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from .motion import Floats, Flow, flows, grey_of
from .trimap import UNKNOWN

Item = TypeVar("Item")

_COLOURS = 8.0
"""Levels that colours may differ by: at this difference a neighbour counts 0.6 times as much as at none."""
_REFINED = 0.15
"""By how much refined alphas may differ: at this difference a neighbour counts 0.6 times as much as at none."""
_SOFTEN = (3, 3)


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame of a sequence.

    place: its number in it; only frames of successive numbers are neighbours.
    image: (H, W, 3) uint8 RGB. trimap: (H, W) uint8 of 0 / 128 / 255.
    alpha: (H, W) float32, 0..1; None where there is none.
    usable: its neighbours may learn from its alpha.
    """

    place: int
    image: NDArray[np.uint8]
    trimap: NDArray[np.uint8]
    alpha: Floats | None = None
    usable: bool = True


def steadied(
    items: Iterable[Item],
    matte: Callable[[Iterable[Item]], Iterator[Any]],
    moment: Callable[[Item], Moment],
    *,
    refined: bool,
) -> Iterator[Any]:
    """Yield the alphas of a sequence, in order, each made steadier once that of the next frame is there.

    matte: yields an alpha (H, W) float32, or an error, for each item; an error is yielded as it is, and is nobody's
    neighbour.
    moment: returns an item's frame, without its alpha.
    refined: the alphas are refined (`matting.refine`), so that neighbours count where these agree, too.
    """
    taken: deque[Item] = deque()

    def passing() -> Iterator[Item]:
        for item in items:
            taken.append(item)
            yield item

    waiting: tuple[Any, Moment, list[Floats]] | None = None
    for alpha in matte(passing()):
        after = moment(taken.popleft())
        if isinstance(alpha, np.ndarray) and after.usable:
            after = replace(after, alpha=alpha)
        seen: list[Floats] = []
        if waiting is not None:
            raw, here, votes = waiting
            if _are_neighbours(here, after):
                for_here, for_after = _votes(here, after, _REFINED if refined else None)
                votes.append(for_here)
                seen.append(for_after)
            yield raw if here.alpha is None else _averaged(here, here.alpha, votes)
        waiting = alpha, after, seen
    if waiting is not None:
        raw, here, votes = waiting
        yield raw if here.alpha is None else _averaged(here, here.alpha, votes)


def _are_neighbours(here: Moment, after: Moment) -> bool:
    """Return whether two frames follow each other, can be compared and have alphas."""
    both = here.alpha is not None and after.alpha is not None
    return both and after.place == here.place + 1 and after.trimap.shape == here.trimap.shape


def _votes(here: Moment, after: Moment, agree: float | None) -> tuple[Floats, Floats]:
    """Return what each of two neighbours says of the other: alpha times weight, and weight, (H, W, 2) float32 each.

    agree: by how much their alphas may differ; None if that does not count.
    """
    there, back = flows(grey_of(here.image), grey_of(after.image))
    return _vote(here, after, there, agree), _vote(after, here, back, agree)


def _vote(here: Moment, other: Moment, flow: Flow, agree: float | None) -> Floats:
    """Return alpha times weight, and weight, (H, W, 2) float32, of another frame as it lies in this one."""
    flow = flow.enlarged(here.trimap.shape)
    # Noise of single pixels would keep even equal colours from agreeing.
    colours, others = (cv2.blur(moment.image, _SOFTEN).astype(np.float32) for moment in (here, other))
    apart = np.square(flow.bring(others) - colours).max(axis=2)
    weight = np.where(flow.trusted, np.exp(-apart / (2 * _COLOURS**2)), 0).astype(np.float32)
    assert here.alpha is not None  # `_are_neighbours` has looked
    assert other.alpha is not None
    brought = flow.bring(other.alpha)
    if agree is not None:
        weight *= np.exp(-np.square(brought - here.alpha) / (2 * agree**2))
    return np.dstack([brought * weight, weight])


def _averaged(here: Moment, alpha: Floats, votes: list[Floats]) -> Floats:
    """Return the average of a frame's alpha (H, W) and what its neighbours say; known pixels stay."""
    if not votes:
        return alpha
    total: Floats = np.sum(votes, axis=0, dtype=np.float32)
    mean = (alpha + total[:, :, 0]) / (1 + total[:, :, 1])
    return np.where(here.trimap == UNKNOWN, mean, alpha).astype(np.float32)
