"""JSON and TOML to frozen dataclasses and back: the one place that checks the shape of a file that nobody vouches for.

A reader declares a dataclass and calls `decode`; the dataclass says which keys there are, of which types, and which may
be missing. What a type cannot say, such as a range, its `__post_init__` checks, by `ValueError`, `TypeError` or
`UsageError`. A key that is unknown, missing or of another type raises an error that names the file, the key, the value
and what is accepted:

    profile = decode(path, BuildProfile, name="a profile", toml=True, error=UsageError)
    sidecar = decode(path, Sidecar, name="a sidecar of this tool", marks={"format": 1}, remedy="export the model again")
    replace_file(path, encode(sidecar, marks={"format": 1}))

Types are those of `msgspec`, without conversions: 4 is no text, "4" and true are no numbers, 4 is a float as well.
Tuples come from lists. A `Path` comes from a text that is not empty; where it leads is the caller's to check.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ArtefactError, LiteMattingError, UsageError, shown
from .files import read_small, read_toml

Value = TypeVar("Value")

MOST_BYTES = 1 << 20

# what msgspec calls a type -> what a message calls it
_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table of keys and values",
}


def decode(
    source: str | Path | bytes,
    kind: type[Value],
    *,
    name: str,
    toml: bool = False,
    marks: Mapping[str, object] | None = None,
    error: type[LiteMattingError] = ArtefactError,
    remedy: str = "",
    most_bytes: int = MOST_BYTES,
) -> Value:
    """Return the content of a JSON or TOML file, or of JSON in memory, as a value of `kind`.

    source: a file, or the JSON itself as bytes.
    kind: a dataclass, or any other type of `msgspec`, such as `list[Row]` or `dict[str, int]`.
    name: what the content is, in words with an article: "a profile".
    toml: the file is TOML, of the size and depth that somebody would write by hand (`files.read_toml`); else JSON.
    marks: keys beside those of `kind` that must be there with these values, such as {"format": 1}.
    error: what is raised for a file that cannot be read or is not as `kind` says; its message is one line.
    remedy: what to do then, the end of the message.
    most_bytes: size limit of a JSON file.
    """
    place = name if isinstance(source, bytes) else str(source)
    ending = f"; {remedy}" if remedy else ""
    content: Any
    try:
        if toml and not isinstance(source, bytes):
            content = read_toml(source, name)
        else:
            content = json.loads(source if isinstance(source, bytes) else read_small(source, most_bytes))
    except UsageError as reason:  # of `read_toml`, whose message says it all
        raise error(f"{reason}{ending}") from reason
    except (OSError, ValueError, RecursionError) as reason:
        deep = isinstance(reason, RecursionError)
        said = "nested too deep" if deep else (reason.strerror if isinstance(reason, OSError) else None) or reason
        raise error(f"{place}: not {name}: {said}{ending}") from reason
    if marks and isinstance(content, dict):
        for key, wanted in marks.items():
            found = content.pop(key, None)
            if found != wanted:
                raise error(f"{place}: {key} is {shown(found)}, and this version reads {wanted!r}{ending}")
    return convert(content, kind, name=name, place=place, error=error, remedy=remedy)


def convert(
    content: Any,
    kind: type[Value],
    *,
    name: str,
    place: str,
    error: type[LiteMattingError] = ArtefactError,
    remedy: str = "",
) -> Value:
    """Return plain values, as JSON has them, as a value of `kind`; see `decode`.

    place: the file, or whatever they come from, the beginning of a message.
    """
    import msgspec

    try:
        for unknown, known in _unknown_keys(content, kind, ""):
            raise ValueError(f"unknown key {unknown!r}; {name} has {', '.join(known)}")
        value: Value = msgspec.convert(content, kind, dec_hook=_path)
    except msgspec.ValidationError as reason:
        said = _explained(str(reason), content, kind)
    except (LiteMattingError, ValueError) as reason:
        said = str(reason)
    else:
        return value
    # Backticks would make a command print its flag, and this is about a key of a file.
    raise error(f"{place}: {said or f'not {name}'}{f'; {remedy}' if remedy else ''}".replace("`", ""))


def encode(value: Any, marks: Mapping[str, object] | None = None, indent: int | None = 2) -> bytes:
    """Return a dataclass as JSON that `decode` reads, with `marks` before its fields and a line break at the end."""
    return (json.dumps({**(marks or {}), **asdict(value)}, indent=indent) + "\n").encode()


def _path(kind: type, value: object) -> Path:
    """Return the path that a text means; what `msgspec` asks for types that it does not know itself."""
    if kind is not Path:
        raise NotImplementedError(f"schema.py decodes no {kind.__name__}")
    if not isinstance(value, str) or not value:
        raise ValueError("Expected `file name`")
    return Path(value)


def _unknown_keys(content: Any, kind: Any, place: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield each key that no dataclass in `kind` has, and the keys that it has; `msgspec` passes such keys over."""
    known = [key for each in _alternatives(kind) for key in _keys(each)]
    if known and isinstance(content, dict):
        yield from ((f"{place}{key}", known) for key in content if key not in known)
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for step, item in children:
        inner = _kind_of(kind, step)
        if inner is not Any:
            at = f"{place}{step}" if isinstance(step, str) else f"{place.removesuffix('.')}[{step}]"
            yield from _unknown_keys(item, inner, f"{at}.")


def _explained(message: str, content: Any, kind: Any) -> str:
    """Return what `msgspec` minds in our words: the key, what is accepted, and the value."""
    text, _, place = message.partition(" - at `$")
    place, value = place.removesuffix("`"), content
    where = place.removeprefix(".")
    # Walk to the value that `msgspec` names as .key[3], since it does not show it.
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", place):
        if index == "...":  # somewhere in a table whose keys are not ours
            break
        step = name or int(index)
        value, kind = value[step], _kind_of(kind, step)
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text):
        return f"{'.'.join(filter(None, (where, missing[1])))} is missing"
    choices = [choice for each in _alternatives(kind) if get_origin(each) is Literal for choice in get_args(each)]
    if text.startswith("Invalid enum value"):
        return f"{where} must be one of {', '.join(map(str, choices))}; got {shown(value)}"
    if expected := re.match(r"Expected `(.*?)`( of length \d+)?", text):
        words = [_WORDS.get(each, f"a {each}") for each in expected[1].split(" | ") if each != "null"]
        accepted = f"{' or '.join(words) or 'null'}{expected[2] or ''}"
        if words == ["a text"] and choices:
            accepted = " or ".join(f'"{choice}"' for choice in choices)
        return f"{where} must be {accepted}; got {shown(value)}" if where else ""
    return f"{where}: {text}" if where else text


def _kind_of(kind: Any, step: str | int) -> Any:
    """Return the type of what lies at a key or an index of a value of `kind`; `Any` where it does not say."""
    for each in _alternatives(kind):
        arguments = get_args(each)
        if step in _keys(each):
            return _keys(each)[step]
        if get_origin(each) is dict and isinstance(step, str):
            return arguments[1]
        if get_origin(each) in (list, tuple) and isinstance(step, int):
            return arguments[step] if step < len(arguments) and arguments[-1] is not Ellipsis else arguments[0]
    return Any


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the types that a union has; of anything else, itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


@functools.cache
def _keys(kind: Any) -> dict[Any, Any]:
    """Return the fields of a dataclass and their types; none of anything else."""
    return get_type_hints(kind) if is_dataclass(kind) else {}
