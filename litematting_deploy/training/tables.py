"""Plain values, as TOML and JSON hold them, to frozen dataclasses, with errors that name the key."""

import dataclasses
import typing
from typing import Any, Literal

from ..errors import UsageError


def build(kind: Any, value: Any, name: str) -> Any:
    """`value` as the type `kind`: a dataclass, a tuple, a literal, a dict of numbers or a plain type.

    Raises `UsageError` for keys that the dataclass does not have, for other types, and with the text of the
    `ValueError` that a dataclass raises for values it does not take.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        unknown = value.keys() - hints.keys()
        if unknown:
            raise UsageError(f"{name}: unknown key {', '.join(sorted(unknown))}; known are {', '.join(hints)}")
        given = {key: build(hints[key], item, f"{name}: {key}") for key, item in value.items()}
        try:
            return kind(**given)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from error
    if origin is tuple and isinstance(value, list | tuple):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(build(kind, item, name) for kind, item in zip(kinds, value, strict=True))
    if origin is Literal and value in arguments:
        return value
    if origin is dict and isinstance(value, dict):
        return {key: build(arguments[1], item, f"{name}: {key}") for key, item in value.items()}
    if kind is float and (type(value) is float or (type(value) is int and abs(value) < 2**63)):
        return float(value)
    if kind in (int, bool, str) and type(value) is kind:
        return value
    raise UsageError(f"{name}: is {value!r}, wanted {_describe(kind)}")


def check(
    name: str, value: float | tuple[float, ...], low: float, high: float = float("inf"), below: bool = False
) -> None:
    """Raise `ValueError` unless each value lies in low..high, or `below` high."""
    for one in value if isinstance(value, tuple) else (value,):
        if not (low <= one < high if below else low <= one <= high):
            limits = f"at least {low:g}" if high == float("inf") else f"{low:g} to {'below ' * below}{high:g}"
            raise ValueError(f"{name}: is {value}, wanted {limits}")


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")
