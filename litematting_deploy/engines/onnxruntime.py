"""ONNX Runtime: as an engine on the CPU, and through its CUDA and TensorRT providers on memory of a device."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from ..errors import ArtefactError, DeviceError, UsageError, first_line
from ..sidecar import Sidecar, check_sidecar, essentials, sidecar_path
from .base import CHANNELS, Batch, Engine, check_contract
from .device import DeviceArtefact, DeviceEngine, Gpu, checked_batch

_ERROR_NAMES = (
    *("EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf"),
    *("NoSuchFile", "NotImplemented", "RuntimeException"),
)
# name of a device -> execution providers, the one that is meant first
_PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}


class OnnxRuntimeEngine(Engine):
    """An exported ONNX in ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """threads: all cores by default. Raises `ArtefactError` when the file breaks its sidecar or the contract."""
        ort: Any = require("onnxruntime", "cpu", "running an ONNX")
        options = {} if threads is None else {"intra_op_num_threads": threads}
        self._opened = open_session(ort, path, check_sidecar(path), [("CPUExecutionProvider", {})], options)
        self.name, self.device, self.version = "onnxruntime-cpu", "cpu", ort.__version__
        self.patch_hw, self.batch, self.precision = self._opened.patch_hw, self._opened.batch, self._opened.precision

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        opened = self._opened
        try:
            alpha: Batch = opened.session.run(["alpha"], {"image": image, "trimap": trimap, "guide": guide})[0]
        except opened.errors as error:
            raise opened.failure("cpu", len(image), error) from error
        return alpha

    def close(self) -> None:
        self._opened.session, self.closed = None, True


class OnnxRuntimeArtefact(DeviceArtefact):
    """An exported ONNX for ONNX Runtime on a GPU."""

    def __init__(self, path: Path, kind: str) -> None:
        """kind: `cuda` or `tensorrt`, the provider that runs it.

        Raises `ArtefactError` where the sidecar disagrees, `DeviceError` where the wheel lacks the provider.
        """
        self._path, self._kind = path, kind
        self._ort = provider_runtime(kind)
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
        self._opened.session, self.closed = None, True


def provider_runtime(kind: str) -> Any:
    """Return the onnxruntime module if it has the execution provider for `kind`, `cuda` or `tensorrt`.

    Raises `DependencyError` or `DeviceError`.
    """
    ort: Any = require("onnxruntime", "gpu", "running an ONNX")
    provider = _PROVIDERS[kind][0]
    if provider not in ort.get_available_providers():
        raise DeviceError(
            f"`device={kind}`: the installed onnxruntime {ort.__version__} has no {provider}; replace it: "
            "pip uninstall onnxruntime, then pip install 'litematting-deploy[gpu]'"
        )
    if hasattr(ort, "preload_dlls"):  # finds CUDA and cuDNN where their wheels are
        ort.preload_dlls()
    return ort


@dataclass
class Opened:
    """A session of a file that keeps the contract.

    errors: the classes of what ONNX Runtime raises. batch: the only number of patches it takes, None for any.
    """

    path: Path
    session: Any
    errors: tuple[type[Exception], ...]
    patch_hw: tuple[int, int]
    batch: int | None
    precision: str

    def failure(self, device: str, count: int, error: Exception) -> DeviceError:
        """Return what to raise when a run of `count` patches failed."""
        return DeviceError(
            f"{self.path}: failed on {device} with {count} patches at a time; use a smaller `batch` or smaller patches "
            f"if memory is short ({first_line(error)})"
        )


def open_session(
    ort: Any,
    path: Path,
    sidecar: Sidecar | None,
    providers: list[tuple[str, dict[str, str]]],
    settings: dict[str, Any],
) -> Opened:
    """Open a session on the first of `providers`; the others take single operators that it lacks.

    providers: names and options. settings: attributes of `SessionOptions`. Raises `ArtefactError`, or `DeviceError`
    where another provider starts.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised as well; its log would print what a file says as it is
    options.enable_mem_pattern = False  # its plan nearly doubles the memory of a 640x640 patch and saves no time
    for name, value in settings.items():
        setattr(options, name, value)
    errors = tuple(getattr(ort.capi.onnxruntime_pybind11_state, name) for name in _ERROR_NAMES)
    try:
        # The resolved path finds weights beside the file also where an installer links files one by one.
        session = ort.InferenceSession(str(path.resolve()), options, providers, enable_fallback=0)
    except (*errors, ValueError, RuntimeError) as error:
        raise ArtefactError(
            f"{path}: ONNX Runtime cannot load it, it is damaged or not for this device; "
            f"export it again with ltm-export ({first_line(error)})"
        ) from error
    started, wanted = session.get_providers()[0], providers[0][0]
    if started != wanted:
        raise DeviceError(
            f"{path}: {wanted} did not start, ONNX Runtime fell back to {started}; "
            "check the driver and the CUDA libraries, or use `device=cpu`"
        )
    try:
        patch_hw, batch = _contract(path, session)
        _compare(path, sidecar, session, patch_hw, batch)
    except UnicodeDecodeError as error:
        raise ArtefactError(f"{path}: holds names that are no text, it is damaged; export it again") from error
    return Opened(path, session, errors, patch_hw, batch, sidecar.precision if sidecar else "unknown")


def _contract(path: Path, session: Any) -> tuple[tuple[int, int], int | None]:
    """Return the patch size, and the batch where that is fixed."""
    tensors = {tensor.name: tensor for tensor in [*session.get_inputs(), *session.get_outputs()]}
    patch_hw = check_contract(path, {name: (item.shape, item.type) for name, item in tensors.items()}, "tensor(float)")
    batch = tensors["image"].shape[0]
    return patch_hw, batch if isinstance(batch, int) else None


def _compare(path: Path, sidecar: Sidecar | None, session: Any, patch_hw: tuple[int, int], batch: int | None) -> None:
    if sidecar is None:
        warnings.warn(f"{path} has no sidecar {sidecar_path(path).name}: its origin is unknown", stacklevel=5)
        return
    inside = {**session.get_modelmeta().custom_metadata_map, **essentials(patch_hw=patch_hw, batch=batch)}
    for name, said in sidecar.essentials().items():
        if inside.get(name) != said:
            raise ArtefactError(
                f"{path}: {name.partition('.')[2]} is {inside.get(name, 'missing')} in the file, "
                f"its sidecar says {said}; export it again: {sidecar.export_command()}"
            )
