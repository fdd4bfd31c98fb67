"""Protobuf's text format, as far as a Triton configuration needs it, without protobuf."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias


class Word(str):
    """A value without quotes: the name of an enumeration's member, or true."""

    __slots__ = ()


Value: TypeAlias = "str | int | Sequence[int] | Mapping[str, Value] | Sequence[Mapping[str, Value]]"
"""A string, word or number, a list of numbers, a message, or a list of messages."""


def pbtxt(message: Mapping[str, Value], indent: str = "") -> str:
    """Return the fields of a message, one a line, in their order; a list of messages repeats its field."""
    lines = []
    for name, value in message.items():
        if isinstance(value, Mapping):
            lines += _block(name, value, indent)
        elif isinstance(value, str):
            lines.append(
                f"{indent}{name}: {value if isinstance(value, Word) else json.dumps(value, ensure_ascii=False)}"
            )
        elif isinstance(value, int):
            lines.append(f"{indent}{name}: {value}")
        else:
            numbers = [item for item in value if not isinstance(item, Mapping)]
            lines += [f"{indent}{name}: [ {', '.join(map(str, numbers))} ]"] if numbers else []
            for item in value:
                lines += _block(name, item, indent) if isinstance(item, Mapping) else []
    return "\n".join(lines)


def _block(name: str, message: Mapping[str, Value], indent: str) -> list[str]:
    return [f"{indent}{name} {{", pbtxt(message, f"{indent}  "), f"{indent}}}"]
