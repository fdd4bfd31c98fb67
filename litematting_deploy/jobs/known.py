"""What the trimaps or masks of a sequence must show between them: unknown pixels, or sure foreground.

Single ones may lack it, since an object leaves the picture or fades; where all of them do, they are something else.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DimMaskError, InputError
from ..matting.trimap import UNKNOWN, no_unknown

_STRIDES = (64, 8, 1)
"""The order in which files are looked at: an object may be out of the picture for many frames on end."""

Read = Callable[[], NDArray[np.uint8]]
"""Reads one trimap or mask (H, W); raises `InputError`."""


def spread(files: Sequence[Path], read: Callable[[Path], NDArray[np.uint8]]) -> Iterator[Read]:
    """Return what reads each of some files, in an order that soon comes to one with an object."""
    for path in dict.fromkeys(path for stride in _STRIDES for path in files[::stride]):
        yield lambda path=path: read(path)  # type: ignore[misc]  # bound now, not when it is called


def check_some_unknown(trimaps: Iterable[Read], name: str) -> None:
    """Raise `InputError` naming `name` where no trimap, of 0 / 128 / 255, has unknown pixels.

    Reading stops at the first that has some, which is one of the first as a rule. One that cannot be read says
    nothing: it fails its frame.
    """
    looked_at = False
    for read in trimaps:
        try:
            trimap = read()
        except InputError:
            continue
        if (trimap == UNKNOWN).any():
            return
        looked_at = True
    if looked_at:
        raise no_unknown(name)


def check_some_sure(masks: Iterable[Read], name: str) -> None:
    """Raise `DimMaskError` naming `name` where masks have a brightest value that is dim, and none reaches the top.

    Reading, which is of masks alone, stops at the first that does; from there the others, as those of a fade, have
    their scale. A mask that cannot be read says nothing: it fails its frame; nor does a black one.
    """
    dim: DimMaskError | None = None
    for read in masks:
        try:
            if read().any():
                return
        except DimMaskError as error:
            dim = dim or error
        except InputError:
            continue
    if dim is not None:
        raise DimMaskError(f"{name}: no mask there reaches the top of its range: {dim}") from dim
