"""ltm-trimap: a mask to a trimap."""

from typing import Any

import click

from ..jobs.trimaps import write_trimap
from ..specs import TrimapSpec
from .command import command, notice, say
from .options import exr_options, mask_options, max_megapixels_option


@command("ltm-trimap")
@click.argument("mask")
@click.option("-o", "--output", required=True, metavar="TRIMAP.png", help="The trimap: 0, 128, 255.")
@mask_options
@click.option("--image", metavar="PHOTO", help="The photo of the mask, for --adaptive and --preview.")
@exr_options
@click.option(
    "--preview",
    metavar="FILE.png",
    help="Also write a picture of what will be estimated: PHOTO or MASK with the unknown band tinted and outlined.",
)
@max_megapixels_option
def main(mask: str, output: str, **options: Any) -> None:
    """Make a trimap from MASK, a binary or soft mask or a cut-out with an alpha channel."""
    of_files = {
        name: options.pop(name) for name in ("image", "preview", "exposure", "layer", "input_space", "max_megapixels")
    }
    result = write_trimap(mask, output, TrimapSpec.of(options, kind="mask"), **of_files)
    if not result.unknown_share:
        notice(f"ltm-trimap: {mask} has no edge: nothing is unknown in its trimap")
    height, width = result.trimap.shape
    lacking = f", {result.lacking}" if result.lacking else ""
    say(f"{' and '.join(result.files)}: {width}x{height}, {result.unknown_share:.1%} unknown{lacking}")
