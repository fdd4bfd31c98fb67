"""ltm-trimap: a mask, or a photo and nothing else, to a trimap."""

from typing import Any

import click

from ..jobs.outputs import say_band, say_pieces, say_shares
from ..jobs.trimap_file import write_trimap
from ..matting.trimap import UNKNOWN
from ..specs import WAYS, ExrSpec, TrimapSpec
from .command import command, listed, notice, say, with_flags
from .help import plain_option
from .options import INPUT, MAKING, RESULTS, engine_option, input_options, made_mask_options, mask_options


@command("ltm-trimap")
@click.argument("source", metavar="MASK|PHOTO")
@plain_option(
    "--image", metavar="PHOTO", heading=INPUT, help="Photo that MASK belongs to, for --adaptive and --preview."
)
@input_options
@mask_options
@made_mask_options
@engine_option(
    "--device", metavar="DEVICE", heading=MAKING, help="Where --segmenter runs; see ltm-infer for the devices."
)
@plain_option(
    "-o", "--output", required=True, metavar="TRIMAP.png", heading=RESULTS, help="Trimap to write: 0, 128 and 255."
)
@plain_option(
    "--preview",
    metavar="FILE.png",
    heading=RESULTS,
    help="Also write a picture of the trimap: the photo, or MASK, with the unknown band tinted, and outlined in cyan "
    "towards the background and in white towards the foreground; for a mask made from PHOTO, a yellow line where it is "
    "half sure, and --box in green.",
)
def main(source: str, output: str, **options: Any) -> None:
    """Make a trimap, which tells the network where to look, from a mask or from the photo alone.

    \b
    Examples:
      ltm-trimap mask.png -o trimap.png --unknown 20
      ltm-trimap photo.jpg --box 40,20,300,500 -o trimap.png --preview look.png

    A trimap has three levels: white (255) where the subject is solid, black (0) where there is only background, and
    grey (128), the unknown band, where the edge is soft and ltm-infer estimates the alpha.

    MASK is a black-and-white or soft mask, or a cut-out with an alpha channel. With --box, --key, --clean-plate or
    --segmenter, the mask is made from PHOTO and no other file is needed.
    """
    of_files = {name: options[name] for name in ("image", "preview", "device", "max_megapixels")}
    kind = "photo" if any(options[way] is not None for way in WAYS) else "mask"
    spec, exr = TrimapSpec.of(options, kind=kind), ExrSpec.of(options)
    result = write_trimap(source, output, spec, exr=exr, **of_files)
    if result.pieces is not None:
        notice(f"ltm-trimap: {say_pieces(result.pieces, source)}")
    if result.beyond is not None:
        notice(f"ltm-trimap: {source}: {result.beyond}")
    if UNKNOWN not in result.trimap:
        notice(f"ltm-trimap: {source} has no edge, so its trimap has no unknown pixels")
    height, width = result.trimap.shape
    band = say_band(result.band_px, spec)
    said = ", ".join(filter(None, (f"{width}x{height}", band, say_shares(result.trimap))))
    say(with_flags(f"Wrote {listed(result.files)}: {said}", main))
