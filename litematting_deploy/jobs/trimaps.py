"""Which trimap a photo has: read from a file, or made from a mask; and what many of them must show between them.

A single trimap or mask of a sequence may lack unknown pixels or sure foreground, since an object leaves the picture or
fades. Where all of them do, they are something else.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DimMaskError, InputError, UsageError
from ..images.encode import write_image
from ..images.mask import MaskMeaning, read_mask, read_trimap
from ..images.photo import Photo, read_photo
from ..images.results import check_output
from ..matting.composite import trimap_preview
from ..matting.trimap import UNKNOWN, decode, from_mask, no_unknown, unsure
from ..matting.unknown_band import Band
from ..specs import DEFAULT_UNKNOWN_WIDTH, MAX_MEGAPIXELS, JobSpec, TrimapSpec
from .frames import find_sources

_STRIDES = (64, 8, 1)
"""The order in which files are looked at: an object may be out of the picture for many frames on end."""

Read = Callable[[], NDArray[np.uint8]]
"""Reads one trimap or mask (H, W); raises `InputError`."""


def meaning_of(spec: TrimapSpec) -> MaskMeaning:
    """Return which values of a mask are the object. Raises `UsageError`."""
    return MaskMeaning.parse(spec.mask_threshold, spec.mask_labels)


def band_of(spec: TrimapSpec) -> Band:
    """Return the unknown band of a mask. Raises `UsageError`."""
    return Band.parse(DEFAULT_UNKNOWN_WIDTH if spec.unknown_width is None else spec.unknown_width, "unknown_width")


def trimap_for(photo: Photo, source: str, spec: TrimapSpec, max_megapixels: float, *, alone: bool) -> NDArray[np.uint8]:
    """Return the trimap of a photo, (H, W) uint8 of 0 / 128 / 255, read from a trimap or made from a mask.

    source: the file of the trimap or mask.
    alone: it is not one of a sequence, where an object may leave the frame: it must have unknown pixels or an object.

    Raises `InputError`.
    """
    if spec.kind == "trimap":
        grey = photo.fit(read_trimap(source, max_megapixels), source)
        trimap = decode(grey, spec.trimap_encoding or "exact", source)
        if alone and not spec.allow_no_unknown and not (trimap == UNKNOWN).any():
            raise no_unknown(source)
        return trimap
    meaning = meaning_of(spec)
    mask = read_mask(source, max_megapixels, photo, meaning, alone)
    if alone:
        meaning.check_object(mask, source)
    return from_mask(mask, band_of(spec), source, photo.network, adaptive=spec.adaptive, checked=True)


def read_pair(image: str, source: str, job: JobSpec, *, alone: bool = False) -> tuple[Photo, NDArray[np.uint8]]:
    """Return a photo and its trimap (H, W) of 0 / 128 / 255; see `trimap_for`. Raises `InputError`."""
    photo = read_photo(image, job.max_megapixels, job.exposure, job.layer, job.input_space)
    return photo, trimap_for(photo, source, job.trimap, job.max_megapixels, alone=alone)


def check_sequence(job: JobSpec) -> None:
    """Check the trimaps or masks of a folder together, before any frame is matted or handed out.

    All frames count, whatever `frames` and `shard` choose, so that each machine of a farm comes to the same answer.
    Raises `InputError` where no trimap has unknown pixels, or no mask reaches the top of its range.
    """
    spec, limit = job.trimap, job.max_megapixels

    def read(path: Path) -> NDArray[np.uint8]:
        if spec.kind == "mask":
            return read_mask(path, limit)
        return decode(read_trimap(path, limit), spec.trimap_encoding or "exact", str(path))

    frames = find_sources(job.images, job.source).frames
    files = [frame.trimap for frame in frames if frame.trimap is not None]
    check_together(spec, (partial(read, path) for path in spread(files)), job.source)


def spread(files: Sequence[Path]) -> list[Path]:
    """Return files in an order that soon comes to one with an object."""
    return list(dict.fromkeys(path for stride in _STRIDES for path in files[::stride]))


def check_together(spec: TrimapSpec, sources: Iterable[Read], name: str) -> None:
    """Check trimaps or masks that belong together, as far as one of them must show what they are; see the module.

    Reading stops at the first that does, which is one of the first as a rule: a trimap with unknown pixels, or a mask
    that reaches the top of its range; from there the others, as those of a fade, have their scale. One that cannot be
    read says nothing, since it fails its frame; nor does a black mask.

    Raises `InputError` naming `name` where none does: for masks `DimMaskError`, and only if one is dim.
    """
    of_trimaps = spec.kind == "trimap"
    # A threshold or class ids say what the object is, however dim the mask.
    if spec.allow_no_unknown or not (of_trimaps or meaning_of(spec).is_default):
        return
    lacking: InputError | None = None
    for read in sources:
        try:
            grey = read()
        except DimMaskError as dim:
            lacking = lacking or DimMaskError(f"{name}: no mask there reaches the top of its range: {dim}")
        except InputError:
            continue
        else:
            if (grey == UNKNOWN).any() if of_trimaps else grey.any():
                return
            if of_trimaps:
                lacking = no_unknown(name)
    if lacking is not None:
        raise lacking


@dataclass(frozen=True)
class TrimapResult:
    """A trimap that was made from a mask.

    files: the files that were written.
    trimap: (H, W) uint8 of 0 / 128 / 255, as it was written.
    lacking: what it has no pixel of, as "no sure foreground"; None where it has both sides.
    """

    files: tuple[str, ...]
    trimap: NDArray[np.uint8]
    lacking: str | None

    @property
    def unknown_share(self) -> float:
        """The share of unknown pixels, 0..1."""
        return float(np.mean(self.trimap == UNKNOWN))


def write_trimap(
    mask: str,
    output: str,
    spec: TrimapSpec,
    *,
    image: str | None = None,
    preview: str | None = None,
    exposure: float | None = None,
    layer: str | None = None,
    input_space: str | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> TrimapResult:
    """Make a trimap from the mask in a file and write it as PNG or TIFF.

    spec: how the mask is read, and its unknown band. image: the photo of the mask, for an adaptive band and for the
    preview. preview: a file for a picture of what will be estimated. exposure, layer, input_space: of an OpenEXR
    photo, see `read_photo`. Raises `UsageError`, `InputError`, `OutputError`.
    """
    if spec.adaptive and image is None:
        raise UsageError("`adaptive` looks for hair in the photo; give it as `image`")
    if image is not None and not spec.adaptive and preview is None:
        raise UsageError("`image` is for `adaptive` and `preview`; add one of these or leave it out")
    for name, value in {"exposure": exposure, "layer": layer, "input_space": input_space}.items():
        if value is not None and image is None:
            raise UsageError(f"`{name}` is of the photo; give that as `image`", parameter=name)
    if preview is not None and os.path.realpath(preview) == os.path.realpath(output):
        raise UsageError(f"{preview}: the trimap and its preview need two different files", parameter="preview")
    meaning, band = meaning_of(spec), band_of(spec)
    for path in filter(None, (output, preview)):
        check_output(path, (mask, image) if image else (mask,))
    photo = None if image is None else read_photo(image, max_megapixels, exposure, layer, input_space)
    grey = read_mask(mask, max_megapixels, photo, meaning)
    meaning.check_object(grey, mask)
    seen = None if photo is None else photo.network
    trimap = from_mask(grey, band, mask, seen, adaptive=spec.adaptive, checked=True)
    pictures = {output: trimap}
    if preview is not None:
        pictures[preview] = trimap_preview(trimap, grey if seen is None else seen)
    if photo is not None and photo.windows is not None:
        # Inside, pixels are those of the data window; PNG and TIFF hold what is shown.
        pictures = {path: photo.windows.show(pixels) for path, pixels in pictures.items()}
    for path, pixels in pictures.items():
        write_image(path, pixels)
    return TrimapResult(tuple(pictures), pictures[output], unsure(pictures[output]))
