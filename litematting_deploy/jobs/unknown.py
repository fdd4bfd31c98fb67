"""Whether the trimaps of a sequence are trimaps: masks have no unknown pixels, nor have frames without an object."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.trimap import UNKNOWN, no_unknown

_STRIDES = (64, 8, 1)
"""The order in which trimaps are looked at: an object may be out of the picture for many frames on end."""


def check_some_unknown(trimaps: Sequence[Path], read: Callable[[Path], NDArray[np.uint8]], name: str) -> None:
    """Raise `InputError` naming `name` where no trimap has unknown pixels.

    read: a trimap (H, W) of 0 / 128 / 255. Reading stops at the first that has some, which is one of the first as a
    rule. A file that cannot be read says nothing: it fails its frame.
    """
    looked_at = False
    for path in dict.fromkeys(path for stride in _STRIDES for path in trimaps[::stride]):
        try:
            trimap = read(path)
        except InputError:
            continue
        if (trimap == UNKNOWN).any():
            return
        looked_at = True
    if looked_at:
        raise no_unknown(name)
