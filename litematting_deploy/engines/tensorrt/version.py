"""The one seam for TensorRT: which module, which version, its log, and the GPU it would use."""

import functools
import importlib.util
from dataclasses import dataclass
from typing import Any

from ..._optional import install, require
from ...errors import DependencyError, DeviceError
from ...parameters import checked
from ...sidecar import Builder

MAX_REASON = 400
"""Characters of TensorRT's own messages that go into one of ours."""


@dataclass(frozen=True)
class _Backend:
    """module: its name. extra: of this package, the CUDA 13 one. minimum: major and minor version, and why."""

    module: str
    extra: str
    minimum: tuple[int, int]
    reason: str


# What the user calls it. Where both are installed, the first one is taken.
BACKENDS: dict[Builder, _Backend] = {
    "tensorrt": _Backend("tensorrt", "trt-cu13", (10, 0), "older versions change the types that an ONNX specifies"),
    "tensorrt-rtx": _Backend(
        "tensorrt_rtx", "rtx-cu13", (1, 4), "older versions lack functions that this package calls"
    ),
}


@dataclass(frozen=True)
class TensorRT:
    """One of the two modules, in a version that works."""

    backend: Builder
    module: Any
    version: str
    log: Any

    @property
    def is_rtx(self) -> bool:
        """TensorRT for RTX: builds ahead of time without a GPU and compiles the rest where the engine runs."""
        return self.backend == "tensorrt-rtx"

    def logger(self) -> Any:
        """Return the `ILogger` for Builder, Runtime and OnnxParser, which prints nothing and keeps errors and warnings.

        TensorRT takes the first logger of a process for all, so it is one object; what it kept so far is forgotten.
        """
        self.log.forget()
        return self.log

    def builder(self) -> Any:
        """Return a Builder. Raises `DeviceError` where this TensorRT needs a GPU and finds none."""
        logger = self.logger()
        try:
            return self.module.Builder(logger)
        except (TypeError, RuntimeError) as error:  # how the bindings say that the library returned nothing
            raise DeviceError(
                f"{self.backend} {self.version}: no builder could be created, most likely because there is no "
                f"NVIDIA GPU or driver ({logger.summary() or error}); build on a machine that has one, or here with "
                "`backend=tensorrt-rtx`"
            ) from error

    def network_flags(self) -> int:
        """Return the flags for `create_network`: precision is that of the ONNX.

        TensorRT 11 knows nothing else, older ones are told.
        """
        if not self.is_rtx and _numbers(self.version) >= (11, 0):
            return 0
        return 1 << int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def installed_backend() -> Builder:
    """Return the backend to use when none was named. Raises `DependencyError` when there is none."""
    for name, backend in BACKENDS.items():
        if importlib.util.find_spec(backend.module) is not None:
            return name
    raise DependencyError(
        "a TensorRT engine needs tensorrt_rtx (RTX workstations; builds without a GPU) or tensorrt, neither of "
        f"which is installed: {install('rtx-cu13')}, or trt-cu13 instead (CUDA 12: rtx-cu12, trt-cu12)"
    )


@functools.cache
def load(backend: Builder, purpose: str) -> TensorRT:
    """Return the module of a backend. `purpose` begins the message when it is missing: "<purpose> needs tensorrt ...".

    Raises `DependencyError` when it is not installed or too old, `UsageError` for an unknown backend.
    """
    checked("backend", backend, Builder)
    known = BACKENDS[backend]
    module: Any = require(known.module, known.extra, purpose)
    version = str(module.__version__)
    if _numbers(version) < known.minimum:
        least = ".".join(map(str, known.minimum))
        raise DependencyError(
            f"{purpose} needs {known.module} {least} or newer, but {version} is installed, and {known.reason}: "
            f"{install(known.extra)}"
        )
    return TensorRT(backend, module, version, _log(known.module))


def gpu_capability() -> tuple[int, int] | None:
    """Return the compute capability of the first GPU that CUDA shows; None without one, its driver or bindings."""
    try:
        driver: Any = require("cuda.bindings.driver", "cuda13", "looking for a GPU")
        if int(driver.cuInit(0)[0]) != 0:
            return None
    except (DependencyError, RuntimeError):  # RuntimeError: there is no driver library
        return None
    major, minor = (
        driver.cuDeviceGetAttribute(
            getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{part}"), 0
        )
        for part in ("MAJOR", "MINOR")
    )
    return None if int(major[0]) or int(minor[0]) else (int(major[1]), int(minor[1]))


def _numbers(version: str) -> tuple[int, ...]:
    """Return major and minor version, to be compared."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


@functools.cache
def _log(name: str) -> Any:
    """Return the one logger of this process for the module of that name."""
    module: Any = importlib.import_module(name)
    severity = module.ILogger.Severity

    class Log(module.ILogger):  # type: ignore[misc]  # the module is known at run time only
        """What TensorRT said since `forget`.

        errors, warnings: oldest first, without repetitions. layers: the builder's list of layers, which it prints line
        by line where profiling is detailed.
        """

        def __init__(self) -> None:
            super().__init__()
            self.forget()

        def forget(self) -> None:
            """Drop what was kept."""
            self.errors: list[str] = []
            self.warnings: list[str] = []
            self.layers: list[str] = []

        def log(self, level: Any, message: str) -> None:
            """Keep a message that is an error or a warning; TensorRT calls it."""
            if level == severity.VERBOSE:
                self.layers += [line for line in message.splitlines() if ", LayerType: " in line]
                return
            kept = {severity.INTERNAL_ERROR: self.errors, severity.ERROR: self.errors, severity.WARNING: self.warnings}
            messages = kept.get(level)
            text = " ".join(message.split())
            if messages is not None and text not in messages:
                messages.append(text)

        def summary(self) -> str:
            """Return the errors, or else the warnings, in one line of moderate length."""
            text = "; ".join(self.errors or self.warnings)
            return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}..."

    return Log()
