"""The sidecar of an exported ONNX."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ArtefactError
from .files import compare, read, sidecar_path


@dataclass(frozen=True)
class Sidecar:
    """The origin of an exported ONNX and what it takes.

    file, sha256: the artefact. checkpoint, checkpoint_sha256: what it was made from. weights_beside: the artefact
    holds no weights of its own but refers to `checkpoint` in its folder. batch: None for dynamic.
    differences: measured against the PyTorch model, name of the check to largest and mean absolute difference.
    """

    file: str
    sha256: str
    checkpoint: str
    checkpoint_sha256: str
    patch_hw: tuple[int, int]
    batch: int | None
    precision: str
    pooling: str
    norm: str
    opset: int
    weights_beside: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    differences: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if Path(self.checkpoint).name != self.checkpoint or self.checkpoint in ("", ".."):
            raise ValueError("checkpoint is no plain file name")

    def essentials(self) -> dict[str, str]:
        """Return the part that is also stored inside an ONNX, as text."""
        names = ("checkpoint", "checkpoint_sha256", "patch_hw", "batch", "precision", "pooling", "norm", "opset")
        return essentials(**{name: getattr(self, name) for name in (*names, "weights_beside")})

    def export_command(self) -> str:
        """Return the command that makes the artefact again."""
        height, width = self.patch_hw
        words = ["ltm-export", self.checkpoint, "-o", self.file, "--height", str(height), "--width", str(width)]
        words += ["--batch", str(self.batch or "dynamic"), "--precision", self.precision, "--pooling", self.pooling]
        return shlex.join([*words, "--norm", self.norm, *["--weights-beside"] * self.weights_beside])


def essentials(**values: object) -> dict[str, str]:
    """Return values by name as the metadata of an ONNX holds them."""
    return {f"litematting.{name}": json.dumps(value) for name, value in values.items()}


def read_sidecar(artefact: str | Path) -> Sidecar | None:
    """Return the sidecar of an ONNX, or None if there is none. Raises `ArtefactError` for one that is damaged."""
    return read(artefact, Sidecar, "delete it or export the model again")


def check_sidecar(artefact: str | Path) -> Sidecar | None:
    """Return the sidecar of an ONNX, or None, after comparing the hashes it holds. Raises `ArtefactError`."""
    artefact = Path(artefact)
    sidecar = read_sidecar(artefact)
    if sidecar is None:
        return None
    files = {artefact: sidecar.sha256}
    if sidecar.weights_beside:
        files[artefact.with_name(sidecar.checkpoint)] = sidecar.checkpoint_sha256
    for path, wanted in files.items():
        if not path.is_file():
            raise ArtefactError(f"{path}: missing, but {artefact.name} needs it; export {artefact.name} again")
        compare(path, wanted, sidecar_path(artefact), f"export it again: {sidecar.export_command()}")
    return sidecar
