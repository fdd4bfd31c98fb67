"""Methods that make mattes and their results; besides ours, classical ones as PyMatting implements them.

PyMatting: Germer et al., JOSS 2020.
"""

import contextlib
import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from .metrics import Scores

Matte: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.floating[Any]]]
"""image (H, W, 3) uint8 RGB, trimap (H, W) uint8 of 0 / 128 / 255 -> alpha (H, W), 0..1."""

NETWORK = "LiteMatting"
# name -> the ending of PyMatting's module and function
PEERS = {
    "closed_form": "cf",  # Levin et al. 2008
    "knn": "knn",  # Chen et al. 2013
    "learning_based": "lbdm",  # Zheng and Kambhamettu 2009
}


@dataclass(frozen=True)
class Result(Scores):
    """The scores of one method on one image, or their means, and the seconds it took."""

    seconds: float


@dataclass(frozen=True)
class Matted:
    """What a method made of one image: alpha (H, W) uint8, 0..255, known pixels forced; and how good that is."""

    alpha: NDArray[np.uint8]
    result: Result


class Peer:
    """One of `PEERS` with PyMatting's own settings, called as a `Matter` is: `Peer("knn")(image, trimap)`."""

    def __init__(self, method: str) -> None:
        self.method = method
        name = f"estimate_alpha_{PEERS[method]}"
        self._estimate: Any = getattr(importlib.import_module(f"pymatting.alpha.{name}"), name)

    def __call__(self, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return alpha (H, W) float64, 0..1.

        The first call in a process compiles for seconds, the first on a machine for half a minute.

        image: (H, W, 3) uint8 RGB.
        trimap: (H, W) uint8 of 0 / 128 / 255.
        Raises: `InputError` where the method fails on this image.
        """
        if not ((trimap == BACKGROUND).any() and (trimap == FOREGROUND).any()):
            # PyMatting refuses these; the smoothest alpha is then the value of the known pixels everywhere.
            return np.full(trimap.shape, float((trimap == FOREGROUND).any()))
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # PyMatting prints when its solver starts anew
                alpha: NDArray[np.float64] = self._estimate(image / 255, trimap / 255)
        except ValueError as error:
            raise InputError(f"PyMatting's {self.method} failed: {error}; evaluate without `peers`") from error
        return alpha


def warm_up(methods: Mapping[str, Matte]) -> None:
    """Run every method once on a tiny image, so that no compilation or first call is timed."""
    image = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint8)
    trimap = np.full((32, 32), UNKNOWN, np.uint8)
    trimap[:8], trimap[-8:] = BACKGROUND, FOREGROUND
    for matte in methods.values():
        matte(image, trimap)


def mean(results: Sequence[Result]) -> Result:
    """Return the mean of each score and of the seconds over images, of which there is at least one."""
    return Result(*np.mean([astuple(result) for result in results], axis=0).tolist())
