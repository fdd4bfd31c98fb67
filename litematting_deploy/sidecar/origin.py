"""Which weights an artefact holds."""

from pathlib import Path

from ..files import sha256
from .engine import read_engine_sidecar
from .onnx import read_sidecar


def weights_sha256(artefact: str | Path) -> str:
    """Of the checkpoint that an ONNX or engine was made from, where its sidecar says; of any other file its own.

    Engines for several GPUs made from one checkpoint have this in common. Raises `ArtefactError` for a sidecar that
    cannot be understood.
    """
    is_engine = Path(artefact).suffix.lower() == ".engine"
    sidecar = read_engine_sidecar(artefact) if is_engine else read_sidecar(artefact)
    known = None if sidecar is None else sidecar.checkpoint_sha256
    return known or sha256(artefact)
