"""ONNX Runtime on GPUs of other makers than NVIDIA: its WebGPU plugin, and CoreML, which its wheel for macOS has."""

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from .._optional import require
from ..errors import DeviceError, first_line
from ..sidecar import check_sidecar
from .onnxruntime import HOST, InSession, OnnxRuntimeEngine, Providers, errors, open_session

_WEBGPU, _COREML = "WebGpuExecutionProvider", "CoreMLExecutionProvider"
_SHOWN = 3


class OnnxRuntimePlugin(OnnxRuntimeEngine):
    """An exported ONNX on a GPU, from and to host memory. Nodes that the provider lacks run on the CPU.

    on_cpu: how many of these there are of each operator; None where ONNX Runtime does not say.
    """

    on_cpu: Counter[str] | None = None

    def __init__(self, path: Path, kind: Literal["webgpu", "coreml"]) -> None:
        """Raises `ArtefactError` when the file breaks its sidecar or the contract, `DeviceError` where there is no such
        GPU, or `DependencyError`.
        """
        sidecar = check_sidecar(path)
        ort, providers, plugins = _providers(kind)
        session = open_session(ort, path, providers, sidecar=sidecar, plugins=plugins)
        InSession.__init__(self, ort, path, sidecar, session)
        self.name, self.device, self.batch = f"onnxruntime-{kind}", kind, self.fixed_batch
        if plugins:
            parts = self._session.get_provider_graph_assignment_info()
            nodes = [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]
            self.on_cpu = Counter(operator for place, operator in nodes if place == HOST[0])
            self._nodes = len(nodes)

    def describe(self) -> str:
        """Return one line for people as `Engine.describe` does, with the nodes that run on the CPU."""
        if not self.on_cpu:
            return super().describe()
        named = [f"{count} {operator}" for operator, count in self.on_cpu.most_common()]
        others = ["..."] if len(named) > _SHOWN else []
        shown = ", ".join(named[:_SHOWN] + others)
        return f"{super().describe()}, {self.on_cpu.total()} of {self._nodes} nodes on the CPU ({shown})"


def plugin_session(path: Path, kind: str) -> tuple[Any, Any]:
    """Return a session of any ONNX on such a device, and the onnxruntime module. kind: `webgpu` or `coreml`."""
    ort, providers, plugins = _providers(kind)
    return open_session(ort, path, providers, plugins=plugins), ort


def _providers(kind: str) -> tuple[Any, Providers, list[Any]]:
    """Return the onnxruntime module, its providers for a kind of device, and the plugin's devices.

    Raises `DeviceError` or `DependencyError`.
    """
    ort: Any = require("onnxruntime", "cpu", "running an ONNX")
    plugins = _webgpu_devices(ort) if kind == "webgpu" else []
    if kind == "coreml" and _COREML not in ort.get_available_providers():
        raise DeviceError(
            f"`device=coreml`: the installed onnxruntime {ort.__version__} has no {_COREML}, which only its macOS "
            "wheels contain; use `device=cpu`"
        )
    return ort, [(_WEBGPU, {}) if plugins else (_COREML, {"ModelFormat": "MLProgram"}), HOST], plugins


def _webgpu_devices(ort: Any) -> list[Any]:
    """Return the device of the WebGPU plugin, which chooses the GPU itself. Raises `DependencyError`, `DeviceError`."""
    plugin: Any = require("onnxruntime_ep_webgpu", "webgpu", "`device=webgpu`")
    known = [device for device in ort.get_ep_devices() if device.ep_name == _WEBGPU]
    if not known:
        try:
            ort.register_execution_provider_library(_WEBGPU, plugin.get_library_path())
        except errors(ort) as error:
            raise DeviceError(
                f"`device=webgpu`: the plugin cannot be loaded ({first_line(error)}); on Linux it needs the "
                "system's libvulkan1"
            ) from error
        known = [device for device in ort.get_ep_devices() if device.ep_name == _WEBGPU]
    if not known:
        raise DeviceError(
            "`device=webgpu`: the plugin sees no GPU; install its driver (on Linux Vulkan's, as in "
            "mesa-vulkan-drivers), or use `device=cpu`"
        )
    return known[:1]
