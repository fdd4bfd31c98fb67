"""The trimap of a photo on the page: painted, or read from a file as the commands do it; and what the page calls it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..images.photo import Photo
from ..jobs.trimaps import Trimap, made_trimap, trimap_for
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from ..segmentation.maker import MaskMaker
from ..segmentation.model import Segmenter
from ..specs import TrimapSpec

BRUSHES = {FOREGROUND: (0, 200, 80), UNKNOWN: (40, 90, 255), BACKGROUND: (235, 40, 40)}
"""The colour of each value. They form an acute triangle, so that a mix of two is never nearest to the third."""
OPACITY = 0.6
"""Of a stroke: the photo shows through, and what is painted last makes up more than half of any mix."""
LABELS = {
    "mask": "a mask (Use a mask)",
    "mask_threshold": "Foreground from this value",
    "mask_labels": "Class ids of the subject",
    "trimap_encoding": "Grey values",
    "unknown_width": "Unknown band",
    "allow_no_unknown": "--allow-no-unknown to ltm-infer",
    "box": "the box (Draw a box)",
    "key": "Screen colour",
    "key_tolerance": "--key-tolerance of ltm-infer",
    "segmenter": "the segmenter of this server",
    "sure_foreground": "green paint",
    "sure_background": "red paint",
}
"""What the page calls parameters that messages name."""

AUTOMATIC, PIXELS, PERCENT = "automatic", "pixels", "percent"

_PAINTED = round(255 * OPACITY / 2)
"""The least opacity, 0..255, that counts: at a stroke's soft edge, half of its own."""


@dataclass(frozen=True, eq=False)
class Source:
    """The source of a trimap, as the page says it.

    spec: how the file of a trimap or mask is read; None where the trimap is painted.
    path: that file; None where none was chosen.
    layers: of paint, (h, w, 4) uint8 RGBA.
    way: how a mask is made from the photo itself; None where a trimap or mask is given. key: the colour of a screen.
    unknown_width, adaptive: the unknown band of such a mask, as `TrimapSpec` has it.
    """

    spec: TrimapSpec | None = None
    path: str | None = None
    layers: tuple[NDArray[np.uint8], ...] = ()
    way: str | None = None
    key: str = "auto"
    unknown_width: str | float | None = None
    adaptive: bool = False

    @classmethod
    def of(
        cls,
        painted: dict[str, Any] | None,
        path: str | None,
        kind: str,
        width: float,
        adaptive: bool,
        encoding: Any,
        threshold: str | None,
        labels: str | None,
        unit: str = AUTOMATIC,
        key: str | None = None,
    ) -> Self:
        """Return the source that was chosen and typed. Raises `UsageError`.

        painted: what Gradio's editor holds. path: of the file, where one was chosen. kind: `paint`, `mask`, `trimap` or
        a way to make a mask from the photo. threshold, labels, key: as they were typed. unit: of the width, `PIXELS` or
        `PERCENT`, or `AUTOMATIC` for the default of the kind.
        """
        layers = tuple(painted["layers"]) if painted is not None else ()
        if kind == "paint":
            return cls(layers=layers)
        band = f"{width:g}%" if unit == PERCENT else width if unit == PIXELS else None
        if kind in ("box", "key", "segmenter"):
            key = (key or "auto").strip()
            return cls(layers=layers, way=kind, key=key, unknown_width=band, adaptive=adaptive)
        if kind == "trimap":
            return cls(TrimapSpec(trimap_encoding=encoding), path)
        ids = re.findall(r"[^\s,;]+", labels or "")
        for text in ids:
            if not re.fullmatch(r"[0-9]{1,5}", text):
                raise UsageError(f"class ids must be numbers, such as 7 or 7, 9; got {text!r}")
        spec = TrimapSpec(
            kind="mask",
            unknown_width=band,
            adaptive=adaptive,
            mask_threshold=(threshold or "").strip() or None,
            mask_labels=tuple(map(int, ids)),
        )
        return cls(spec, path)

    def trimap(self, photo: Photo, max_megapixels: float, segmenter: Segmenter | None = None) -> Trimap:
        """Return the trimap of a photo. segmenter: the server's. Raises `InputError`."""
        height, width = photo.pixels.shape[:2]
        if self.way is not None:
            spec, maker = self._maker((height, width), segmenter)
            return made_trimap(photo.network, spec, maker, photo.path)
        if self.spec is None:
            return Trimap(trimap_of(self.layers, (height, width)))
        if self.path is None:
            raise InputError(f"no {self.spec.kind} yet: choose its file, or paint by hand")
        return trimap_for(photo, self.path, self.spec, max_megapixels, alone=True)

    def _maker(self, hw: tuple[int, int], segmenter: Segmenter | None) -> tuple[TrimapSpec, MaskMaker]:
        """Return what makes the mask of a photo of a height and width, and the spec that says so."""
        spec = partial(TrimapSpec, kind="photo", unknown_width=self.unknown_width, adaptive=self.adaptive)
        if self.way == "key":
            return spec(key=self.key), MaskMaker(key=self.key)
        if self.way == "segmenter":
            return spec(segmenter="the server's"), MaskMaker(segmenter=segmenter)
        values, painted = _painted(self.layers, hw)
        rows, columns = np.nonzero(painted & (values == UNKNOWN))
        if not len(rows):
            raise InputError(
                "no box yet: choose blue with the palette button at the left of the photo, then circle the subject or "
                "draw one diagonal across it"
            )
        left, top = int(columns.min()), int(rows.min())
        box = left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top
        foreground, background = (painted & (values == value) for value in (FOREGROUND, BACKGROUND))
        return spec(box=box), MaskMaker(box=box, foreground=foreground, background=background)


def trimap_of(layers: Iterable[NDArray[np.uint8]], hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the trimap (H, W) of a photo of size `hw` from layers of paint (h, w, 4) uint8 RGBA, the last on top.

    A pixel has the value of the brush whose colour is nearest, also at the soft edges of strokes; where nothing is
    painted it is background. The layers may be smaller than the photo: it gets its values from the nearest pixels.
    Raises `InputError` where nothing is painted but background.
    """
    trimap, _ = _painted(layers, hw)
    if (trimap == BACKGROUND).all():
        raise InputError(
            "nothing is painted: paint the inside of the subject green and its soft edge blue, or choose a mask or "
            "trimap"
        )
    return trimap


def _painted(layers: Iterable[NDArray[np.uint8]], hw: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the values (H, W) of paint, background where there is none, and where there is some."""
    trimap, anywhere = np.full(hw, BACKGROUND, np.uint8), np.zeros(hw, bool)
    for layer in layers:
        painted, values = layer[:, :, 3] >= _PAINTED, np.zeros(layer.shape[:2], np.uint8)
        values[painted] = _nearest(layer[painted, :3])
        # Values and where they count are scaled alike: an interpolated value would be that of another brush.
        over = _scaled(painted.astype(np.uint8), hw) > 0
        trimap[over] = _scaled(values, hw)[over]
        anywhere |= over
    return trimap, anywhere


def _nearest(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the value (n,) of the brush that is nearest to each of the colours (n, 3)."""
    brushes = np.array(list(BRUSHES.values()), np.float32)
    distances = np.stack([np.square(colours - brush).sum(axis=1) for brush in brushes])
    return np.asarray(np.array(list(BRUSHES), np.uint8)[distances.argmin(axis=0)])


def _scaled(plane: NDArray[np.uint8], hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return values (h, w) at size `hw`, each from the nearest pixel, so that none is mixed."""
    return np.asarray(cv2.resize(plane, hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def in_words_of_the_page(text: str) -> str:
    """Return a message of the package, in which parameters are written as `name` or `name=value`, with the page's."""

    def label(match: "re.Match[str]") -> str:
        name = LABELS.get(match[1], match[1])
        return name if match[2] is None else f"{name}: {match[2]}"

    return re.sub(r"`(\w+)(?:=([^`]*))?`", label, text)
