"""The results of photos: which files come out of a photo and its alpha, and what there is to say about them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ForegroundError, InputError, UsageError, counted
from ..images.background import Background
from ..images.encode import MOST_JPEG_SIDE, write_image
from ..images.photo import Photo
from ..images.results import check_depth, check_outputs, check_suffix, result_dtype
from ..images.suffixes import (
    JPEG_SUFFIXES,
    PNG_SUFFIX,
    RESULT_FORMATS,
    RESULT_SUFFIXES,
    WRITE_SUFFIXES,
    is_exr_name,
    is_jpeg_name,
)
from ..matting.composite import alpha_picture, composite_picture, cutout_picture, foreground_picture, trimap_preview
from ..matting.foreground import estimate_foreground
from ..matting.trimap import FOREGROUND, UNKNOWN, unsure
from ..matting.unknown_band import Widths
from ..matting.unmixing import Unmix, unmix
from ..parameters import Amount
from ..specs import Format, JobSpec, OutputSpec, TrimapSpec
from .trimaps import Trimap

_THIN = 0.1
"""Of the unknown pixels, about half lie inside the mask: with so few sure ones, the subject is nearly all unknown."""


@dataclass(frozen=True)
class Results:
    """The files of one photo.

    inputs: the files that they are made from, which must not be overwritten.
    truncate: levels of alpha are cut off instead of rounded.
    background: the background that `spec` names, read.
    """

    spec: OutputSpec
    inputs: tuple[str, ...]
    truncate: bool
    background: Background | None = None

    @classmethod
    def of(cls, job: JobSpec) -> Self:
        """Return the checked results of the job of one photo.

        Raises `UsageError`, `OutputError`, and `InputError` for the image of a background.
        """
        spec = job.output
        results = cls(spec, job.inputs, job.plan.published)
        results.check()
        check_depth([path for path in (spec.alpha, *results.colours) if path is not None], spec.depth)
        if spec.background is None:
            return results
        return replace(results, background=Background(spec.background, job.max_megapixels, spec.background_fit))

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all files."""
        return tuple(self.spec.named.values())

    @property
    def colours(self) -> tuple[str, ...]:
        """The files for which the foreground's colours must be estimated."""
        return tuple(path for path in (self.spec.foreground, self.spec.cutout) if path is not None)

    def check(self) -> None:
        """Raise before any work is done when a file cannot be written, or is one of the inputs or another result."""
        for name, path in self.spec.named.items():
            opaque = name in self.spec.opaque
            if is_jpeg_name(path) and not opaque:
                lacks = "transparency; give `background`, too, or" if name == "cutout" else "exact values;"
                raise UsageError(
                    f"{path}: the {'cut-out' if name == 'cutout' else name} cannot be a JPEG, which has no {lacks} "
                    f"choose one of {', '.join(RESULT_SUFFIXES)}"
                )
            # A preview is to look at, which OpenEXR is not for.
            lossless = WRITE_SUFFIXES if name == "preview" else RESULT_SUFFIXES
            check_suffix(path, (*lossless, *(JPEG_SUFFIXES if opaque else ())))
        check_outputs(self.spec.named, self.inputs)

    def check_photo(self, photo: Photo) -> None:
        """Raise `InputError` before the matte is computed when the files of this photo could not be made."""
        if self.colours:
            photo.check_finite()
        if any(map(is_jpeg_name, self.colours)) and max(photo.pixels.shape) > MOST_JPEG_SIDE:
            raise InputError(
                f"{photo.path}: a side is longer than {MOST_JPEG_SIDE} pixels, the limit of JPEG; write PNG or TIFF"
            )
        if self.spec.cutout is not None and self.background is not None:
            self.background.placed(photo, not is_exr_name(self.spec.cutout))

    def clipped_share(self, photo: Photo) -> float:
        """Return the share, 0..1, of the photo's values whose light PNG and TIFF results of its colours cannot hold."""
        if not photo.is_linear or all(map(is_exr_name, self.colours)):
            return 0.0
        return float(np.mean((photo.pixels < 0) | (photo.pixels > 1)))

    def lost_colour(self, photo: Photo) -> tuple[str, ...]:
        """Return which chunks of a PNG photo's colours its results in other formats miss, as cICP and mDCV."""
        others = [path for path in self.colours if Path(path).suffix.lower() != PNG_SUFFIX]
        missed = [name for path in others for name in photo.lost_colour(numbers_kept=not is_exr_name(path))]
        return tuple(dict.fromkeys(missed))

    def write(
        self,
        photo: Photo,
        alpha: NDArray[np.float32],
        unmixed: Unmix = unmix,
        estimating: Callable[[], object] = lambda: None,
    ) -> None:
        """Write all files but the preview of a photo and its alpha (H, W), 0..1; each appears whole or not at all.

        The alpha is written first, so that it is there whatever becomes of the colours.
        unmixed: finds the colours. estimating: is called before it does.

        Raises `ForegroundError` where the colours cannot be estimated, and `OutputError`.
        """
        spec = self.spec
        if spec.alpha is None:  # then the preview is all that is wanted
            return
        dtypes = {path: result_dtype(path, photo, spec.depth) for path in (spec.alpha, *self.colours)}
        # Estimated colours come in the photo's own levels, and 256 of them are too few for a deeper result.
        if any(dtype != np.uint8 for dtype in dtypes.values()):
            photo = photo.deepened()
        write_image(spec.alpha, alpha_picture(photo, alpha, dtypes[spec.alpha], self.truncate), photo.metadata)
        if not self.colours:
            return
        estimating()
        try:
            colours = estimate_foreground(photo, alpha, unmixed)
        except ForegroundError as error:
            others = " and ".join(filter(None, (spec.cutout, spec.foreground)))
            raise ForegroundError(f"{error}; {spec.alpha} was written, {others} was not") from error
        if spec.foreground is not None:
            pixels = foreground_picture(photo, colours, dtypes[spec.foreground])
            write_image(spec.foreground, pixels, photo.metadata)
        if spec.cutout is not None:
            # OpenEXR holds associated alpha by its standard, and PNG straight alpha.
            premultiplied = is_exr_name(spec.cutout) if spec.premultiplied is None else spec.premultiplied
            dtype = dtypes[spec.cutout]
            if self.background is not None:
                pixels = composite_picture(photo, colours, alpha, self.background, dtype)
            else:
                pixels = cutout_picture(photo, colours, alpha, dtype, premultiplied, self.truncate)
            write_image(spec.cutout, pixels, photo.metadata, premultiplied)

    def write_preview(self, photo: Photo, trimap: Trimap) -> None:
        """Write the preview of a photo, its trimap, and what that was made from, where one is wanted."""
        if self.spec.preview is not None:
            look: NDArray[Any] = trimap_preview(trimap.values, photo.network, trimap.mask, trimap.box)
            # A preview is a PNG or TIFF, which show the display window.
            write_image(self.spec.preview, look if photo.windows is None else photo.windows.show(look))


def suffix_of(result: str, kind: Format) -> str:
    """Return the ending of a result by its name. A preview is for looking at, and an alpha must be exact."""
    return PNG_SUFFIX if result == "preview" or (kind == "jpeg" and result == "alpha") else RESULT_FORMATS[kind]


def say_share(share: float) -> str:
    """Return a share above 0 in percent."""
    # A few pixels would be 0.0 %.
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def say_shares(trimap: NDArray[np.uint8]) -> str:
    """Return how much of a trimap (H, W) of 0 / 128 / 255 is unknown and how much sure foreground, and what to try
    where the unknown band leaves next to nothing of the subject."""
    unknown, sure = (float(np.mean(trimap == value)) for value in (UNKNOWN, FOREGROUND))
    said = f"{unknown:.1%} of the pixels are unknown, {unsure(trimap) or f'{sure:.1%} sure foreground'}"
    if sure < _THIN * unknown:
        said += "; the unknown band covers nearly all of the subject: try a narrower one, such as `unknown_width=2%`"
    return said


def say_band(band_px: Widths | None, spec: TrimapSpec) -> str:
    """Return how wide the unknown band of masks became, unless the spec says it in pixels already; then nothing."""
    given = spec.unknown_width
    if band_px is None or (given is not None and not Amount.parse(given, "unknown_width").percent):
        return ""
    wider = ", wider at fine edges" if spec.adaptive else ""
    return f"{say_width(band_px)}{' (automatic)' if given is None else ''}{wider}"


def say_width(band_px: Widths) -> str:
    """Return how wide an unknown band is."""
    least, most = map(round, band_px)
    width = f"{most}" if least == most else f"{least} to {most}"
    return f"unknown band {width} px on each side of the edge"


def say_lost(chunks: tuple[str, ...], photos: str) -> str:
    """Return what to say of chunks that results miss."""
    said = ", ".join(chunks)
    return f"TIFF, JPEG and OpenEXR cannot store the colour description of {photos} ({said}); write .png to keep it"


@dataclass(frozen=True)
class Remarks:
    """What may surprise about a frame that was matted.

    unsure: what its trimap lacks, in words.
    clipped: the share, 0..1, of its light that PNG and TIFF results cut off.
    lost_colour: the chunks of a PNG photo's colours that its results lack.
    pieces: in how many pieces a mask is that was made from the photo, where they are many.
    beyond: what to say of a box that reaches beyond the frame.
    """

    unsure: str | None = None
    clipped: float = 0.0
    lost_colour: tuple[str, ...] = ()
    pieces: int | None = None
    beyond: str | None = None

    def __bool__(self) -> bool:
        return self != Remarks()


def say_unsure(remarks: Mapping[str, Remarks]) -> str:
    """Return the end of a job's last line: how many trimaps lack sure foreground or background, and the first one."""
    unsure = {name: said.unsure for name, said in remarks.items() if said.unsure is not None}
    if not unsure:
        return ""
    name, what = min(unsure.items())
    return f"; trimaps without sure foreground or background: {len(unsure)} ({name}: {what})"


def notes(remarks: Mapping[str, Remarks]) -> list[str]:
    """Return one line each for light that was cut off, colour descriptions that were lost, masks in pieces and boxes
    beyond the frame."""
    clipped = [said.clipped for said in remarks.values() if said.clipped]
    lost = [said.lost_colour for said in remarks.values() if said.lost_colour]
    lines = []
    if clipped:
        lines.append(
            f"PNG and TIFF clip values outside 0..1: in {counted(len(clipped), 'frame')}, up to "
            f"{say_share(max(clipped))} of a frame; `format=exr` keeps them"
        )
    if lost:
        chunks = tuple(dict.fromkeys(chunk for chunks in lost for chunk in chunks))
        lines.append(say_lost(chunks, f"the photo, in {counted(len(lost), 'frame')},"))
    pieces = {name: said.pieces for name, said in remarks.items() if said.pieces}
    if pieces:
        most = max(pieces, key=lambda name: pieces[name] or 0)
        others = f" (the most of {len(pieces)} masks with many)" if len(pieces) > 1 else ""
        lines.append(say_pieces(pieces[most] or 0, most, others))
    beyond = {name: said.beyond for name, said in remarks.items() if said.beyond}
    if beyond:
        name, what = min(beyond.items())
        lines.append(f"{name}: {what}; frames that it reaches beyond: {len(beyond)}")
    return lines


def say_pieces(pieces: int, name: str, others: str = "") -> str:
    """Return what to say of a photo whose mask is in many pieces. others: how it compares with other photos."""
    return f"{name}: the mask made from it has {pieces} pieces{others}; `largest=1` keeps only the largest"
