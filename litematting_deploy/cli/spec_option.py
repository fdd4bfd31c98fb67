"""An option made from a field of a spec: its type, choices, default and check."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from ..parameters import Check, PathName, checks_of
from .help import plain_option


def option(spec: type[Any], flag: str, name: str | None = None, **others: Any) -> Callable[[Any], Any]:
    """Return the option for a field of a spec, a dataclass, with the field's type, choices and default.

    name: of the field, where the flag has another. others: as `help.Option` takes them, such as `heading`; they come
    before the field's.
    """
    name = name or flag.removeprefix("--").replace("-", "_")
    hint, checks = checks_of(spec)[name]  # type: ignore[arg-type]  # a class is hashable
    default = getattr(spec, name, None)
    # Of `str | None` these are the union itself and its parts.
    kinds = [hint, *get_args(hint)]
    choices = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    if hint is bool:
        derived: dict[str, Any] = {"is_flag": True}
    else:
        # A field that takes text and numbers, such as "2%" or 15, is text on a command line; a callback reads text.
        plain = next((kind for kind in (bool, str, int, float) if kind in kinds), Path)
        plain = str if "callback" in others else plain
        derived = {"type": click.Choice(choices) if choices else plain, "default": default}
        if not choices and (plain in (int, Path) or PathName() in checks):
            derived["metavar"] = "N" if plain is int else "FILE"
        # For commands that build no spec of the value, too.
        derived["callback"] = functools.partial(_checked, checks)
        derived["show_default"] = default is not None
    return plain_option(flag, name, **derived | others)


def _checked(checks: tuple[Check, ...], _: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return the value of an option. Raises `UsageError` for one that the field does not accept."""
    for each in checks if value is not None else ():
        each.check(parameter.name or "", value)
    return value
