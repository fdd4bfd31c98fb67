"""What to build: one value, from options or from a profile file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from ...errors import UsageError
from ...files import below, read_toml
from ..device import DEFAULT_BATCH
from .version import BACKENDS

HardwareCompatibility = Literal["none", "ampere+", "same-capability"]

DEFAULT_MAX_BATCH = 8

_BOUNDS = {
    **dict.fromkeys(("min_batch", "opt_batch", "max_batch"), (1, 1024)),
    "workspace_mib": (1, 1 << 20),
    "optimization_level": (0, 5),
}

# what TensorRT for RTX has nothing of -> why
_NOT_FOR_RTX = {
    "timing_cache": "times nothing while it builds",
    "hardware_compatibility": "takes --sm for every architecture instead",
}


@dataclass(frozen=True)
class BuildProfile:
    """What the engine is to be. None: left to the builder, or to the ONNX.

    backend: `tensorrt` or `tensorrt-rtx`, the installed one by default. min_batch, opt_batch, max_batch: patches at a
    time, by default 1, up to 4 and 8, or the ONNX's own where that is fixed. architectures: compute capabilities, as
    `8.9`; for `tensorrt-rtx` alone, by default the GPU's own, or those of RTX 30, 40 and 50 where there is no GPU.
    tf32: let an fp32 ONNX multiply in TF32. workspace_mib: limit of scratch memory on the device.
    optimization_level: 0 (quick) to 5. timing_cache: file that keeps measured kernels between builds.
    hardware_compatibility: run on other GPUs than this one. refit: weights can be replaced later. layers: JSON file
    for detailed information on every layer of the engine. The last two need a GPU.
    """

    backend: str | None = None
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

    def __post_init__(self) -> None:
        choices = get_args(HardwareCompatibility)
        if self.backend is not None and self.backend not in BACKENDS:
            raise UsageError(f"backend {self.backend!r}: wanted one of {', '.join(BACKENDS)}")
        if self.hardware_compatibility not in choices:
            raise UsageError(
                f"hardware_compatibility {self.hardware_compatibility!r}: wanted one of {', '.join(choices)}"
            )
        object.__setattr__(self, "architectures", tuple(dict.fromkeys(map(_architecture, self.architectures))))
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"{name} {value}: wanted {least} to {most}")
        self._check_backend()
        self.batches(None)

    def _check_backend(self) -> None:
        if self.backend == "tensorrt" and self.architectures:
            raise UsageError(
                f"--sm {' '.join(self.architectures)}: tensorrt builds for the GPU of this machine; leave it out, or "
                "build for other GPUs with --backend tensorrt-rtx"
            )
        for name, reason in _NOT_FOR_RTX.items():
            if self.backend == "tensorrt-rtx" and getattr(self, name) not in (None, "none"):
                raise UsageError(f"{name} {getattr(self, name)}: tensorrt-rtx {reason}; leave it out")

    def batches(self, fixed: int | None) -> tuple[int, int, int]:
        """Least, best and most patches at a time, for an ONNX of a `fixed` batch or a dynamic one (None).

        Raises `UsageError` where they contradict each other or the ONNX.
        """
        if fixed is not None:
            for name in ("min_batch", "opt_batch", "max_batch"):
                if getattr(self, name) not in (None, fixed):
                    raise UsageError(
                        f"{name} {getattr(self, name)}: the ONNX takes exactly {fixed} patches at a time; leave it out "
                        "or export with --batch dynamic"
                    )
            return fixed, fixed, fixed
        least = self.min_batch or 1
        most = self.max_batch or max(DEFAULT_MAX_BATCH, self.opt_batch or 1, least)
        best = self.opt_batch or min(max(DEFAULT_BATCH, least), most)
        if not least <= best <= most:
            raise UsageError(f"batches {least}, {best}, {most}: wanted min_batch <= opt_batch <= max_batch")
        return least, best, most

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """A copy with those options that are given (neither None nor empty)."""
        return replace(self, **{name: value for name, value in options.items() if value not in (None, ())})


def _architecture(text: str) -> str:
    """`89`, `sm_89` and `8.9` are all 8.9."""
    found = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", text.strip().lower())
    if found is None:
        raise UsageError(f"compute capability {text!r}: wanted a number as 8.9 or 89; see nvidia-smi --query-gpu")
    return f"{int(found[1])}.{found[2]}"


def read_profile(path: str | Path) -> BuildProfile:
    """Read a TOML file with any of the fields of `BuildProfile`; its files are names in the profile's folder or below.

    Raises `UsageError` naming the file and what is wrong in it.
    """
    path = Path(path)
    content = read_toml(path, "a profile")
    known = [field.name for field in fields(BuildProfile)]
    for name, value in content.items():
        if name not in known:
            raise UsageError(f"{path}: unknown key {name!r}; a profile has {', '.join(known)}")
        if not _right_type(name, value):
            raise UsageError(f"{path}: {name} = {value!r} has the wrong type or is empty; see engines/README.md")
        if name in ("timing_cache", "layers"):
            content[name] = below(path, name, value)
    try:
        return BuildProfile(**content)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _right_type(name: str, value: object) -> bool:
    if name == "architectures":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if name in ("tf32", "refit"):
        return isinstance(value, bool)
    if name in ("timing_cache", "layers"):
        return isinstance(value, str) and bool(value)
    if name in ("backend", "hardware_compatibility"):
        return isinstance(value, str)
    return type(value) is int
