"""Which devices `device=auto` stands for: rules for what is installed, in order, as docs/how-to/engines.md has them.

What was never measured, or gives less than float32, is for those who name it: TensorRT, WebGPU, CoreML, `mps`,
OpenVINO's GPUs and NPUs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engines.openvino import is_compiled
from ..engines.providers import CHECKPOINT, ONNX, PROVIDERS, TENSORRT
from ..matting.trimap import UNKNOWN
from ..sidecar import read_sidecar
from ..specs import EngineSpec
from .trial import earlier_trial

OPENS_S, COMPILES_S = 0.5, 4.0
"""Seconds by which OpenVINO opens later than ONNX Runtime, and that it needs to compile the model beforehand."""
TRIAL_PATCHES = 13
"""Patches of one photo from which on finding out which engine is faster is worth the seconds that it takes."""


@dataclass(frozen=True)
class Case:
    """What is to be run. trimap: (H, W) uint8 of the only photo; None for many."""

    spec: EngineSpec
    path: Path
    trimap: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Rule:
    """A device and when it is chosen. kinds: of artefacts. words: as in the docs. holds: beside being installed."""

    device: str
    kinds: tuple[str, ...]
    words: str
    holds: Callable[[Case], bool]


def _asks_less(case: Case) -> bool:
    """Return whether the user allows less than float32."""
    return case.spec.precision not in (None, "fp32")


def _has_onnxruntime() -> bool:
    """Return whether ONNX Runtime is installed; with OpenVINO alone there is nothing to compare."""
    return PROVIDERS["cpu"].is_here()


def _pays(case: Case) -> bool:
    """Return whether OpenVINO is faster, its start included, or may be and is worth a trial."""
    if _asks_less(case) or not _has_onnxruntime():  # of an ONNX, OpenVINO alone has a choice
        return True
    patches = math.inf if case.trimap is None else _cells(case)
    trial = earlier_trial(case.spec, case.path)
    if trial is None:
        return patches >= TRIAL_PATCHES
    start_s = OPENS_S if is_compiled(case.path, "fp32", case.spec.batch) else COMPILES_S
    return trial.gain_s() > 0 and patches * trial.gain_s() >= start_s


def _cells(case: Case) -> int:
    """Return about how many patches a photo has: those of a grid, side by side, that hold unknown pixels."""
    sidecar = read_sidecar(case.path)
    if sidecar is None or case.trimap is None:
        return 0
    rows, columns = np.nonzero(case.trimap == UNKNOWN)
    return len(np.unique(rows // sidecar.patch_hw[0] * (1 << 32) + columns // sidecar.patch_hw[1]))


RULES = (
    Rule("cuda", (TENSORRT,), "always", lambda _: True),
    Rule(
        "cuda",
        (ONNX,),
        "there is an NVIDIA driver, and onnxruntime-gpu and cuda-python are installed",
        lambda case: case.spec.threads is None and not _asks_less(case),
    ),
    Rule(
        "openvino",
        (ONNX,),
        "openvino is installed and a trial on this machine found it faster, by enough to repay its longer start; or "
        "`precision` allows less than float32",
        _pays,
    ),
    Rule("cpu", (ONNX, CHECKPOINT), "otherwise", lambda _: True),
)


def needs_trial(spec: EngineSpec, path: Path, devices: Sequence[str]) -> bool:
    """Return whether it is still to be found out which of `devices`, as `choices` has them, is faster."""
    return list(devices) == ["openvino", "cpu"] and _has_onnxruntime() and earlier_trial(spec, path) is None


def choices(spec: EngineSpec, path: Path, kind: str, trimap: NDArray[np.uint8] | None = None) -> list[str]:
    """Return the devices that `auto` stands for, the best first; each is the next to try if that does not open.

    kind: of the artefact at `path`. trimap: as `Case` has it.
    """
    case = Case(spec, path, trimap)
    fitting = [rule for rule in RULES if kind in rule.kinds]
    plain = fitting[-1].device
    better = [rule for rule in fitting if rule.device != plain and PROVIDERS[rule.device].is_here()]
    chosen = [rule.device for rule in better if rule.holds(case)]
    return chosen if chosen and _asks_less(case) else [*chosen, plain]
