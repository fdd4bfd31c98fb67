"""The JSON beside an artefact that says where it came from; checked before the artefact is opened.

A hash detects damage and mix-ups, not an attacker, who would change the sidecar too.
"""

from pathlib import Path

from ..files import sha256
from .engine import EngineSidecar, check_engine_sidecar, read_engine_sidecar
from .files import FORMAT, sidecar_path, write_sidecar
from .onnx import Sidecar, check_sidecar, essentials, read_sidecar

__all__ = [
    "FORMAT",
    "EngineSidecar",
    "Sidecar",
    "check_engine_sidecar",
    "check_sidecar",
    "essentials",
    "read_sidecar",
    "sidecar_path",
    "weights_sha256",
    "write_sidecar",
]


def weights_sha256(artefact: str | Path) -> str:
    """Return the SHA-256 of the checkpoint that an ONNX or an engine was made from, as its sidecar says; of any other
    file, its own.

    Engines for several GPUs made from one checkpoint have this in common. Raises `ArtefactError` for a damaged sidecar.
    """
    is_engine = Path(artefact).suffix.lower() == ".engine"
    sidecar = read_engine_sidecar(artefact) if is_engine else read_sidecar(artefact)
    known = None if sidecar is None else sidecar.checkpoint_sha256
    return known or sha256(artefact)
