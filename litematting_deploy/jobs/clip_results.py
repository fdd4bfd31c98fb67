"""The results of a clip: which clips come out of it, and the pictures of a frame and its alpha in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..files import check_writable
from ..images.background import Background
from ..images.photo import Photo
from ..matting.foreground import estimate_foreground
from ..specs import JobSpec
from ..video.codecs import codec_for
from ..video.mux import check_sound
from ..video.reader import Clip, ClipFrame
from ..video.segments import Result

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ClipResults:
    """The clips that a job writes.

    results: in the order of the pictures; the matte is the first.
    premultiplied: R'G'B' of results with an alpha channel are multiplied by it.
    background: lies behind the result of index `composite`.
    """

    results: tuple[Result, ...]
    premultiplied: bool = False
    background: Background | None = None
    composite: int | None = None

    @classmethod
    def of(cls, job: JobSpec, clip: Clip) -> Self:
        """Return the checked results of a job. Raises `UsageError`, `InputError`, `OutputError`."""
        spec, hw = job.output, clip.first.hw
        results, composite = [Result(spec.alpha, *codec_for(spec.alpha, spec.codec, None, hw))], None
        if spec.cutout is not None:
            composite = None if spec.background is None else len(results)
            content = codec_for(spec.cutout, None, "alpha" if spec.background is None else "colour", hw)
            results.append(Result(spec.cutout, *content))
        if spec.foreground is not None:
            results.append(Result(spec.foreground, *codec_for(spec.foreground, None, "colour", hw)))
        taken = {Path(path).resolve() for path in (job.images, job.source)}
        for result in results:
            place = Path(result.path).resolve()
            if place in taken:
                raise UsageError(f"{result.path}: is an input or another result, too; choose another name")
            taken.add(place)
            check_writable(place)
            if spec.sound:
                check_sound(clip, result.path)
        if spec.premultiplied is not None and all(result.content != "alpha" for result in results):
            raise UsageError(
                "`premultiplied` is about an alpha channel, and no result has one; leave it out",
                parameter="premultiplied",
            )
        background = None if spec.background is None else Background(spec.background, job.max_megapixels)
        if background is not None:
            shape = np.zeros((*hw, 3), np.uint8)
            background.placed(Photo(clip.first.name, shape, shape, clip.first.colours.space), shown=True)
        return cls(tuple(results), bool(spec.premultiplied), background, composite)

    def pictures(self, frame: ClipFrame, network: NDArray[np.uint8], alpha: Floats) -> list[Floats]:
        """Return a picture of the frame for each result, as `video.writer.codes_of` takes them.

        Colours are estimated, and mixed with a background, in light; opaque pixels keep the frame's.
        network: (H, W, 3) uint8 sRGB, the frame as the network sees it.
        alpha: (H, W) float32, 0..1.
        """
        if all(result.content == "grey" for result in self.results):
            return [alpha for _ in self.results]
        photo, weight = frame.photo(network), alpha[:, :, None]
        light = estimate_foreground(photo, alpha)
        colours = frame.colours.to_signal(light)
        pictures = []
        for index, result in enumerate(self.results):
            if result.content == "grey":
                pictures.append(alpha)
            elif index == self.composite and self.background is not None:
                behind = self.background.placed(photo, shown=True)(slice(None))
                pictures.append(frame.colours.to_signal(light * weight + behind * (1 - weight)))
            elif result.content == "colour":
                pictures.append(colours)
            else:
                pictures.append(np.dstack([colours * weight if self.premultiplied else colours, alpha]))
        return pictures
