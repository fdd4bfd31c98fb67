"""Classical methods to compare with, as PyMatting implements them (Germer et al., JOSS 2020)."""

import contextlib
import importlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.trimap import BACKGROUND, FOREGROUND

# name -> the ending of PyMatting's module and function
METHODS = {
    "closed_form": "cf",  # Levin et al. 2008
    "knn": "knn",  # Chen et al. 2013
    "learning_based": "lbdm",  # Zheng and Kambhamettu 2009
}


class Peer:
    """One of `METHODS` with PyMatting's own settings, called as a `Matter` is: `Peer("knn")(image, trimap)`."""

    def __init__(self, method: str) -> None:
        self.method = method
        name = f"estimate_alpha_{METHODS[method]}"
        self._estimate: Any = getattr(importlib.import_module(f"pymatting.alpha.{name}"), name)

    def __call__(self, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Alpha (H, W) float64, 0..1, of image (H, W, 3) uint8 RGB and trimap (H, W) uint8 of 0 / 128 / 255.

        The first call in a process compiles for seconds, on a machine for half a minute. Raises `InputError` where
        the method fails on this image.
        """
        if not ((trimap == BACKGROUND).any() and (trimap == FOREGROUND).any()):
            # PyMatting refuses these; the smoothest alpha is then the value of the known pixels everywhere.
            return np.full(trimap.shape, float((trimap == FOREGROUND).any()))
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # PyMatting prints when its solver starts anew
                alpha: NDArray[np.float64] = self._estimate(image / 255, trimap / 255)
        except ValueError as error:
            raise InputError(f"PyMatting's {self.method} failed: {error}; evaluate without --peers") from error
        return alpha
