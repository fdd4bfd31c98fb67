"""ltm-trimap: a mask to a trimap."""

import os

import click
import numpy as np

from ..errors import UsageError
from ..matting.band import Band
from ..matting.image_io import check_output, read_image, read_mask, write_image
from ..matting.trimap import UNKNOWN, from_mask
from ..matting.trimap_preview import trimap_preview
from ._command import command, max_megapixels_option, notice, stdout
from ._trimap import band_options


@command("ltm-trimap")
@click.argument("mask")
@click.option("-o", "--output", required=True, metavar="TRIMAP.png", help="The trimap: 0, 128, 255.")
@band_options
@click.option("--image", metavar="PHOTO", help="The photo of the mask, for --adaptive and --preview.")
@click.option(
    "--preview",
    metavar="FILE.png",
    help="Also write a picture of what will be estimated: PHOTO or MASK with the unknown band tinted and outlined.",
)
@max_megapixels_option
def main(
    mask: str,
    output: str,
    unknown: Band | None,
    adaptive: bool,
    image: str | None,
    preview: str | None,
    max_megapixels: float,
) -> None:
    """Make a trimap from MASK, a binary or soft mask or a cut-out with an alpha channel."""
    _check_options(output, adaptive, image, preview)
    for path in filter(None, (output, preview)):
        check_output(path, (mask, image) if image else (mask,))
    grey = read_mask(mask, max_megapixels)
    photo = None if image is None else read_image(image, max_megapixels)
    trimap = from_mask(grey, unknown or Band(), mask, photo, adaptive=adaptive)
    if not (trimap == UNKNOWN).any():
        notice(f"ltm-trimap: {mask} has no edge: nothing is unknown in its trimap")
    pictures = {output: trimap}
    if preview is not None:
        pictures[preview] = trimap_preview(trimap, grey if photo is None else photo)
    for path, pixels in pictures.items():
        write_image(path, pixels)
    height, width = trimap.shape
    share = np.mean(trimap == UNKNOWN)
    stdout.print(f"{' and '.join(pictures)}: {width}x{height}, {share:.1%} unknown", markup=False, soft_wrap=True)


def _check_options(output: str, adaptive: bool, image: str | None, preview: str | None) -> None:
    if adaptive and image is None:
        raise click.UsageError("--adaptive looks for hair in the photo; give it with --image PHOTO")
    if image is not None and not adaptive and preview is None:
        raise click.UsageError("--image is for --adaptive and --preview; add one of these or leave it out")
    if preview is not None and os.path.realpath(preview) == os.path.realpath(output):
        raise UsageError(f"{preview}: the trimap and its preview need two different files")
