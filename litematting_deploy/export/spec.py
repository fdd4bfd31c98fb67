"""How to export: one value, from options or from a recipe file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from ..errors import UsageError
from ..files import below, read_toml
from ..schema import convert
from ..specs import Spec

Precision = Literal["fp32", "fp16", "int8"]
Pooling = Literal["matmul", "conv", "adaptive"]
Norm = Literal["group", "instance", "batch", "folded", "gpu"]

EnbPooling = Literal["pyramid", "max", "average", "none"]

MAX_SIDE, MAX_BATCH = 4096, 1024
REACH = 92
"""Pixels around a patch whose trimap the guide depends on: beyond, exp(-d² / 512) is below 1e-7."""
STAGES = (
    *(f"layer{index}" for index in range(8)),
    *("layerx", "gfnb", "ppm", "dfpool"),
    *(f"uper{index}" for index in range(1, 6)),
    "out",
)
"""The parts of the network, by the names of its state dict."""

# Largest absolute difference of alpha accepted against the fp32 PyTorch model; in INT8, whose single pixels may be off
# by more, largest mean difference: up to 0.03 was measured (benchmarks/NOTES.md). SAD is held to a limit of its own.
# On walls of one grey, the form "group" in fp16 may be off by 0.006 on a GPU, see docs/explanation/norms.md.
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 5e-3, "int8": 0.05}


def check_side(parameter: str, side: int) -> None:
    """Raise `UsageError` for a side, in pixels, that no patch can have."""
    if not 32 <= side <= MAX_SIDE or side % 32:
        nearest = min(max(32, round(side / 32) * 32), MAX_SIDE)
        raise UsageError(
            f"`{parameter}` must be a multiple of 32 up to {MAX_SIDE}, for example {nearest}; got {side}",
            parameter=parameter,
        )


@dataclass(frozen=True)
class ExportSpec(Spec):
    """What the ONNX is to be.

    - `height`, `width`: sides of a patch in pixels, multiples of 32.
    - `batch`: patches per call; None for any number.
    - `precision`: type of weights and activations; statistics of norms, softmax and averages are float32 in all. "int8"
      is of convolutions alone, as far as SAD bears it, see `quantise`; the rest is as in fp16 in the form "gpu", else
      float32.
    - `pooling`: the form of average pooling, see `model.pooling`.
    - `norm`: the form of group norm, see `norms`; None for "gpu" in fp16 with a fixed batch, and "group" elsewhere.
      "group" is one GroupNormalization node; "instance" and "batch" are spelled out around these; "folded" is for ONNX
      Runtime on a CPU, float32 only; "gpu" draws the network for TensorRT, with pooling in a form of its own, see
      `gpu_blocks`.
    - `float32`: of fp16, stages that stay in float32, by the names of the network's parts (layer0 to layer7, layerx,
      gfnb, ppm, dfpool, uper1 to uper5, out); a failing export says which. layer0 and the last convolution always do.
      Not in the form "gpu", which has a choice of its own.
    - `enb_pooling`: of a checkpoint of the paper's Table 4, how its Efficient Non-Local Block samples, which its
      tensors do not show; see `ModelConfig`. "max" needs `pooling` "adaptive".
    - `tolerance`: largest absolute difference of alpha, in INT8 mean difference; None for that of the precision in
      `TOLERANCES`.

    Raises `UsageError` for a value that is not accepted.
    """

    height: int = 640
    width: int = 640
    batch: int | None = None
    precision: Precision = "fp32"
    pooling: Pooling = "matmul"
    norm: Norm | None = None
    float32: tuple[str, ...] = ()
    enb_pooling: EnbPooling = "pyramid"
    tolerance: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_side("height", self.height)
        check_side("width", self.width)
        if self.batch is not None and not 1 <= self.batch <= MAX_BATCH:
            raise UsageError(
                f"`batch` must be between 1 and {MAX_BATCH}, or dynamic; got {self.batch}", parameter="batch"
            )
        if self.norm == "folded" and self.precision != "fp32":
            raise UsageError(
                f"`norm=folded` is for CPUs, which compute in fp32, and cannot be combined with "
                f"`precision={self.precision}`; use `norm=batch`",
                parameter="norm",
            )
        self._check_float32()
        if self.enb_pooling == "max" and self.pooling != "adaptive":
            raise UsageError(
                "`enb_pooling=max` cannot be written as a matrix product; use it with `pooling=adaptive`",
                parameter="enb_pooling",
            )
        if self.tolerance is not None and not 0 < self.tolerance <= 1:
            raise UsageError(
                f"`tolerance` must be above 0 and up to 1, such as 0.001; got {self.tolerance}",
                parameter="tolerance",
            )

    def _check_float32(self) -> None:
        """Raise `UsageError` for stages that are none, or where nothing would stay in float32."""
        if unknown := [name for name in self.float32 if name not in STAGES]:
            raise UsageError(
                f"`float32` must be some of {', '.join(STAGES)}; got {', '.join(unknown)}", parameter="float32"
            )
        if self.float32 and (self.precision != "fp16" or self.norm_form == "gpu"):
            raise UsageError(
                "`float32` requires `precision=fp16` and a form of norm other than gpu; use `precision=fp16` with "
                "`norm=group`, or leave `float32` out",
                parameter="float32",
            )

    @property
    def norm_form(self) -> Norm:
        """The form of norm in force."""
        if self.norm is not None:
            return self.norm
        return "gpu" if self.precision == "fp16" and self.batch is not None else "group"

    def check_calibration(self, given: bool) -> None:
        """Raise `UsageError` for INT8 without scenes to calibrate on, or such scenes without INT8."""
        if self.precision == "int8" and not given:
            raise UsageError(
                "`precision=int8` requires `calibration`: a folder of photos with trimaps or masks, or drawn scenes",
                parameter="calibration",
            )
        if self.precision != "int8" and given:
            raise UsageError(
                f"`calibration` requires `precision=int8`; got `precision={self.precision}`; change it, or leave "
                "`calibration` out",
                parameter="calibration",
            )

    @property
    def half(self) -> bool:
        """Whether maps are in half precision where they are not in INT8."""
        return self.precision == "fp16" or (self.precision == "int8" and self.norm_form == "gpu")

    @property
    def patch_hw(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        return self.height, self.width

    @property
    def limit(self) -> float:
        """The tolerance in force."""
        return TOLERANCES[self.precision] if self.tolerance is None else self.tolerance

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return a copy with those options that are given, which are not None; batch "dynamic" becomes None."""
        given = {name: value for name, value in options.items() if value is not None}
        if given.get("batch") == "dynamic":
            given["batch"] = None
        return replace(self, **given)


@dataclass(frozen=True)
class Recipe(ExportSpec):
    """A recipe file: a spec, and where the ONNX goes; None for beside the checkpoint."""

    output: Path | None = None


def read_recipe(path: str | Path) -> Recipe:
    """Return the recipe in a TOML file: any of the fields of `ExportSpec`, with `batch` a number or "dynamic", and
    `output`, a name in the file's folder or below.

    Raises `UsageError` that names the file, the key, the value and what is accepted.
    """
    path = Path(path)
    content = read_toml(path, "a recipe")
    if content.get("batch") == "dynamic":  # the default
        del content["batch"]
    recipe = convert(content, Recipe, name="a recipe", place=str(path), error=UsageError)
    return recipe if recipe.output is None else replace(recipe, output=below(path, "output", str(recipe.output)))
