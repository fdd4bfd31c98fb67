"""How to export: one value, from options or from a recipe file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from ..errors import UsageError
from ..files import below, read_toml

Precision = Literal["fp32", "fp16"]
Pooling = Literal["matmul", "conv", "adaptive"]
Norm = Literal["group", "instance", "batch", "folded"]

MAX_SIDE, MAX_BATCH = 4096, 1024

# Largest absolute difference of alpha accepted against the fp32 PyTorch model.
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 5e-3}


@dataclass(frozen=True)
class ExportSpec:
    """What the ONNX is to be.

    height, width: of the patches, multiples of 32. batch: a number, or None for dynamic. precision: of weights and
    activations; statistics of norms, softmax and averages are float32 in both. pooling: the form of average pooling.
    norm: the form of group norm, see `norms`. "group" is one GroupNormalization node, for TensorRT; "instance" and
    "batch" are spelled out around these; "folded" is for ONNX Runtime on a CPU, float32 only.
    tolerance: largest absolute difference of alpha, by default that of the precision in `TOLERANCES`.
    """

    height: int = 640
    width: int = 640
    batch: int | None = None
    precision: Precision = "fp32"
    pooling: Pooling = "matmul"
    norm: Norm = "group"
    tolerance: float | None = None

    def __post_init__(self) -> None:
        for name, side in (("height", self.height), ("width", self.width)):
            if not 32 <= side <= MAX_SIDE or side % 32:
                nearest = min(max(32, round(side / 32) * 32), MAX_SIDE)
                raise UsageError(f"{name} {side}: patch sides are multiples of 32 up to {MAX_SIDE}, try {nearest}")
        if self.batch is not None and not 1 <= self.batch <= MAX_BATCH:
            raise UsageError(f"batch {self.batch}: wanted a number from 1 to {MAX_BATCH}, or dynamic")
        for name, value, choices in (
            ("precision", self.precision, get_args(Precision)),
            ("pooling", self.pooling, get_args(Pooling)),
            ("norm", self.norm, get_args(Norm)),
        ):
            if value not in choices:
                raise UsageError(f"{name} {value!r}: wanted one of {', '.join(choices)}")
        if self.norm == "folded" and self.precision != "fp32":
            raise UsageError(f"norm folded is for CPUs, which compute in fp32, not {self.precision}; use --norm batch")
        if self.tolerance is not None and not 0 < self.tolerance <= 1:
            raise UsageError(f"tolerance {self.tolerance}: wanted a positive difference of alpha up to 1, as 0.001")

    @property
    def patch_hw(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def limit(self) -> float:
        """The tolerance in force."""
        return TOLERANCES[self.precision] if self.tolerance is None else self.tolerance

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """A copy with those options that are given (not None); batch `dynamic` means None."""
        given = {name: value for name, value in options.items() if value is not None}
        if given.get("batch") == "dynamic":
            given["batch"] = None
        return replace(self, **given)


@dataclass(frozen=True)
class Recipe:
    """A recipe file: the spec, and where the ONNX goes, if it says so."""

    spec: ExportSpec
    output: Path | None


def read_recipe(path: str | Path) -> Recipe:
    """Read a TOML file with any of the fields of `ExportSpec` (batch: a number or "dynamic") and `output`.

    `output` is a name in the recipe's folder or below. Raises `UsageError` naming the file and what is wrong in it.
    """
    path = Path(path)
    content = read_toml(path, "a recipe")
    output = content.pop("output", None)
    if output is not None and not isinstance(output, str):
        raise UsageError(f"{path}: output is {output!r}, wanted a file name in quotes")
    numbers: dict[str, Any] = {"height": int, "width": int, "tolerance": (int, float)}
    known = [field.name for field in fields(ExportSpec)]
    for name, value in content.items():
        if name not in known:
            raise UsageError(f"{path}: unknown key {name!r}; a recipe has {', '.join([*known, 'output'])}")
        right = (
            value == "dynamic" or type(value) is int if name == "batch" else isinstance(value, numbers.get(name, str))
        )
        if not right or isinstance(value, bool):
            raise UsageError(f"{path}: {name} = {value!r} has the wrong type; see export/README.md")
    try:
        spec = ExportSpec().with_options(content)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return Recipe(spec, None if output is None else below(path, "output", output))
