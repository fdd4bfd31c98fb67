"""The JSON beside an artefact that says where it came from; checked before the artefact is opened.

A hash detects damage and mix-ups, not an attacker, who would change the sidecar too.
"""

import json
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from .errors import ArtefactError
from .files import ENGINE_SUFFIX, has_suffix, replace_file, sha256
from .schema import decode, encode

FORMAT = 1
_MARKS = {"format": FORMAT}

Builder: TypeAlias = Literal["tensorrt", "tensorrt-rtx"]
"""What builds an engine and alone can load it; `tensorrt-rtx` builds ahead of time, for any RTX GPU."""

_BUILD_AGAIN = "build the engine again with ltm-build"

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Quantisation:
    """What an INT8 export was calibrated with, and what it costs.

    - `calibration`: `drawn`, or the folder of photos.
    - `convolutions`, `of`: how many convolutions are in INT8, and how many the graph has.
    - `float_stages`: stages left in float because they hurt accuracy.
    - `sad`, `fp32_sad`: mean SAD on drawn scenes that were not used for calibration, and that of the model in float32,
      in thousands.
    """

    calibration: str
    convolutions: int
    of: int
    float_stages: tuple[str, ...]
    sad: float
    fp32_sad: float


@dataclass(frozen=True)
class Sidecar:
    """The origin of an exported ONNX, and what it takes.

    - `file`, `sha256`: the ONNX.
    - `checkpoint`, `checkpoint_sha256`: what it was made from.
    - `patch_hw`, `batch`: height and width of its patches; patches per call, None for dynamic.
    - `weights_beside`: the ONNX contains no weights but refers to `checkpoint` in its folder.
    - `differences`: name of each check to the largest and mean absolute difference from the PyTorch model.
    - `quantisation`: present in INT8 exports.
    - `float32`: stages of an FP16 export that stay in float32.
    - `enb_pooling`: how the non-local block samples, which the checkpoint's tensors do not show.
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
    quantisation: Quantisation | None = None
    float32: tuple[str, ...] = ()
    enb_pooling: str = "pyramid"

    def __post_init__(self) -> None:
        # It is joined to the artefact's folder, and must not lead out of it.
        if Path(self.checkpoint).name != self.checkpoint or self.checkpoint in ("", ".."):
            raise ValueError("checkpoint is not a plain file name")

    def essentials(self) -> dict[str, str]:
        """Return the part that is also stored inside an ONNX, as text."""
        names = ("checkpoint", "checkpoint_sha256", "patch_hw", "batch", "precision", "pooling", "norm", "opset")
        return essentials(**{name: getattr(self, name) for name in (*names, "weights_beside")})

    def export_command(self) -> str:
        """Return the command that makes the artefact again; see `_command`."""
        height, width = self.patch_hw
        size = {"height": height, "width": width, "batch": self.batch or "dynamic"}
        form = {"precision": self.precision, "pooling": self.pooling, "norm": self.norm}
        more: dict[str, object] = {"weights_beside": True} if self.weights_beside else {}
        if self.float32:
            more["float32"] = ",".join(self.float32)
        if self.enb_pooling != "pyramid":
            more["enb_pooling"] = self.enb_pooling
        if self.quantisation is not None:
            more["calibration"] = self.quantisation.calibration
        return _command("ltm-export", self.checkpoint, output=self.file, **size, **form, **more)


@dataclass(frozen=True)
class EngineSidecar:
    """The origin of a TensorRT engine, and what it takes.

    - `file`, `sha256`: the engine.
    - `source`, `source_sha256`: the ONNX it was built from.
    - `backend`, `backend_version`: `tensorrt` or `tensorrt-rtx`; only this version can load it.
    - `architectures`: compute capabilities it was built for, such as `8.9`.
    - `batches`: smallest, best and largest batch.
    - `precision`: `fp32`, `tf32`, `fp16` or `unknown`.
    - `checkpoint`, `checkpoint_sha256`: what the ONNX was made from, if known.
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
        """Return the command that builds the engine again; see `_command`."""
        options: dict[str, object] = {"output": self.file, "backend": self.backend}
        if self.backend == "tensorrt-rtx":
            options["architectures"] = ",".join(self.architectures)
        options |= dict(zip(("min_batch", "opt_batch", "max_batch"), self.batches, strict=True))
        switches = {"tf32": self.precision == "tf32", "refit": self.refittable}
        options |= {name: True for name, on in switches.items() if on}
        if self.hardware_compatibility != "none":
            options["hardware_compatibility"] = self.hardware_compatibility
        limits = {"workspace_mib": self.workspace_mib, "optimization_level": self.optimization_level}
        options |= {name: value for name, value in limits.items() if value is not None}
        return _command("ltm-build", self.source, **options)


def _command(name: str, source: str, **options: object) -> str:
    """Return a command in backticks with its options as `name=value`, in whose place the commands print their flags."""
    return f"`{shlex.join([name, source, *(f'{option}={value}' for option, value in options.items())])}`"


_MOST_LINKS = 40
"""More than Linux follows."""


def sidecar_path(artefact: str | Path) -> Path:
    """Return where the sidecar of an artefact is written: `model.onnx` -> `model.onnx.json`."""
    return Path(f"{artefact}.json")


def neighbour(artefact: str | Path, name: str) -> Path:
    """Return the path of the file `name` beside an artefact: in the first of its `places` that has one.

    So an artefact is found whole in a cache that stores files by their hashes and links names to them, and behind a
    link to it or into such a cache.
    """
    return _first([place.with_name(name) for place in places(artefact)])


def found_sidecar(artefact: str | Path) -> Path:
    """Return the path of the sidecar of an artefact that may be a link; it may not exist."""
    return _first([sidecar_path(place) for place in places(artefact)])


def places(artefact: str | Path) -> list[Path]:
    """Return where an artefact lies: its path as given, each path that its links lead to, and the file's own."""
    found = [Path(artefact)]
    while found[-1].is_symlink() and len(found) < _MOST_LINKS:
        found.append(found[-1].parent / os.readlink(found[-1]))
    return [*found, found[0].resolve()]


def _first(paths: list[Path]) -> Path:
    """Return the first path at which there is something, or else the last one."""
    return next((path for path in paths if os.path.lexists(path)), paths[-1])


def write_sidecar(artefact: str | Path, sidecar: Sidecar | EngineSidecar) -> None:
    """Write the sidecar of an artefact, whole or not at all. Raises `OutputError`."""
    replace_file(sidecar_path(artefact), encode(sidecar, _MARKS))


def essentials(**values: object) -> dict[str, str]:
    """Return values by name as the metadata of an ONNX holds them."""
    return {f"litematting.{name}": json.dumps(value) for name, value in values.items()}


def read_sidecar(artefact: str | Path) -> Sidecar | None:
    """Return the sidecar of an ONNX, or None if there is none. Raises `ArtefactError` for one that is damaged."""
    return _read(artefact, Sidecar, "delete it, or export the model again")


def check_sidecar(artefact: str | Path) -> Sidecar | None:
    """Return the sidecar of an ONNX, or None, after comparing the hashes it holds. Raises `ArtefactError`."""
    artefact = Path(artefact)
    if (sidecar := read_sidecar(artefact)) is None:
        return None
    # Weights that lie beside a graph are a part of it.
    files = {artefact: sidecar.sha256}
    if sidecar.weights_beside:
        files[neighbour(artefact, sidecar.checkpoint)] = sidecar.checkpoint_sha256
    for path, wanted in files.items():
        _compare(path, wanted, found_sidecar(artefact), f"export it again: {sidecar.export_command()}")
    return sidecar


def read_engine_sidecar(path: str | Path) -> EngineSidecar | None:
    """Return the sidecar of an engine, or None if there is none. Raises `ArtefactError` for one that is damaged."""
    return _read(path, EngineSidecar, _BUILD_AGAIN)


def check_engine_sidecar(path: str | Path) -> EngineSidecar:
    """Return the sidecar of an engine whose hash it holds. Raises `ArtefactError`."""
    path = Path(path)
    sidecar = read_engine_sidecar(path)
    if sidecar is None:
        raise ArtefactError(
            f"{path}: has no sidecar {sidecar_path(path).name}, so its origin is unknown; {_BUILD_AGAIN}, or set "
            "`trust` if you know who built it: an engine can run any code"
        )
    _compare(path, sidecar.sha256, found_sidecar(path), f"build it again: {sidecar.build_command()}")
    return sidecar


def weights_sha256(artefact: str | Path) -> str:
    """Return the SHA-256 of the checkpoint that an ONNX or an engine was made from, as its sidecar says; of any other
    file, its own.

    Engines for several GPUs made from one checkpoint have this in common. Raises `ArtefactError` for a damaged sidecar.
    """
    is_engine = has_suffix(artefact, ENGINE_SUFFIX)
    sidecar = read_engine_sidecar(artefact) if is_engine else read_sidecar(artefact)
    known = None if sidecar is None else sidecar.checkpoint_sha256
    # Hashing takes seconds for large weights.
    return known or sha256(artefact)


def _read(artefact: str | Path, kind: type[Kind], remedy: str) -> Kind | None:
    """Return the sidecar of an artefact, or None if there is none.

    Raises `ArtefactError`, which ends in `remedy`, if it cannot be understood.
    """
    path = found_sidecar(artefact)
    # A link that leads nowhere is damage, not absence.
    if not os.path.lexists(path):
        return None
    return decode(path, kind, name="a sidecar of this tool", marks=_MARKS, remedy=remedy)


def _compare(path: Path, wanted: str, sidecar: Path, remedy: str) -> None:
    """Raise `ArtefactError` unless a file is there and its SHA-256 is the one that the sidecar says."""
    if not path.is_file():
        raise ArtefactError(f"{path}: not found, but {sidecar.name} refers to it; {remedy}")
    try:
        found = sha256(path)
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
    if found != wanted:
        raise ArtefactError(
            f"{path}: its SHA-256 is {found[:12]}..., but {sidecar.name} says {wanted[:12]}...: the file is "
            f"damaged, edited or mixed up; {remedy}"
        )
