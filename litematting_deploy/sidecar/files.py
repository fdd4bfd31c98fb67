"""Reading, writing and comparing, the same for every kind of sidecar."""

import os
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ArtefactError
from ..files import replace_file, sha256
from ..schema import decode, encode

FORMAT = 1
_MARKS = {"format": FORMAT}

Kind = TypeVar("Kind")


def sidecar_path(artefact: str | Path) -> Path:
    """Return where the sidecar of an artefact lies: `model.onnx` -> `model.onnx.json`."""
    return Path(f"{artefact}.json")


def write_sidecar(artefact: str | Path, sidecar: Any) -> None:
    """Write the sidecar, a dataclass, of an artefact, whole or not at all. Raises `OutputError`."""
    replace_file(sidecar_path(artefact), encode(sidecar, _MARKS))


def read(artefact: str | Path, kind: type[Kind], remedy: str) -> Kind | None:
    """Return the sidecar of an artefact, or None if there is none.

    Raises `ArtefactError`, which ends in `remedy`, if it cannot be understood.
    """
    path = sidecar_path(artefact)
    if not os.path.lexists(path):
        return None
    return decode(path, kind, name="a sidecar of this tool", marks=_MARKS, remedy=remedy)


def compare(path: Path, wanted: str, sidecar: Path, remedy: str) -> None:
    """Raise `ArtefactError` unless the SHA-256 of a file is the one that the sidecar says."""
    try:
        found = sha256(path)
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
    if found != wanted:
        raise ArtefactError(
            f"{path}: its sha256 is {found[:12]}..., {sidecar.name} says {wanted[:12]}...: damaged, "
            f"edited or mixed up; {remedy}"
        )
