"""The options that say where a photo's trimap comes from, and reading it or making it from a mask."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..matting.band import WIDEST, Band
from ..matting.image_io import read_mask, read_trimap
from ..matting.photo import Photo, read_photo
from ..matting.trimap import decode, from_mask

Function = TypeVar("Function", bound=Callable[..., Any])


def _band(context: click.Context, parameter: click.Parameter, value: str | None) -> Band | None:
    try:
        return None if value is None else Band.parse(value)
    except UsageError as error:
        raise click.BadParameter(str(error), context, parameter) from None


_BAND_OPTIONS = (
    click.option(
        "--unknown",
        metavar="WIDTH",
        callback=_band,
        help="Width of the unknown band on each side of the mask's edge, in pixels (15), or in percent of the square "
        f"root of each object's area (2%).  [default: {Band().amount:g}]",
    ),
    click.option(
        "--adaptive",
        is_flag=True,
        help=f"Widen the band, up to {WIDEST:g} times, where the photo is hairy: many edges beyond it that hang "
        "together with it.",
    ),
)


def band_options(function: Function) -> Function:
    """Add the options of a band to a command: `unknown`, a `Band` or None, and `adaptive`."""
    for option in reversed(_BAND_OPTIONS):
        function = option(function)
    return function


def trimap_options(function: Function) -> Function:
    """Add `mask`, the options of its band and `trimap_encoding` to a command that takes a trimap or a mask."""
    encoding = click.option(
        "--trimap-encoding",
        type=click.Choice(["exact", "between", "labels"]),
        help="exact: 0, 128, 255 (default). between: all but 0 and 255 is unknown. labels: 0, 1, 2.",
    )
    mask = click.option(
        "--mask",
        metavar="MASK",
        help="A binary or soft mask instead of a trimap, or a folder or pattern of masks; see ltm-trimap.",
    )
    return mask(band_options(encoding(function)))


def trimap_source(trimap: str | None, options: dict[str, Any]) -> str:
    """The trimap or mask that is given. Raises `UsageError` for none and both, and for options of the other."""
    mask: str | None = options["mask"]
    if mask is None and options["unknown"] is not None:
        raise click.UsageError("--unknown is the band of a trimap made from --mask; leave it out with a TRIMAP")
    if mask is None and options["adaptive"]:
        raise click.UsageError("--adaptive is for a trimap made from --mask; leave it out with a TRIMAP")
    if mask is not None and options["trimap_encoding"] is not None:
        raise click.UsageError("--trimap-encoding is how to read a TRIMAP; leave it out with --mask")
    source = trimap or mask
    if source is None or None not in (trimap, mask):
        raise click.UsageError("give either a TRIMAP or --mask MASK")
    return source


def read_pair(image: str, source: str, options: dict[str, Any]) -> tuple[Photo, NDArray[np.uint8]]:
    """A photo and its trimap (H, W) of 0 / 128 / 255, read from `source` or made from the mask that this is."""
    limit: float = options["max_megapixels"]
    photo = read_photo(image, limit, options["exposure"])
    if options["mask"] is None:
        grey = photo.fit(read_trimap(source, limit), source)
        return photo, decode(grey, options["trimap_encoding"] or "exact", source)
    grey = read_mask(source, limit, photo)
    return photo, from_mask(grey, options["unknown"] or Band(), source, photo.network, adaptive=options["adaptive"])
