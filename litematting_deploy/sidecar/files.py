"""Reading, writing and comparing, the same for every kind of sidecar."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ArtefactError
from ..files import parse_json, read_small, replace_file, sha256

if TYPE_CHECKING:
    from .engine import EngineSidecar
    from .onnx import Sidecar

FORMAT = 1

Kind = TypeVar("Kind", "Sidecar", "EngineSidecar")


def sidecar_path(artefact: str | Path) -> Path:
    """`model.onnx` -> `model.onnx.json`."""
    return Path(f"{artefact}.json")


def write_sidecar(artefact: str | Path, sidecar: "Sidecar | EngineSidecar") -> None:
    """Write the sidecar of `artefact`, whole or not at all."""
    content = {"format": FORMAT, **asdict(sidecar)}
    replace_file(sidecar_path(artefact), (json.dumps(content, indent=2) + "\n").encode())


def read(artefact: str | Path, kind: type[Kind], pairs: tuple[str, ...], remedy: str) -> Kind | None:
    """The sidecar of `artefact`, or None if there is none. pairs: names of fields that are tuples.

    Raises `ArtefactError`, which ends in `remedy`, if it cannot be understood.
    """
    path = sidecar_path(artefact)
    try:
        content: dict[str, Any] = parse_json(read_small(path))
        version = content.pop("format")
        if version != FORMAT:
            raise ArtefactError(f"{path}: sidecar format {version}, this version reads {FORMAT}; {remedy}")
        for name in pairs:
            if not isinstance(content[name], list):
                raise TypeError(f"{name} is no list")
            content[name] = tuple(content[name])
        return kind(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{path}: not a sidecar of this tool ({error}); {remedy}") from error


def compare(path: Path, wanted: str, sidecar: Path, remedy: str) -> None:
    """Raise `ArtefactError` unless the file's hash is the one `wanted` by the sidecar."""
    try:
        found = sha256(path)
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
    if found != wanted:
        raise ArtefactError(
            f"{path}: its sha256 is {found[:12]}..., {sidecar.name} says {wanted[:12]}...: damaged, "
            f"edited or mixed up; {remedy}"
        )
