"""ltm-trimap: a mask to a trimap."""

from collections.abc import Callable
from typing import Any

import click
import numpy as np

from ..matting.image_io import check_output, read_mask, write_image
from ..matting.trimap import UNKNOWN, from_mask
from ._command import command, max_megapixels_option, notice, stdout

DEFAULT_UNKNOWN = 15


def unknown_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--unknown, for commands that make trimaps."""
    return click.option(
        "--unknown",
        type=click.IntRange(min=1),
        metavar="PX",
        help=f"Width of the unknown band on each side of the mask's edge, in pixels.  [default: {DEFAULT_UNKNOWN}]",
    )(function)


@command("ltm-trimap")
@click.argument("mask")
@click.option("-o", "--output", required=True, metavar="TRIMAP.png", help="The trimap: 0, 128, 255.")
@unknown_option
@max_megapixels_option
def main(mask: str, output: str, unknown: int | None, max_megapixels: float) -> None:
    """Make a trimap from MASK, a binary or soft mask or a cut-out with an alpha channel."""
    check_output(output, (mask,))
    trimap = from_mask(read_mask(mask, max_megapixels), unknown or DEFAULT_UNKNOWN, mask)
    if not (trimap == UNKNOWN).any():
        notice(f"ltm-trimap: {mask} has no edge: nothing is unknown in its trimap")
    write_image(output, trimap)
    share = np.mean(trimap == UNKNOWN)
    stdout.print(f"{output}: {trimap.shape[1]}x{trimap.shape[0]}, {share:.1%} unknown", markup=False, soft_wrap=True)
