"""The sidecar of a TensorRT engine."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ..errors import ArtefactError
from .files import compare, read, sidecar_path

Builder: TypeAlias = Literal["tensorrt", "tensorrt-rtx"]
"""What builds an engine and alone can load it; `tensorrt-rtx` builds ahead of time, for any RTX GPU."""

_REMEDY = "build the engine again with ltm-build"


@dataclass(frozen=True)
class EngineSidecar:
    """The origin of a TensorRT engine and what it takes.

    file, sha256: the engine. source, source_sha256: the ONNX it was built from. backend, backend_version: `tensorrt`
    or `tensorrt-rtx`, which alone can load it, and only in this version. architectures: compute capabilities it was
    built for, as in `8.9`. batches: least, best and most patches at a time. precision: `fp32`, `tf32`, `fp16` or
    `unknown`. checkpoint, checkpoint_sha256: what the ONNX was made from, where that is known.
    """

    file: str
    sha256: str
    source: str
    source_sha256: str
    backend: Builder
    backend_version: str
    architectures: tuple[str, ...]
    patch_hw: tuple[int, int]
    batches: tuple[int, int, int]
    precision: str
    hardware_compatibility: str = "none"
    refittable: bool = False
    workspace_mib: int | None = None
    optimization_level: int | None = None
    checkpoint: str | None = None
    checkpoint_sha256: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.batches[0] <= self.batches[1] <= self.batches[2] or not self.architectures:
            raise ValueError("batches do not rise from 1, or there are no architectures")

    def runs_on(self, capability: tuple[int, int]) -> bool:
        """Return whether it was built for GPUs of this compute capability."""
        if self.hardware_compatibility == "ampere+":
            return capability >= (8, 0)
        return f"{capability[0]}.{capability[1]}" in self.architectures

    def build_command(self) -> str:
        """Return the command that builds the engine again."""
        words = ["ltm-build", self.source, "-o", self.file, "--backend", self.backend]
        if self.backend == "tensorrt-rtx":
            words += [word for architecture in self.architectures for word in ("--sm", architecture)]
        for option, number in zip(("--min-batch", "--opt-batch", "--max-batch"), self.batches, strict=True):
            words += [option, str(number)]
        words += ["--tf32"] * (self.precision == "tf32") + ["--refit"] * self.refittable
        if self.hardware_compatibility != "none":
            words += ["--hardware-compatibility", self.hardware_compatibility]
        if self.workspace_mib is not None:
            words += ["--workspace", str(self.workspace_mib)]
        if self.optimization_level is not None:
            words += ["--optimization-level", str(self.optimization_level)]
        return shlex.join(words)


def read_engine_sidecar(path: str | Path) -> EngineSidecar | None:
    """Return the sidecar of an engine, or None if there is none. Raises `ArtefactError` for one that is damaged."""
    return read(path, EngineSidecar, _REMEDY)


def check_engine_sidecar(path: str | Path) -> EngineSidecar:
    """Return the sidecar of an engine whose hash it holds. Raises `ArtefactError`."""
    path = Path(path)
    sidecar = read_engine_sidecar(path)
    if sidecar is None:
        raise ArtefactError(
            f"{path}: has no sidecar {sidecar_path(path).name}, so its origin is unknown; {_REMEDY}, or set "
            "`trust` if you know who made it: an engine is code"
        )
    if not path.is_file():
        raise ArtefactError(f"{path}: missing, only its sidecar is there; build it again: {sidecar.build_command()}")
    compare(path, sidecar.sha256, sidecar_path(path), f"build it again: {sidecar.build_command()}")
    return sidecar
