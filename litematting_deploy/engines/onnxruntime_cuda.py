"""ONNX Runtime's CUDA and TensorRT execution providers on memory of the device (IO binding)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from ..errors import DeviceError, UsageError
from ..sidecar import check_sidecar
from .base import CHANNELS
from .device import DeviceArtefact, DeviceEngine, Gpu, checked_batch
from .onnxruntime import open_session

# what --device says -> execution providers, first one first
_PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}


class OnnxRuntimeArtefact(DeviceArtefact):
    """An ONNX for `--device cuda` or `--device tensorrt`."""

    def __init__(self, path: Path, device: str) -> None:
        """Raises `ArtefactError` where the sidecar disagrees, `DeviceError` where the wheel lacks the provider."""
        self._path, self._kind = path, device.partition(":")[0]
        self._ort = runtime(device)
        self._sidecar = check_sidecar(path)

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        shared = {"device_id": str(gpu.index), "user_compute_stream": str(gpu.stream)}
        options: dict[str, dict[str, str]] = {
            "CUDAExecutionProvider": {**shared, "use_tf32": "0"},  # fp32 means what it says
            "TensorrtExecutionProvider": shared,
            "CPUExecutionProvider": {},
        }
        providers = [(name, options[name]) for name in _PROVIDERS[self._kind]]
        return _OnnxRuntimeDevice(self._ort, self._path, self._sidecar, providers, self._kind, gpu, batch)


class _OnnxRuntimeDevice(DeviceEngine):
    """One session, bound to device memory. It allocates beside us, and does not say how much."""

    capturable = False  # single operators may run on the CPU
    device_bytes = None

    def __init__(
        self, ort: Any, path: Path, sidecar: Any, providers: Any, kind: str, gpu: Gpu, batch: int | None
    ) -> None:
        self._opened = open_session(ort, path, sidecar, providers, {})
        self.name, self.device, self.version = f"onnxruntime-{kind}", f"{kind}:{gpu.index}", ort.__version__
        self.patch_hw, self.precision = self._opened.patch_hw, self._opened.precision
        if kind == "tensorrt" and self.precision == "fp32":
            self.precision = "tf32"  # this provider has no option that turns it off
        self.batch = checked_batch(batch, self._opened.batch, str(path))
        self._index, self._stream = gpu.index, gpu.stream
        self._run = ort.RunOptions()
        self._run.add_run_config_entry("disable_synchronize_execution_providers", "1")  # the stream keeps the order

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        if stream != self._stream:
            raise UsageError(f"{self.name}: opened for stream {self._stream}, asked to run on {stream}")
        opened = self._opened
        binding = opened.session.io_binding()
        for name, address in addresses.items():
            bind = binding.bind_output if name == "alpha" else binding.bind_input
            bind(name, "cuda", self._index, np.float32, (self.batch, CHANNELS[name], *self.patch_hw), address)
        try:
            opened.session.run_with_iobinding(binding, self._run)
        except opened.errors as error:
            raise opened.failure(self.device, self.batch, error) from error

    def close(self) -> None:
        self._opened.session = None


def runtime(device: str) -> Any:
    """The onnxruntime module, if it has the execution provider of `device`. Raises what keeps it from that."""
    kind = device.partition(":")[0]
    if kind not in _PROVIDERS:
        raise UsageError(f"device {device!r}: ONNX Runtime has cpu, cuda, cuda:N, tensorrt and tensorrt:N")
    ort: Any = require("onnxruntime", "gpu", "running an ONNX")
    provider = _PROVIDERS[kind][0]
    if provider not in ort.get_available_providers():
        raise DeviceError(
            f"device {device}: the installed onnxruntime {ort.__version__} has no {provider}; replace it: "
            "pip uninstall onnxruntime, then pip install 'litematting-deploy[gpu]'"
        )
    if hasattr(ort, "preload_dlls"):  # finds CUDA and cuDNN where their wheels are
        ort.preload_dlls()
    return ort
