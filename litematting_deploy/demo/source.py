"""The trimap of a photo on the page: painted, or read from a file as the commands do it."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.photo import Photo
from ..jobs.trimaps import trimap_for
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from ..specs import TrimapSpec

BRUSHES = {FOREGROUND: (0, 200, 80), UNKNOWN: (40, 90, 255), BACKGROUND: (235, 40, 40)}
"""The colour of each value. They form an acute triangle, so that a mix of two is never nearest to the third."""
OPACITY = 0.6
"""Of a stroke: the photo shows through, and what is painted last makes up more than half of any mix."""
UNPAINTED = BACKGROUND

_PAINTED = round(255 * OPACITY / 2)
"""The least opacity, 0..255, that counts: at a stroke's soft edge, half of its own."""


@dataclass(frozen=True, eq=False)
class Source:
    """The source of a trimap, as the page says it.

    spec: how the file of a trimap or mask is read; None where the trimap is painted.
    path: that file; None where none was chosen.
    layers: of paint, (h, w, 4) uint8 RGBA.
    """

    spec: TrimapSpec | None = None
    path: str | None = None
    layers: tuple[NDArray[np.uint8], ...] = ()

    def trimap(self, photo: Photo, max_megapixels: float) -> NDArray[np.uint8]:
        """Return the trimap of a photo, (H, W) uint8 of 0 / 128 / 255. Raises `InputError`."""
        if self.spec is None:
            height, width = photo.pixels.shape[:2]
            return trimap_of(self.layers, (height, width))
        if self.path is None:
            raise InputError(f"there is no {self.spec.kind} yet: choose its file, or paint")
        return trimap_for(photo, self.path, self.spec, max_megapixels, alone=True)


def trimap_of(layers: Iterable[NDArray[np.uint8]], hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The trimap (H, W) of a photo of size `hw` from layers of paint (h, w, 4) uint8 RGBA, straight, the last on top.

    A pixel has the value of the brush whose colour is nearest, also at the soft edges of strokes; where nothing is
    painted it is background. The layers may be smaller than the photo: it gets its values from the nearest pixels.
    Raises `InputError` where nothing is painted but background.
    """
    trimap = np.full(hw, UNPAINTED, np.uint8)
    for layer in layers:
        painted, values = layer[:, :, 3] >= _PAINTED, np.zeros(layer.shape[:2], np.uint8)
        values[painted] = _nearest(layer[painted, :3])
        over = _scaled(painted.astype(np.uint8), hw) > 0
        trimap[over] = _scaled(values, hw)[over]
    if (trimap == BACKGROUND).all():
        raise InputError(
            "nothing is painted: paint the inside of what you want to keep green and its soft edge blue, or choose a "
            "mask or a trimap"
        )
    return trimap


def _nearest(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the value (n,) of the brush that is nearest to each of the colours (n, 3)."""
    brushes = np.array(list(BRUSHES.values()), np.float32)
    distances = np.stack([np.square(colours - brush).sum(axis=1) for brush in brushes])
    return np.asarray(np.array(list(BRUSHES), np.uint8)[distances.argmin(axis=0)])


def _scaled(plane: NDArray[np.uint8], hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(plane, hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
