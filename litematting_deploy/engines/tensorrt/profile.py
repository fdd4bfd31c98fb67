"""What to build: one value, from options or from a profile file."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from ...errors import UsageError
from ...files import below
from ...parameters import check_number
from ...schema import decode
from ...sidecar import Builder
from ...specs import Spec
from ..device import DEFAULT_BATCH

HardwareCompatibility: TypeAlias = Literal["none", "ampere+", "same-capability"]

DEFAULT_MAX_BATCH = 8

_BOUNDS = {
    **dict.fromkeys(("min_batch", "opt_batch", "max_batch"), (1, 1024)),
    "workspace_mib": (1, 1 << 20),
    "optimization_level": (0, 5),
    **dict.fromkeys(("bandwidth_gb_s", "fp16_tflops", "fp32_tflops"), (1, 100_000)),
}

_DATA_SHEET = ("gpu", "bandwidth_gb_s", "fp16_tflops", "fp32_tflops")

# what TensorRT for RTX has nothing of -> why
_NOT_FOR_RTX = {
    "timing_cache": "times nothing while it builds",
    "hardware_compatibility": "builds for every one of `architectures` instead",
}


@dataclass(frozen=True)
class BuildProfile(Spec):
    """A description of the engine to build. None leaves a choice to the builder, or to the ONNX.

    - `backend`: `tensorrt` or `tensorrt-rtx`; the installed one by default.
    - `min_batch`, `opt_batch`, `max_batch`: smallest, best and largest batch, by default 1, 1 and 8; an ONNX with a
      fixed batch keeps that.
    - `architectures`: compute capabilities such as `8.9`, for `tensorrt-rtx` only; by default the GPU's own, or those
      of RTX 30, 40 and 50 if there is no GPU.
    - `tf32`: let an fp32 ONNX multiply in TF32.
    - `workspace_mib`: limit of scratch memory on the device.
    - `optimization_level`: 0 (quick) to 5.
    - `timing_cache`: file that keeps measured kernels between builds.
    - `hardware_compatibility`: let the engine run on other GPUs than this one.
    - `refit`: let the weights be replaced later; this needs a GPU.
    - `layers`: file, .json or .html, for what every layer of the engine reads and writes; for one architecture.
    - `gpu`, `bandwidth_gb_s`, `fp16_tflops`, `fp32_tflops`: name and data-sheet figures of a GPU, for an estimate in
      `layers`.
    """

    backend: Builder | None = None
    min_batch: int | None = None
    opt_batch: int | None = None
    max_batch: int | None = None
    architectures: tuple[str, ...] = ()
    tf32: bool = False
    workspace_mib: int | None = None
    optimization_level: int | None = None
    timing_cache: Path | None = None
    hardware_compatibility: HardwareCompatibility = "none"
    refit: bool = False
    layers: Path | None = None
    gpu: str | None = None
    bandwidth_gb_s: float | None = None
    fp16_tflops: float | None = None
    fp32_tflops: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "architectures", tuple(dict.fromkeys(map(_architecture, self.architectures))))
        for name, (least, most) in _BOUNDS.items():
            check_number(name, getattr(self, name), least, most)
        if self.backend == "tensorrt" and self.architectures:
            raise UsageError(
                f"`architectures={' '.join(self.architectures)}` cannot be combined with `backend=tensorrt`, which "
                "builds for the GPU of this machine; leave it out, or build for other GPUs with `backend=tensorrt-rtx`",
                parameter="architectures",
            )
        for name, reason in _NOT_FOR_RTX.items():
            if self.backend == "tensorrt-rtx" and getattr(self, name) not in (None, "none"):
                raise UsageError(
                    f"`{name}` cannot be combined with `backend=tensorrt-rtx`, which {reason}; leave it out",
                    parameter=name,
                )
        self.batches(None)

    def batches(self, fixed: int | None) -> tuple[int, int, int]:
        """Return least, best and most patches at a time: the `fixed` batch of an ONNX, or for a dynamic one (None) the
        profile's.

        Raises `UsageError` where those contradict each other.
        """
        if fixed is not None:
            return fixed, fixed, fixed
        least = self.min_batch or 1
        most = self.max_batch or max(DEFAULT_MAX_BATCH, self.opt_batch or 1, least)
        best = self.opt_batch or min(max(DEFAULT_BATCH, least), most)
        if not least <= best <= most:
            raise UsageError(
                f"`min_batch`, `opt_batch` and `max_batch` must not decrease; got {least}, {best}, {most}",
                parameter="opt_batch",
            )
        return least, best, most

    def with_options(self, **options: Any) -> Self:
        """Return a copy with those of the fields that are given: neither None nor empty.

        The figures of a GPU's data sheet are dropped where other architectures are given, as they would be another's.
        """
        given = {name: value for name, value in options.items() if value not in (None, ())}
        changed = replace(self, **given)
        if changed.architectures == self.architectures:
            return changed
        dropped: dict[str, Any] = {name: None for name in _DATA_SHEET if name not in given}
        return replace(changed, **dropped)


def _architecture(text: str) -> str:
    """Return a compute capability as 8.9, whether it is written `89`, `sm_89` or `8.9`."""
    found = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", text.strip().lower())
    if found is None:
        raise UsageError(
            f"`architectures` must be compute capabilities such as 8.9 or 89; got {text!r}; nvidia-smi shows that "
            "of a GPU",
            parameter="architectures",
        )
    return f"{int(found[1])}.{found[2]}"


def read_profile(path: str | Path) -> BuildProfile:
    """Return the profile in a TOML file, which holds any of the fields of `BuildProfile`.

    Its files are names in the profile's folder or below. Raises `UsageError` naming the file and what is wrong in it.
    """
    path = Path(path)
    profile = decode(path, BuildProfile, name="a profile", toml=True, error=UsageError)
    found = {name: getattr(profile, name) for name in ("timing_cache", "layers")}
    return profile.with_options(**{name: below(path, name, str(file)) for name, file in found.items() if file})
