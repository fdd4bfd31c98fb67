"""The checks of `ltm-doctor`: which there are, what one returns, and how all of them are made.

No check is imported here, and each runs in a process of its own (`isolation`): a broken library is one row there.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from .._optional import install
from ..errors import DependencyError, LiteMattingError
from ..isolation import ProcessError, call

RUNS, INSTALLED, UNAVAILABLE, BROKEN = "runs", "installed", "unavailable", "broken"
DRIVER = "NVIDIA driver"
_AT_ONCE = 4


@dataclass(frozen=True)
class Check:
    """One check, and so one row of the table.

    name: what the table calls it.
    group: `files`, `host` or `gpu`; the function is in the module of that name, as `check_host`.
    function: the name of a function without arguments that returns a `Found`. It raises `MissingError` where something
    optional is missing (see `needs`), and any other error of this package where something that is there does not work.
    needed: the default path, `ltm-infer` on the CPU with the shipped weights, depends on it.
    module: what a check that takes long, since it compiles or runs a network beside the default path, needs to import;
    only a full examination makes the check, any other imports the module where it is installed. Empty for a check that
    is quick.
    gpu: it is about a GPU of another maker than NVIDIA.
    timeout_s: seconds that its process may take.
    """

    name: str
    group: str
    function: str
    needed: bool = False
    timeout_s: float = 60
    module: str = ""
    gpu: bool = False


CHECKS = (
    Check("shipped weights", "files", "shipped", needed=True),
    Check("image formats", "files", "images", needed=True),
    Check("OpenEXR", "files", "openexr"),
    Check("HEIC and AVIF", "files", "containers"),
    Check("clips", "files", "clips"),
    Check("cache folder", "files", "cache"),
    Check("ONNX Runtime on the CPU", "host", "onnxruntime_cpu", needed=True, timeout_s=120),
    Check("OpenVINO", "host", "openvino", timeout_s=120, module="openvino"),
    Check("ONNX Runtime, WebGPU", "host", "webgpu", gpu=True),
    Check("ONNX Runtime, CoreML", "host", "coreml", timeout_s=120, gpu=True),
    Check("PyTorch on the CPU", "host", "pytorch_cpu", timeout_s=120, module="torch"),
    Check("PyTorch on Apple's GPU", "host", "mps", timeout_s=120, gpu=True),
    Check("Triton client", "host", "triton"),
    Check("foreground colours", "host", "foreground"),
    Check("kernels compile", "host", "kernels", module="cuda.bindings.nvrtc"),
    Check("ltm-build for RTX GPUs", "host", "tensorrt_rtx", module="tensorrt_rtx"),
    Check(DRIVER, "gpu", "driver"),
    Check("kernels run", "gpu", "cuda_python"),
    Check("ONNX Runtime, CUDA", "gpu", "onnxruntime_cuda", timeout_s=120),
    Check("ONNX Runtime, TensorRT", "gpu", "onnxruntime_tensorrt", timeout_s=180),
    Check("PyTorch on CUDA", "gpu", "pytorch_cuda", timeout_s=120),
    Check("TensorRT engines", "gpu", "tensorrt", timeout_s=180),
    Check("TensorRT for RTX engines", "gpu", "tensorrt_rtx", timeout_s=120),
)


@dataclass(frozen=True)
class Found:
    """The result of a check that passed. version: of the library, may be empty. detail: one line."""

    version: str
    detail: str


class MissingError(LiteMattingError):
    """Something optional that a check needs is not on this machine. That is no fault."""


def needs(*conditions: Callable[[], Any]) -> list[Any]:
    """Call all conditions, and return what each found; raise one `MissingError` with the reasons of all that fail.

    conditions: functions that raise an error of this package where what they look for is missing.
    Raises `MissingError`, and the `DependencyError` of a package that is installed and does not import, a fault.
    """
    found, reasons = [], []
    for condition in conditions:
        try:
            found.append(condition())
        except DependencyError as error:
            if error.__cause__ is not None:
                raise
            reasons.append(str(error))
        except LiteMattingError as error:
            reasons.append(str(error))
    if reasons:
        raise MissingError("; also ".join(reasons))
    return found


def overwritten(other: str, extras: str) -> str:
    """Return what to say where a wheel that overwrites files of onnxruntime is installed beside it, else nothing.

    other: the wheel. extras: of this package, which install what is right instead.
    """
    names = {str(found.metadata["Name"]).lower() for found in importlib.metadata.distributions()}
    if not {"onnxruntime", other} <= names:
        return ""
    return (
        f"onnxruntime and {other} are both installed and overwrite each other: pip uninstall onnxruntime {other}, "
        f"then {install(extras)}"
    )


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    name, group, needed: those of the check.
    state: `runs`; `installed`, where it was imported and no more; `unavailable`, where something optional is missing;
    or `broken`, where what is there fails.
    version: of the library, or empty.
    detail: the result or the reason, in one line.
    seconds: how long its process took.
    """

    name: str
    group: str
    needed: bool
    state: str
    version: str
    detail: str
    seconds: float

    @property
    def harmful(self) -> bool:
        """Whether the default path does not work."""
        return self.needed and self.state != RUNS


def examine(
    checks: Sequence[Check] = CHECKS, done: Callable[[str], None] = lambda _: None, full: bool = True
) -> list[Outcome]:
    """Make checks, a few at a time, and return their outcomes in order.

    checks: those to make.
    done: called with the name of each check when it ends, from any thread.
    full: make those that take long, too, see `Check.module`, and those of GPUs where there is no driver; otherwise
    what is missing of GPUs is one outcome.
    """

    def one(check: Check) -> Outcome:
        """Make one check in a process of its own."""
        started = time.perf_counter()
        try:
            state, found = call(f"{__name__}:attempt", check, full, timeout_s=check.timeout_s)
        except ProcessError as error:
            state, found = BROKEN, Found("", str(error))
        seconds = round(time.perf_counter() - started, 2)
        done(check.name)
        # Errors of other libraries may have several lines, and a check is one row.
        detail = " ".join(found.detail.split())
        return Outcome(check.name, check.group, check.needed, state, found.version, detail, seconds)

    # Not in a `with`, which would wait for all checks where somebody interrupts.
    workers = ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1))
    try:
        first = [check for check in checks if full or check.group != "gpu" or check.name == DRIVER]
        found = list(workers.map(one, first))
        if not full and any(each.name == DRIVER and each.state != UNAVAILABLE for each in found):
            found += workers.map(one, [check for check in checks if check not in first])
    finally:
        workers.shutdown(cancel_futures=True)
    return found if full else _folded(found, {check.name for check in checks if check.gpu or check.group == "gpu"})


def _folded(outcomes: list[Outcome], of_gpus: set[str]) -> list[Outcome]:
    """Return outcomes with those of GPUs in one, at the end, where there is no driver and they say so."""
    driver = next((each for each in outcomes if each.name == DRIVER), None)
    if driver is None or driver.state != UNAVAILABLE:
        return outcomes
    left = [each for each in outcomes if each.name not in of_gpus or each.state != UNAVAILABLE]
    return [
        *left,
        replace(driver, name="GPUs", detail=f"{driver.detail}; `full` lists what is missing for each kind of GPU"),
    ]


def attempt(check: Check, full: bool = True) -> tuple[str, Found]:
    """Make a check in this process, and return its state with what was found, or with the reason in its place.

    full: as of `examine`.
    """
    try:
        if not full and check.module and importlib.util.find_spec(check.module.partition(".")[0]) is not None:
            version = getattr(importlib.import_module(check.module), "__version__", "")
            return INSTALLED, Found(f"{check.module} {version}".strip(), "can be imported; `full` also runs it")
        module = importlib.import_module(f"{__package__}.check_{check.group}")
        return RUNS, getattr(module, check.function)()
    except LiteMattingError as error:
        return UNAVAILABLE if isinstance(error, MissingError) else BROKEN, Found("", str(error))
    except ImportError as error:
        again = "a library is missing or cannot be loaded; reinstall litematting-deploy with its dependencies"
        return BROKEN, Found("", f"{error}: {again}")
