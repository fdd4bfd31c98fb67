"""One trimap to a file: from a mask, or from a photo and nothing else."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..images.encode import write_image
from ..images.mask import read_mask
from ..images.photo import read_photo
from ..images.results import check_outputs, check_suffix
from ..matting.composite import trimap_preview
from ..matting.unknown_band import Widths
from ..segmentation.maker import open_maker
from ..specs import AUTO, MAX_MEGAPIXELS, ExrSpec, TrimapSpec
from .frames import is_many
from .trimaps import band_of, closing_masks, meaning_of, trimap_for, trimap_of


@dataclass(frozen=True)
class TrimapResult:
    """A trimap that was made.

    files: the files that were written.
    trimap: (H, W) uint8 of 0 / 128 / 255, as it was written.
    pieces: in how many pieces the mask is that was made from the photo, where they are many.
    beyond: what to say of a box that reaches beyond the photo.
    band_px: the narrowest and the widest unknown band of its objects, in pixels on each side of the edge.
    """

    files: tuple[str, ...]
    trimap: NDArray[np.uint8]
    pieces: int | None = None
    beyond: str | None = None
    band_px: Widths | None = None


def write_trimap(
    source: str,
    output: str,
    spec: TrimapSpec,
    *,
    image: str | None = None,
    preview: str | None = None,
    exr: ExrSpec = ExrSpec(),
    device: str = AUTO,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> TrimapResult:
    """Make a trimap from the mask in a file, or from a photo alone, and write it as PNG or TIFF.

    source: the mask or, where the spec makes one from it, the photo. spec: how the mask is read or made, and its
    unknown band. image: the photo of a given mask, for an adaptive band and for the preview. preview: a file for a
    picture of what will be estimated. exr: how an OpenEXR photo is read. device: of a segmenter. Raises `UsageError`,
    `InputError`, `OutputError`, and what opening a segmenter raises.
    """
    made = spec.kind == "photo"
    if is_many(source):
        what = "`mask`" if spec.kind == "mask" else f"the photos, with `{spec.ways[0]}`"
        raise UsageError(
            f"{source}: is many pictures, and one trimap is made from one; give a single file or, to matte all of "
            f"them, give the folder or pattern to ltm-infer as {what}"
        )
    _check(spec, image, preview, exr, device)
    meaning, _ = meaning_of(spec), band_of(spec)
    named = {"output": output} | ({} if preview is None else {"preview": preview})
    for path in named.values():
        check_suffix(path)
    check_outputs(named, (source, *spec.files, *filter(None, (image,))))
    photo_path = source if made else image
    photo = None if photo_path is None else read_photo(photo_path, max_megapixels, exr)
    if photo is not None and made:
        with closing_masks(open_maker(spec, device, None, max_megapixels, exr=exr)) as maker:
            trimap = trimap_for(photo, source, spec, max_megapixels, alone=True, maker=maker)
        shown = photo.network
    else:
        grey = read_mask(source, max_megapixels, photo, meaning)
        meaning.check_object(grey, source)
        trimap = trimap_of(grey, spec, source, None if photo is None else photo.network)
        shown = grey if photo is None else photo.network
    pictures = {output: trimap.values}
    if preview is not None:
        pictures[preview] = trimap_preview(trimap.values, shown, trimap.mask, trimap.box)
    if photo is not None and photo.windows is not None:
        # Inside, pixels are those of the data window; PNG and TIFF hold what is shown.
        pictures = {path: photo.windows.show(pixels) for path, pixels in pictures.items()}
    for path, pixels in pictures.items():
        write_image(path, pixels)
    return TrimapResult(tuple(pictures), pictures[output], trimap.pieces, trimap.beyond, trimap.band_px)


def _check(spec: TrimapSpec, image: str | None, preview: str | None, exr: ExrSpec, device: str) -> None:
    """Raise `UsageError` for arguments of `write_trimap` that do not fit each other."""
    made = spec.kind == "photo"
    if made and image is not None:
        raise UsageError(
            "`image` is the photo that a mask belongs to, but here the photo itself is given; leave it out"
        )
    if device != AUTO and spec.segmenter is None:
        raise UsageError("`device` requires `segmenter`, which it runs; add it, or leave `device` out")
    if spec.adaptive and image is None and not made:
        raise UsageError("`adaptive` requires `image`, the photo in which it looks for fine edges; add it")
    if image is not None and not spec.adaptive and preview is None:
        raise UsageError("`image` requires `adaptive` or `preview`; add one of them, or leave it out")
    for name in exr.differing() if image is None and not made else ():
        raise UsageError(f"`{name}` requires `image`, the photo that it applies to; add it", parameter=name)
