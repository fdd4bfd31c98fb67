"""ltm-trimap: a mask, or a photo and nothing else, to a trimap."""

from typing import Any

import click

from ..jobs.outputs import say_pieces
from ..jobs.trimap_file import write_trimap
from ..specs import WAYS, TrimapSpec
from .command import command, notice, say
from .options import engine_option, exr_options, made_mask_options, mask_options, max_megapixels_option


@command("ltm-trimap")
@click.argument("source", metavar="MASK|PHOTO")
@click.option("-o", "--output", required=True, metavar="TRIMAP.png", help="The trimap: 0, 128, 255.")
@mask_options
@made_mask_options
@engine_option("--device", help="Where --segmenter runs; see ltm-infer.")
@click.option("--image", metavar="PHOTO", help="The photo of MASK, for --adaptive and --preview.")
@exr_options
@click.option(
    "--preview",
    metavar="FILE.png",
    help="Also write a picture of what will be estimated: the photo, or MASK, with the unknown band tinted and "
    "outlined, and a yellow line where a mask made from PHOTO is half sure.",
)
@max_megapixels_option
def main(source: str, output: str, **options: Any) -> None:
    """Make a trimap from MASK, a binary or soft mask or a cut-out with an alpha channel.

    With --box, --key, --clean-plate or --segmenter, make it from PHOTO and nothing else.
    """
    names = ("image", "preview", "exposure", "layer", "input_space", "device", "max_megapixels")
    of_files = {name: options.pop(name) for name in names}
    kind = "photo" if any(options[way] is not None for way in WAYS) else "mask"
    result = write_trimap(source, output, TrimapSpec.of(options, kind=kind), **of_files)
    if result.pieces is not None:
        notice(f"ltm-trimap: {say_pieces(result.pieces, source)}")
    if not result.unknown_share:
        notice(f"ltm-trimap: {source} has no edge: nothing is unknown in its trimap")
    height, width = result.trimap.shape
    lacking = f", {result.lacking}" if result.lacking else ""
    say(f"{' and '.join(result.files)}: {width}x{height}, {result.unknown_share:.1%} unknown{lacking}")
