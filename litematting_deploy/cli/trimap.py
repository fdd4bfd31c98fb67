"""ltm-trimap: a mask to a trimap."""

import os

import click
import numpy as np

from ..errors import UsageError
from ..images.image_io import check_output, read_mask, write_image
from ..images.mask import MaskMeaning
from ..images.photo import read_photo
from ..matting.preview import trimap_preview
from ..matting.trimap import UNKNOWN, from_mask, unsure
from ..matting.unknown_band import Band
from ._trimap import band_options
from .command import command, max_megapixels_option, notice, stdout


@command("ltm-trimap")
@click.argument("mask")
@click.option("-o", "--output", required=True, metavar="TRIMAP.png", help="The trimap: 0, 128, 255.")
@band_options
@click.option("--image", metavar="PHOTO", help="The photo of the mask, for --adaptive and --preview.")
@click.option("--exposure", type=float, metavar="STOPS", help="Of an EXR photo.  [default: 0]")
@click.option(
    "--preview",
    metavar="FILE.png",
    help="Also write a picture of what will be estimated: PHOTO or MASK with the unknown band tinted and outlined.",
)
@max_megapixels_option
def main(
    mask: str,
    output: str,
    mask_threshold: str | None,
    mask_label: tuple[int, ...],
    unknown: Band | None,
    adaptive: bool,
    image: str | None,
    exposure: float | None,
    preview: str | None,
    max_megapixels: float,
) -> None:
    """Make a trimap from MASK, a binary or soft mask or a cut-out with an alpha channel."""
    _check_options(output, adaptive, image, exposure, preview)
    meaning = MaskMeaning.parse(mask_threshold, mask_label)
    for path in filter(None, (output, preview)):
        check_output(path, (mask, image) if image else (mask,))
    photo = None if image is None else read_photo(image, max_megapixels, exposure)
    grey = read_mask(mask, max_megapixels, photo, meaning)
    meaning.check_object(grey, mask)
    seen = None if photo is None else photo.network
    trimap = from_mask(grey, unknown or Band(), mask, seen, adaptive=adaptive, checked=True)
    if not (trimap == UNKNOWN).any():
        notice(f"ltm-trimap: {mask} has no edge: nothing is unknown in its trimap")
    pictures = {output: trimap}
    if preview is not None:
        pictures[preview] = trimap_preview(trimap, grey if seen is None else seen)
    if photo is not None and photo.windows is not None:
        pictures = {path: photo.windows.show(pixels) for path, pixels in pictures.items()}
        trimap = pictures[output]
    for path, pixels in pictures.items():
        write_image(path, pixels)
    height, width = trimap.shape
    share = np.mean(trimap == UNKNOWN)
    lacks = f", {missing}" if (missing := unsure(trimap)) else ""
    stdout.print(
        f"{' and '.join(pictures)}: {width}x{height}, {share:.1%} unknown{lacks}", markup=False, soft_wrap=True
    )


def _check_options(output: str, adaptive: bool, image: str | None, exposure: float | None, preview: str | None) -> None:
    if adaptive and image is None:
        raise click.UsageError("--adaptive looks for hair in the photo; give it with --image PHOTO")
    if image is not None and not adaptive and preview is None:
        raise click.UsageError("--image is for --adaptive and --preview; add one of these or leave it out")
    if exposure is not None and image is None:
        raise click.UsageError("--exposure is of the photo; give it with --image PHOTO")
    if preview is not None and os.path.realpath(preview) == os.path.realpath(output):
        raise UsageError(f"{preview}: the trimap and its preview need two different files")
