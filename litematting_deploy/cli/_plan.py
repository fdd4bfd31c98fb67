"""The options that say which patches of a photo run; the same in every command that mattes photos."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..engines import Engine
from ..runtime import Matter
from ..runtime.matter import DEFAULT_PLACEMENT

Function = TypeVar("Function", bound=Callable[..., Any])

_NAMES = ("plan", "margin", "step", "published", "batch")

_OPTIONS = (
    click.option(
        "--plan",
        type=click.Choice(["adaptive", "grid"]),
        help="adaptive: few patches, only where unknown pixels are. grid: patches every --step pixels.  "
        f"[default: {DEFAULT_PLACEMENT}]",
    ),
    click.option(
        "--margin",
        type=int,
        metavar="PIXELS",
        help="Context that an adaptive plan gives every unknown pixel.  [default: 0.2 of the patch]",
    ),
    click.option("--step", type=int, metavar="PIXELS", help="Between the patches of a grid.  [default: half a patch]"),
    click.option(
        "--published", is_flag=True, help="The authors' crop-and-stitch to the grey level: 640, 320, truncation."
    ),
)


def plan_options(function: Function) -> Function:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def matter_for(engine: Engine, options: dict[str, Any]) -> Matter:
    """The matter that the options, those of `engine_options` included, say. Raises `UsageError`."""
    return Matter(engine, **{name: options[name] for name in _NAMES})
