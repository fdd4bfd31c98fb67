"""Which trimap a photo has: read from a file, made from a mask, or from a mask that is made from the photo; and what
many of them must show between them.

A single trimap or mask of a sequence may lack unknown pixels or sure foreground, since an object leaves the picture or
fades. Where all of them do, they are something else.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DimMaskError, InputError
from ..images.mask import MaskMeaning, read_mask, read_trimap
from ..images.photo import Photo, read_photo
from ..matting.trimap import DOUBT, UNKNOWN, banded, decode, may_be_mask, no_unknown
from ..matting.unknown_band import Band, Widths
from ..segmentation.box import Box, say_beyond
from ..segmentation.maker import MaskMaker, open_maker
from ..segmentation.model import Segmenter
from ..segmentation.pieces import MANY, SoftMask, count_pieces, largest_pieces
from ..specs import DEFAULT_UNKNOWN_WIDTH, JobSpec, TrimapSpec
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


@dataclass(frozen=True, eq=False)
class Trimap:
    """The trimap of a photo.

    values: (H, W) uint8 of 0 / 128 / 255.
    mask: (H, W) uint8, where one was made from the photo. pieces: in how many it is, where these are many.
    box: x, y, width and height in pixels of the box that it was made from. beyond: what to say of a box that reaches
    beyond the photo.
    band_px: the widths of the unknown band that a mask was given; None where there was no mask, or no edge.
    """

    values: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None
    pieces: int | None = None
    box: Box | None = None
    beyond: str | None = None
    band_px: Widths | None = None


def open_masks(job: JobSpec, opened: Segmenter | None = None) -> MaskMaker | None:
    """Open what makes the masks of a job, on the device of its engine; None where they, or trimaps, are given.

    opened: the segmenter of the job, where somebody has opened it.
    """
    return open_maker(job.trimap, job.engine.device, job.engine.threads, job.max_megapixels, opened, job.exr)


def closing_masks(maker: MaskMaker | None) -> AbstractContextManager[MaskMaker | None]:
    """Return what closes what makes masks, if anything does, at the end of a `with`."""
    return nullcontext() if maker is None else closing(maker)


def trimap_for(
    photo: Photo, source: str, spec: TrimapSpec, max_megapixels: float, *, alone: bool, maker: MaskMaker | None = None
) -> Trimap:
    """Return the trimap of a photo, read, made from a mask, or made from a mask that is made from the photo.

    source: the file of the trimap or mask.
    alone: it is not one of a sequence, where an object may leave the frame. A plain mask is then refused as a trimap,
    and a mask must show an object.
    maker: what makes masks, where the spec says so.

    Raises `InputError`.
    """
    if maker is not None:
        made = made_trimap(photo.network, spec, maker.on(photo), photo.path, alone=alone)
        if photo.windows is None or spec.box is None:
            return made
        return replace(made, beyond=say_beyond(spec.box, photo.windows.display.hw))
    if spec.kind == "trimap":
        grey = photo.fit(read_trimap(source, max_megapixels), source)
        trimap = decode(grey, spec.trimap_encoding or "exact", source)
        if alone and not spec.allow_no_unknown and may_be_mask(trimap):
            raise no_unknown(source)
        return Trimap(trimap)
    meaning = meaning_of(spec)
    mask = read_mask(source, max_megapixels, photo, meaning, alone)
    if alone:
        meaning.check_object(mask, source)
    return trimap_of(mask, spec, source, photo.network)


def trimap_of(mask: NDArray[np.uint8], spec: TrimapSpec, name: str, image: NDArray[np.uint8] | None) -> Trimap:
    """Return the trimap of a given mask (H, W) uint8, which was looked at as it was read.

    name: begins an error. image: (H, W, 3) uint8, the photo, where it is known.
    """
    if spec.largest is not None:
        soft = np.divide(mask, 255, dtype=np.float32)
        mask = np.where(largest_pieces(soft, spec.largest) > 0, mask, np.uint8(0))
    values, widths = banded(mask, band_of(spec), name, image, adaptive=spec.adaptive, checked=True, doubt=spec.doubt)
    return Trimap(values, band_px=widths)


def made_trimap(
    image: NDArray[np.uint8], spec: TrimapSpec, maker: MaskMaker, name: str, *, alone: bool = True
) -> Trimap:
    """Return the trimap of a photo whose mask is made from it.

    image: (H, W, 3) uint8, as the network sees the photo. name: begins an error. alone: as `trimap_for` has it.
    Raises `InputError` for a photo in which no object, or nothing else, is found.
    """
    return trimap_of_made(maker(image, name), image, spec, maker, name, alone=alone)


def trimap_of_made(
    soft: SoftMask, image: NDArray[np.uint8], spec: TrimapSpec, maker: MaskMaker, name: str, *, alone: bool
) -> Trimap:
    """Return the trimap of a mask (H, W), 0..1, that `maker` has made; the rest as `made_trimap` takes it."""
    doubt = spec.doubt or maker.doubt or DOUBT
    pieces = count_pieces(soft)
    if spec.largest is not None:
        soft, pieces = largest_pieces(soft, spec.largest), 1
    if alone and not (soft >= doubt[1]).any():
        raise maker.nothing(name, full=False)
    if alone and not (soft <= doubt[0]).any():
        raise maker.nothing(name, full=True)
    mask = np.asarray(np.rint(soft * 255), np.uint8)
    if spec.unknown_width is None:
        width = maker.band(mask.shape)
        band = Band(width.value, width.percent)
    else:
        band = band_of(spec)
    values, widths = banded(mask, band, name, image, adaptive=spec.adaptive, checked=True, doubt=doubt)
    beyond = None if maker.box is None else say_beyond(maker.box, mask.shape)
    return Trimap(values, mask, pieces if pieces >= MANY else None, maker.box, beyond, widths)


def photo_of(image: str | Path, job: JobSpec) -> Photo:
    """Return a photo as the job says that it is read. Raises `InputError`."""
    return read_photo(image, job.max_megapixels, job.exr)


def read_pair(
    image: str, source: str, job: JobSpec, maker: MaskMaker | None = None, *, alone: bool = False
) -> tuple[Photo, Trimap]:
    """Return a photo and its trimap; see `trimap_for`. Raises `InputError`."""
    photo = photo_of(image, job)
    return photo, trimap_for(photo, source, job.trimap, job.max_megapixels, alone=alone, maker=maker)


def check_sequence(job: JobSpec) -> None:
    """Check the trimaps or masks of a folder together, before any frame is matted or handed out.

    All frames count, whatever `frames` and `shard` choose, so that each machine of a farm comes to the same answer.
    Raises `InputError` where no trimap has unknown pixels, or no mask reaches the top of its range.
    """
    spec, limit = job.trimap, job.max_megapixels
    if spec.kind == "photo":
        return

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
    read says nothing, since it fails its frame; nor does a black mask, or a trimap that is all of one kind.

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
            lacking = lacking or DimMaskError(f"{name}: no mask reaches the top of its range: {dim}")
        except InputError:
            continue
        else:
            if (grey == UNKNOWN).any() if of_trimaps else grey.any():
                return
            if of_trimaps and may_be_mask(grey):
                lacking = no_unknown(name)
    if lacking is not None:
        raise lacking
