"""The sidecar of a TensorRT engine."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ArtefactError
from .files import compare, read, sidecar_path

AHEAD_OF_TIME = "tensorrt-rtx"
BACKENDS = ("tensorrt", AHEAD_OF_TIME)
_REMEDY = "build the engine again with ltm-build"


@dataclass(frozen=True)
class EngineSidecar:
    """What is known about an engine.

    file, sha256: the engine. source, source_sha256: the ONNX it was built from. backend, backend_version: `tensorrt`
    or `tensorrt-rtx`, which alone can load it, and only in this version. architectures: compute capabilities it was
    built for, as in `8.9`. batches: least, best and most patches at a time. precision: `fp32`, `tf32`, `fp16` or
    `unknown`. checkpoint, checkpoint_sha256: what the ONNX was made from, where that is known.
    """

    file: str
    sha256: str
    source: str
    source_sha256: str
    backend: str
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
        texts = [self.file, self.sha256, self.source, self.source_sha256, self.backend, self.backend_version]
        texts += [*self.architectures, self.precision, self.hardware_compatibility]
        texts += [text for text in (self.checkpoint, self.checkpoint_sha256) if text is not None]
        numbers = [*self.patch_hw, *self.batches]
        numbers += [number for number in (self.workspace_mib, self.optimization_level) if number is not None]
        if not all(isinstance(text, str) for text in texts) or any(type(number) is not int for number in numbers):
            raise TypeError("a value has the wrong type")
        if not isinstance(self.refittable, bool) or len(self.patch_hw) != 2 or len(self.batches) != 3:
            raise ValueError("patch_hw is no pair, batches are no three, or refittable is neither true nor false")
        if not 1 <= self.batches[0] <= self.batches[1] <= self.batches[2] or not self.architectures:
            raise ValueError("batches do not rise from 1, or there are no architectures")
        if self.backend not in BACKENDS:
            raise ValueError(f"backend is {self.backend!r}, not one of {', '.join(BACKENDS)}")

    def runs_on(self, capability: tuple[int, int]) -> bool:
        """Whether it was built for GPUs of this compute capability."""
        if self.hardware_compatibility == "ampere+":
            return capability >= (8, 0)
        return f"{capability[0]}.{capability[1]}" in self.architectures

    def build_command(self) -> str:
        """The command that builds the engine again."""
        words = ["ltm-build", self.source, "-o", self.file, "--backend", self.backend]
        if self.backend == AHEAD_OF_TIME:
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
    """The sidecar of an engine, or None if there is none. Raises `ArtefactError` if it cannot be understood."""
    return read(path, EngineSidecar, ("architectures", "patch_hw", "batches"), _REMEDY)


def check_engine_sidecar(path: str | Path) -> EngineSidecar:
    """The sidecar of an engine, after comparing the file's hash with it. Raises `ArtefactError`."""
    path = Path(path)
    sidecar = read_engine_sidecar(path)
    if sidecar is None:
        raise ArtefactError(
            f"{path}: has no sidecar {sidecar_path(path).name}, so its origin is unknown; {_REMEDY}, or pass --trust "
            "if you know who made it: an engine is code"
        )
    if not path.is_file():
        raise ArtefactError(f"{path}: missing, only its sidecar is there; build it again: {sidecar.build_command()}")
    compare(path, sidecar.sha256, sidecar_path(path), f"build it again: {sidecar.build_command()}")
    return sidecar
