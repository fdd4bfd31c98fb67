"""The options that say how wide a trimap's unknown band is; the same in every command that makes one from a mask."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..errors import UsageError
from ..matting.band import WIDEST, Band

Function = TypeVar("Function", bound=Callable[..., Any])


def _band(context: click.Context, parameter: click.Parameter, value: str | None) -> Band | None:
    try:
        return None if value is None else Band.parse(value)
    except UsageError as error:
        raise click.BadParameter(str(error), context, parameter) from None


_OPTIONS = (
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
    """Add the options to a command: `unknown`, a `Band` or None, and `adaptive`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
