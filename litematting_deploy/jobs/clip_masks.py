"""Trimaps of masks that are made from the frames of a clip themselves, steadied over time."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.motion import Flow, flows, grey_of
from ..segmentation.maker import MaskMaker
from ..segmentation.pieces import SoftMask
from ..specs import TrimapSpec
from ..video.reader import Clip, ClipFrame
from .clip_trimaps import Neighbours, Pair
from .trimaps import Trimap, trimap_of_made


class FrameTrimaps(Protocol):
    """The trimaps of a clip's frames: given, as `ClipTrimaps`, or made from the frames, as `ClipMasks`."""

    def check(self, clip: Clip) -> None:
        """Raise `InputError`, before any work is done, for what no frame could make good."""

    def notes(self, clip: Clip, /) -> Iterable[tuple[str, bool]]:
        """Return what to know before the work, in lines, each with whether it is for those who asked for details."""

    def pairs(self, clip: Clip) -> Iterator[Pair]:
        """Yield all frames of a clip, in order, with what their trimaps are made from. Raises `InputError`."""

    def trimap(self, pair: Pair, network: NDArray[np.uint8]) -> Trimap:
        """Return the trimap of a pair; pairs come in order. network: (H, W, 3) uint8. Raises `InputError`."""


class ClipMasks:
    """Trimaps of masks that are made from the frames of a clip.

    What a mask gets wrong flickers, where the object itself only moves: each pixel has the median of the masks of its
    frame and of those before and after it, where optical flow says that all three show the same point.
    """

    def __init__(self, spec: TrimapSpec, maker: MaskMaker) -> None:
        """Use it in a `with`, which ends its threads."""
        self._spec, self._maker = spec, maker
        # By the indices of their frames; an error where a frame has none.
        self._made: dict[int, Future[_Made | InputError]] = {}
        self._pool = ThreadPoolExecutor(maker.batch, "mask")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def check(self, clip: Clip) -> None:
        """Do nothing: each frame shows for itself what is in it."""

    def notes(self, _: Clip) -> Iterable[tuple[str, bool]]:
        """Return nothing: masks are made alike for every frame."""
        return ()

    def pairs(self, clip: Clip) -> Iterator[Pair]:
        """Yield all frames of a clip, each with its neighbours."""
        frames = clip.frames()
        # Masks of more frames than the next are begun, while the flow of this one is found.
        ahead = 1 + self._maker.batch
        before: ClipFrame | None = None
        window = deque(itertools.islice(frames, ahead))
        while window:
            window.extend(itertools.islice(frames, 1))
            here = window.popleft()
            yield Pair(here, here.name, Neighbours(before, tuple(window)))
            before = here

    def trimap(self, pair: Pair, network: NDArray[np.uint8]) -> Trimap:
        """Return the trimap of a frame; an object may leave the picture. Raises `InputError`."""
        near = pair.grey
        assert isinstance(near, Neighbours)  # `pairs` gives every frame its own
        index = pair.frame.index
        self._made = {each: made for each, made in self._made.items() if each >= index - 1}
        around: list[tuple[ClipFrame | None, NDArray[np.uint8] | None]] = [(near.before, None), (pair.frame, network)]
        for frame, image in [*around, *((later, None) for later in near.later)]:
            if frame is not None:
                self._begin(frame, image)
        here = self._made[index].result()
        if isinstance(here, InputError):
            raise here
        before, after = (
            None if frame is None else self._made[frame.index].result() for frame in (near.before, near.after)
        )
        mask = here.mask
        if isinstance(before, _Made) and isinstance(after, _Made):
            mask = self._maker.marked(_median(before, here, after))
        return trimap_of_made(mask, network, self._spec, self._maker, pair.name, alone=False)

    def _begin(self, frame: ClipFrame, network: NDArray[np.uint8] | None) -> None:
        """Begin to make the mask of a frame, unless that is done. network: as `_make` takes it."""
        if frame.index not in self._made:
            self._made[frame.index] = self._pool.submit(self._make, frame, network)

    def _make(self, frame: ClipFrame, network: NDArray[np.uint8] | None) -> "_Made | InputError":
        """Return the mask of a frame, or why there is none. network: (H, W, 3) uint8, where it is at hand."""
        image = frame.colours.network(frame.signal()) if network is None else network
        try:
            return _Made(image, self._maker(image, frame.name))
        # Of a neighbour it is no failure; in its turn the frame itself fails.
        except InputError as error:
            return error


class _Made:
    """A frame with the mask (H, W), 0..1, that was made from it."""

    def __init__(self, image: NDArray[np.uint8], mask: SoftMask) -> None:
        """image: (H, W, 3) uint8."""
        self.mask, self._grey = mask, grey_of(image)
        self._flows: tuple[Flow, Flow] | None = None

    def flows_to(self, after: Self) -> tuple[Flow, Flow]:
        """Return the flow from here to the next frame, and that from there to here; found once."""
        if self._flows is None:
            self._flows = flows(self._grey, after._grey)
        return self._flows


def _median(before: _Made, here: _Made, after: _Made) -> SoftMask:
    """Return the median (H, W) of three masks where flow can be trusted both ways; elsewhere the mask of `here`."""
    hw = here.mask.shape[:2]
    back, there = (flow.enlarged(hw) for flow in (before.flows_to(here)[1], here.flows_to(after)[0]))
    first, last = back.bring(before.mask), there.bring(after.mask)
    low, high = np.minimum(first, last), np.maximum(first, last)
    return np.where(back.trusted & there.trusted, here.mask.clip(low, high), here.mask)
