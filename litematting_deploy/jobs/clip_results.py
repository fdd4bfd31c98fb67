"""The results of a clip: which clips come out of it, and the picture of a frame in each."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..images.background import Background
from ..images.photo import Photo
from ..images.results import check_outputs
from ..matting.composite import trimap_preview
from ..matting.foreground import estimate_foreground
from ..matting.unmixing import Unmix, unmix
from ..specs import JobSpec
from ..video.codecs import Content, codec_for
from ..video.mux import check_sound
from ..video.reader import Clip, ClipFrame
from ..video.segments import Result
from .trimaps import Trimap

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ClipResults:
    """The clips that a job writes.

    results: by their names, in the order of `specs.RESULTS`, so that the matte is the first.
    premultiplied: R'G'B' of results with an alpha channel are multiplied by it.
    background: lies behind the cut-out.
    """

    results: Mapping[str, Result]
    premultiplied: bool = False
    background: Background | None = None

    @classmethod
    def of(cls, job: JobSpec, clip: Clip) -> Self:
        """Return the checked results of a job. Raises `UsageError`, `InputError`, `OutputError`."""
        spec, hw = job.output, clip.first.hw
        results = {}
        for name, path in spec.named.items():
            content: Content | None = "colour" if name in spec.opaque else "alpha"
            # What a matte is in depends on its codec alone.
            codec, content = (spec.codec, None) if name == "alpha" else (None, content)
            results[name] = Result(path, *codec_for(path, codec, content, hw))
        check_outputs(spec.named, job.inputs)
        if spec.sound:
            for path in spec.named.values():
                check_sound(clip, path)
        if spec.premultiplied is not None and all(result.content != "alpha" for result in results.values()):
            raise UsageError("`premultiplied` requires a result with an alpha channel, and there is none; leave it out")
        background = (
            None if spec.background is None else Background(spec.background, job.max_megapixels, spec.background_fit)
        )
        if background is not None:
            # Whether it fits the frames is found now, at an empty one, rather than after hours.
            shape = np.zeros((*hw, 3), np.uint8)
            background.placed(Photo(clip.first.name, shape, shape, clip.first.colours.space), shown=True)
        return cls(results, bool(spec.premultiplied), background)

    def pictures(
        self,
        frame: ClipFrame,
        network: NDArray[np.uint8],
        trimap: Trimap,
        alpha: Floats,
        unmixed: Unmix = unmix,
    ) -> list[Floats]:
        """Return a picture of the frame for each result, as `video.writer.codes_of` takes them.

        Colours are estimated, and mixed with a background, in light; opaque pixels keep the frame's.
        network: (H, W, 3) uint8 sRGB, the frame as the network sees it.
        trimap: is shown in the preview. alpha: (H, W) float32, 0..1. unmixed: finds the colours.
        """
        weight = alpha[:, :, None]
        # Only where they are wanted: to estimate colours takes longer than the network, and mattes need none.
        photo = functools.cache(lambda: frame.photo(network))
        light = functools.cache(lambda: estimate_foreground(photo(), alpha, unmixed))
        colours = functools.cache(lambda: frame.colours.to_signal(light()))

        def picture(name: str, result: Result) -> Floats:
            if name == "preview":
                return _preview(frame, trimap)
            if result.content == "grey":
                return alpha
            if name == "cutout" and self.background is not None:
                behind = self.background.placed(photo(), shown=True)(slice(None))
                return frame.colours.to_signal(light() * weight + behind * (1 - weight))
            if result.content == "colour":
                return colours()
            return np.dstack([colours() * weight if self.premultiplied else colours(), alpha])

        return [picture(name, result) for name, result in self.results.items()]


def _preview(frame: ClipFrame, trimap: Trimap) -> Floats:
    """Return R'G'B' (H, W, 3) of a frame with what is estimated of it tinted."""
    levels = np.rint(frame.signal().clip(0, 1) * 255).astype(np.uint8)
    return trimap_preview(trimap.values, levels, trimap.mask, trimap.box).astype(np.float32) / np.float32(255)
