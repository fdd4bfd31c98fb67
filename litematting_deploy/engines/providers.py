"""The libraries that run an artefact: each is registered here, with its devices, its extra and its way in.

To find out whether one is installed, nothing heavy is imported: `auto` asks at every start.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from .._optional import install
from ..errors import UsageError
from ..specs import EngineSpec
from ..system import has_nvidia_driver, is_system
from .base import Engine

ONNX, CHECKPOINT, TENSORRT = "an ONNX", "a checkpoint", "a TensorRT engine"
_SYSTEMS = {"darwin": "macOS"}
INDEX = "N"
"""What stands for the number of a GPU in the parts of a device."""


@dataclass(frozen=True)
class Provider:
    """A library that runs artefacts on a device.

    device: its name in `EngineSpec.device`. parts: what may follow a colon there.
    kinds: of the artefacts that it runs.
    modules: what must be installed for an ONNX to run; extra: what brings it.
    opened: opens an ONNX in host memory; None for what works on CUDA memory, and for PyTorch.
    place: where it computes, in words, as errors about parameters name it.
    on_cuda: works on the memory of a CUDA device.
    system: the only system, in Python's word, that has it.
    also: returns what else is missing, in words.
    """

    device: str
    kinds: tuple[str, ...]
    modules: tuple[str, ...]
    extra: str
    place: str
    opened: Callable[[Path, str, EngineSpec], Engine] | None = None
    parts: tuple[str, ...] = ()
    on_cuda: bool = False
    system: str = ""
    also: Callable[[], str] = lambda: ""

    @property
    def devices(self) -> list[str]:
        """All that `EngineSpec.device` may say for it, such as cuda and cuda:N."""
        return [self.device, *(f"{self.device}:{part}" for part in self.parts)]

    def missing(self) -> str:
        """Return why an ONNX does not run with it here, in words; nothing where it is installed. It is not imported."""
        if self.system and not is_system(self.system):
            return f"`device={self.device}` is for {_SYSTEMS[self.system]}; use `device=auto`"
        if (module := self._absent()) is not None:
            return f"`device={self.device}` needs {module}, which is not installed: {install(self.extra)}"
        return self.also()

    def is_here(self) -> bool:
        """Return whether nothing is `missing`, without the words for it, which take time to find."""
        return not (self.system and not is_system(self.system)) and self._absent() is None and not self.also()

    def _absent(self) -> str | None:
        """Return the first module that is not installed."""
        return next((module for module in self.modules if importlib.util.find_spec(module) is None), None)


def _nvidia() -> str:
    """Return what is missing for ONNX Runtime on an NVIDIA GPU."""
    if not has_nvidia_driver():
        return "`device=cuda`: no NVIDIA driver was found; install it, or use `device=cpu`"
    import importlib.metadata  # takes time, and most machines need it not

    try:
        importlib.metadata.version("onnxruntime-gpu")
    except importlib.metadata.PackageNotFoundError:
        return f"`device=cuda` needs onnxruntime-gpu instead of onnxruntime: {install('gpu')}"
    return ""


def _cpu(path: Path, _: str, spec: EngineSpec) -> Engine:
    from .onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path, spec.threads)


def _openvino(path: Path, part: str, spec: EngineSpec) -> Engine:
    from .openvino import OpenVinoEngine

    return OpenVinoEngine(path, part, spec.precision or "fp32", spec.batch, spec.threads)


def _plugin(kind: Literal["webgpu", "coreml"], path: Path, _: str, __: EngineSpec) -> Engine:
    from .onnxruntime_plugins import OnnxRuntimePlugin

    return OnnxRuntimePlugin(path, kind)


_REGISTERED = (
    Provider("cpu", (ONNX, CHECKPOINT), ("onnxruntime",), "cpu", "on the CPU", _cpu),
    Provider(
        *("cuda", (ONNX, CHECKPOINT, TENSORRT), ("onnxruntime", "cuda"), "gpu", "on a GPU"),
        parts=(INDEX,),
        on_cuda=True,
        also=_nvidia,
    ),
    Provider(
        "tensorrt", (ONNX,), ("onnxruntime", "cuda"), "gpu-trt", "on a GPU", parts=(INDEX,), on_cuda=True, also=_nvidia
    ),
    Provider("openvino", (ONNX,), ("openvino",), "openvino", "on OpenVINO", _openvino, parts=("gpu", "npu")),
    Provider(
        "webgpu",
        (ONNX,),
        ("onnxruntime", "onnxruntime_ep_webgpu"),
        "webgpu",
        "on a GPU from another vendor than NVIDIA",
        partial(_plugin, "webgpu"),
    ),
    # Nobody has run these two yet.
    Provider(
        "coreml", (ONNX,), ("onnxruntime",), "cpu", "on Apple's hardware", partial(_plugin, "coreml"), system="darwin"
    ),
    Provider("mps", (CHECKPOINT,), ("torch",), "export", "on Apple's GPU", system="darwin"),
)
PROVIDERS: Mapping[str, Provider] = {provider.device: provider for provider in _REGISTERED}


def running(kind: str) -> list[Provider]:
    """Return the providers that run artefacts of a kind; the first is the plain one."""
    return [provider for provider in PROVIDERS.values() if kind in provider.kinds]


def provider_for(path: Path, kind: str, device: str) -> tuple[Provider, str]:
    """Return the provider of a device and what follows the colon. Raises `UsageError` for what `kind` cannot use."""
    accepted = {provider.device: provider for provider in running(kind)}
    name, colon, part = device.partition(":")
    provider = accepted.get(name)
    parts = provider.parts if provider is not None else ()
    if provider is None or (colon and part not in parts and not (INDEX in parts and part.isdecimal())):
        listed = [each for one in accepted.values() for each in one.devices]
        fix = "" if kind == ONNX else "; an ONNX file runs on the CPU and on any GPU"
        raise UsageError(
            f"{path}: `device` must be {', '.join(listed)} or auto for {kind}; got {device!r}{fix}",
            parameter="device",
        )
    return provider, part
