"""The options that say where a photo's trimap comes from, and reading it or making it from a mask."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..images.image_io import read_mask, read_trimap
from ..images.mask import MaskMeaning
from ..images.photo import Photo, read_photo
from ..jobs import unknown
from ..jobs.frames import find_frames
from ..matting.trimap import Encoding, check_unknown, decode, from_mask
from ..matting.unknown_band import WIDEST, Band

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
_MEANING_OPTIONS = (
    click.option(
        "--mask-threshold",
        metavar="VALUE",
        help="The mask is foreground from this value on, background below: in the file's own numbers (128; of 16 bits "
        "up to 65535, of OpenEXR 0.5), or in percent of the top of their range (50%).",
    ),
    click.option(
        "--mask-label",
        metavar="ID",
        type=int,
        multiple=True,
        help="The mask holds class ids, and this one is the object: a grey value, or the index of a palette. May be "
        "repeated.",
    ),
)


def band_options(function: Function) -> Function:
    """Add options of masks to a command: `mask_threshold`, `mask_label`; `unknown`, a `Band` or None; `adaptive`."""
    for option in reversed((*_MEANING_OPTIONS, *_BAND_OPTIONS)):
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
    sure = click.option(
        "--allow-no-unknown",
        is_flag=True,
        help="Take a TRIMAP without unknown pixels as the alpha; of many, where none has any. Otherwise it is refused, "
        "since it may be a mask.",
    )
    return mask(band_options(encoding(sure(function))))


def mask_meaning(options: dict[str, Any]) -> MaskMeaning:
    """Which values of a mask are the object, as the options say. Raises `UsageError`."""
    return MaskMeaning.parse(options["mask_threshold"], options["mask_label"])


def trimap_source(trimap: str | None, options: dict[str, Any]) -> str:
    """The trimap or mask that is given. Raises `UsageError` for none and both, and for options of the other."""
    mask: str | None = options["mask"]
    if mask is None and options["unknown"] is not None:
        raise click.UsageError("--unknown is the band of a trimap made from --mask; leave it out with a TRIMAP")
    if mask is None and options["adaptive"]:
        raise click.UsageError("--adaptive is for a trimap made from --mask; leave it out with a TRIMAP")
    if mask is None and mask_meaning(options):
        raise click.UsageError(f"{mask_meaning(options)} is how to read --mask; leave it out with a TRIMAP")
    if mask is not None and options["allow_no_unknown"]:
        raise click.UsageError("--allow-no-unknown is about a TRIMAP; leave it out with --mask")
    if mask is not None and options["trimap_encoding"] is not None:
        raise click.UsageError("--trimap-encoding is how to read a TRIMAP; leave it out with --mask")
    mask_meaning(options)  # raises before any work is done
    source = trimap or mask
    if source is None or None not in (trimap, mask):
        raise click.UsageError("give either a TRIMAP or --mask MASK")
    return source


def check_some_unknown(images: str, source: str, options: dict[str, Any]) -> None:
    """Raise `InputError` where no trimap of many has unknown pixels, before any frame is matted or handed out.

    All frames count, whatever `frames` and `part` choose: each machine of a farm comes to the same answer.
    """
    if options["mask"] is not None or options["allow_no_unknown"]:
        return
    trimaps = [frame.trimap for frame in find_frames(images, source) if frame.trimap is not None]
    limit: float = options["max_megapixels"]
    encoding: Encoding = options["trimap_encoding"] or "exact"
    unknown.check_some_unknown(trimaps, lambda path: decode(read_trimap(path, limit), encoding, str(path)), source)


def read_pair(image: str, source: str, options: dict[str, Any], alone: bool = False) -> tuple[Photo, NDArray[np.uint8]]:
    """A photo and its trimap (H, W) of 0 / 128 / 255, read from `source` or made from the mask that this is.

    alone: it is not one of a sequence, where an object may leave the frame. Raises `InputError`.
    """
    limit: float = options["max_megapixels"]
    photo = read_photo(image, limit, options["exposure"])
    if options["mask"] is None:
        grey = photo.fit(read_trimap(source, limit), source)
        trimap = decode(grey, options["trimap_encoding"] or "exact", source)
        if alone and not options["allow_no_unknown"]:
            check_unknown(trimap, source)
        return photo, trimap
    meaning = mask_meaning(options)
    grey = read_mask(source, limit, photo, meaning)
    if alone:
        meaning.check_object(grey, source)
    band, adaptive = options["unknown"] or Band(), options["adaptive"]
    return photo, from_mask(grey, band, source, photo.network, adaptive=adaptive, checked=True)
