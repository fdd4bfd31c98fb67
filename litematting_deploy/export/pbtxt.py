"""Protobuf's text format, as far as a Triton configuration needs it, without protobuf."""

import json
from collections.abc import Mapping
from typing import Any


class Word(str):
    """A value without quotes: the name of an enumeration's member, or true."""

    __slots__ = ()


def pbtxt(message: Mapping[str, Any], indent: str = "") -> str:
    """Return the fields of a message, one a line, in their order.

    message: strings, words, numbers, lists of numbers, messages, or lists of messages, which repeat their field.
    """
    lines = []
    for name, value in message.items():
        repeated = isinstance(value, list) and isinstance(value[0], Mapping)
        for item in value if repeated else [value]:
            if isinstance(item, Mapping):
                lines += [f"{indent}{name} {{", pbtxt(item, f"{indent}  "), f"{indent}}}"]
            else:
                lines.append(f"{indent}{name}: {_text(item)}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    """Return a value that is no message."""
    if isinstance(value, list):
        return f"[ {', '.join(map(str, value))} ]"
    return str(value) if isinstance(value, Word | int) else json.dumps(value, ensure_ascii=False)
