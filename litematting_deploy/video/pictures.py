"""What is made of a frame and its alpha, as R'G'B' and alpha for the encoders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..images.background import Background
from ..images.photo import Photo
from ..matting.foreground import estimate_foreground
from .reader import ClipFrame
from .segments import Result

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pictures:
    """results: in the order of the pictures. background: behind the result of index `composite`. premultiplied: of
    results with an alpha channel: R'G'B' times alpha."""

    results: tuple[Result, ...]
    premultiplied: bool = False
    background: Background | None = None
    composite: int | None = None

    @property
    def wants_colours(self) -> bool:
        """Whether the foreground's colours must be estimated."""
        return any(result.content != "grey" for result in self.results)

    def check(self, frame: ClipFrame) -> None:
        """Raise `InputError` where the background does not fit a clip with this frame."""
        if self.background is not None:
            shape = np.zeros((*frame.hw, 3), np.uint8)
            self.background.placed(Photo(frame.name, shape, shape, frame.colours.space), shown=True)

    def of(self, frame: ClipFrame, network: NDArray[np.uint8], alpha: Floats) -> list[Floats]:
        """A picture for each result, see `writing.codes_of`; alpha: (H, W), 0..1.

        Colours are estimated, and mixed with a background, in light; opaque pixels keep the frame's.
        """
        if not self.wants_colours:
            return [alpha for _ in self.results]
        photo = frame.photo(network)
        light = estimate_foreground(photo, alpha)
        colours = frame.colours.to_signal(light)
        pictures = []
        for index, result in enumerate(self.results):
            if result.content == "grey":
                pictures.append(alpha)
            elif index == self.composite:
                pictures.append(self._composite(frame, photo, light, alpha))
            elif result.content == "colour":
                pictures.append(colours)
            else:
                shown = colours * alpha[:, :, None] if self.premultiplied else colours
                pictures.append(np.dstack([shown, alpha]))
        return pictures

    def _composite(self, frame: ClipFrame, photo: Photo, light: Floats, alpha: Floats) -> Floats:
        assert self.background is not None
        behind, weight = self.background.placed(photo, shown=True), alpha[:, :, None]
        return frame.colours.to_signal(light * weight + behind(slice(None)) * (1 - weight))
