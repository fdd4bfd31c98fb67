"""ONNX Runtime as an engine: CPU everywhere, CUDA and TensorRT execution providers where its wheel has them."""

import warnings
from pathlib import Path
from typing import Any

from .._optional import require
from ..errors import ArtefactError, DeviceError, UsageError
from ..sidecar import Sidecar, check_sidecar, essentials, sidecar_path
from .base import CHANNELS, Batch, Engine

# device name -> (extra that brings the wheel, execution providers, first one first)
_PROVIDERS = {
    "cpu": ("cpu", ["CPUExecutionProvider"]),
    "cuda": ("gpu", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
    "tensorrt": ("gpu", ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]),
}
_ERROR_NAMES = (
    *("EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf"),
    *("NoSuchFile", "NotImplemented", "RuntimeException"),
)


def check_device(device: str) -> None:
    """Raise what would keep ONNX Runtime from `device`, before there is an ONNX."""
    _runtime(device)


def _parse(device: str) -> tuple[str, int]:
    kind, _, index = device.partition(":")
    if kind not in _PROVIDERS or (index and not index.isdecimal()) or (index and kind == "cpu"):
        raise UsageError(f"device {device!r}: ONNX Runtime has cpu, cuda, cuda:N, tensorrt and tensorrt:N")
    return kind, int(index or 0)


def _runtime(device: str) -> Any:
    """The onnxruntime module, if it has the execution provider of `device`."""
    extra, providers = _PROVIDERS[_parse(device)[0]]
    ort: Any = require("onnxruntime", extra, "running an ONNX")
    if providers[0] not in ort.get_available_providers():
        raise DeviceError(
            f"device {device}: the installed onnxruntime {ort.__version__} has no {providers[0]}; replace it: "
            f"pip uninstall onnxruntime, then pip install 'litematting-deploy[{extra}]'"
        )
    return ort


def _settings(provider: str, index: int) -> dict[str, str]:
    if provider == "CPUExecutionProvider":
        return {}
    tf32 = {"use_tf32": "0"} if provider == "CUDAExecutionProvider" else {}  # fp32 means what it says
    return {"device_id": str(index), **tf32}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class OnnxRuntimeEngine(Engine):
    """An exported ONNX in ONNX Runtime."""

    def __init__(self, path: Path, device: str = "cpu", threads: int | None = None) -> None:
        """device: `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`. threads: of the CPU; all cores by default.

        Raises `ArtefactError` when the file does not match its sidecar or the contract, `DeviceError` when the device
        cannot be used. A session that starts on the CPU instead is not accepted; single operators that a GPU provider
        lacks do run on the CPU.
        """
        kind, index = _parse(device)
        self._ort = _runtime(device)
        self._errors = tuple(getattr(self._ort.capi.onnxruntime_pybind11_state, name) for name in _ERROR_NAMES)
        self.name, self.device, self.version = f"onnxruntime-{kind}", device, self._ort.__version__
        sidecar = check_sidecar(path)
        self._path = path
        self._session = self._open(_PROVIDERS[kind][1], index, threads)
        self.patch_hw, self.batch = _contract(path, self._session)
        self.precision = sidecar.precision if sidecar else "unknown"
        _compare(path, sidecar, self._session, self.patch_hw, self.batch)

    def _open(self, providers: list[str], index: int, threads: int | None) -> Any:
        options = self._ort.SessionOptions()
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # its plan nearly doubles the memory of a 640x640 patch and saves no time
        if threads is not None:
            options.intra_op_num_threads = threads
        settings = [_settings(name, index) for name in providers]
        try:
            # The resolved path finds weights beside the file also where an installer links files one by one.
            session = self._ort.InferenceSession(
                str(self._path.resolve()), options, providers, settings, enable_fallback=0
            )
        except (*self._errors, ValueError, RuntimeError) as error:
            raise ArtefactError(
                f"{self._path}: ONNX Runtime cannot load it, it is damaged or not for this device; "
                f"export it again with ltm-export ({_first_line(error)})"
            ) from error
        started = session.get_providers()[0]
        if started != providers[0]:
            raise DeviceError(
                f"device {self.device}: {providers[0]} did not start, ONNX Runtime fell back to {started}; "
                "check the driver and the CUDA libraries, or use --device cpu"
            )
        return session

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        try:
            alpha: Batch = self._session.run(["alpha"], {"image": image, "trimap": trimap, "guide": guide})[0]
        except self._errors as error:
            raise DeviceError(
                f"{self._path}: failed on {self.device} with {len(image)} patches at a time; use a smaller --batch or "
                f"smaller patches if memory is short ({_first_line(error)})"
            ) from error
        return alpha

    def close(self) -> None:
        self._session = None


def _contract(path: Path, session: Any) -> tuple[tuple[int, int], int | None]:
    """Patch size and batch, after checking names, types and shapes of inputs and output."""
    tensors = {tensor.name: tensor for tensor in [*session.get_inputs(), *session.get_outputs()]}
    if set(tensors) != set(CHANNELS):
        raise ArtefactError(
            f"{path}: has {', '.join(sorted(tensors))}, wanted inputs image, trimap, guide and output alpha; "
            "export LiteMatting with ltm-export"
        )
    if len(tensors["image"].shape) != 4:
        raise ArtefactError(f"{path}: image is {tensors['image'].shape}, wanted (N, 3, H, W); export LiteMatting again")
    batch, _, height, width = tensors["image"].shape
    for name, channels in CHANNELS.items():
        found, wanted = list(tensors[name].shape), [batch, channels, height, width]
        if found != wanted or tensors[name].type != "tensor(float)":
            raise ArtefactError(f"{path}: {name} is {found} {tensors[name].type}, wanted {wanted} tensor(float)")
    if not all(isinstance(side, int) and side >= 32 and side % 32 == 0 for side in (height, width)):
        raise ArtefactError(f"{path}: patches of {height}x{width}, wanted fixed multiples of 32; export it again")
    return (height, width), batch if isinstance(batch, int) else None


def _compare(path: Path, sidecar: Sidecar | None, session: Any, patch_hw: tuple[int, int], batch: int | None) -> None:
    if sidecar is None:
        warnings.warn(f"{path} has no sidecar {sidecar_path(path).name}: its origin is unknown", stacklevel=4)
        return
    inside = {**session.get_modelmeta().custom_metadata_map, **essentials(patch_hw=patch_hw, batch=batch)}
    for name, said in sidecar.essentials().items():
        if inside.get(name) != said:
            raise ArtefactError(
                f"{path}: {name.partition('.')[2]} is {inside.get(name, 'missing')} in the file, "
                f"its sidecar says {said}; export it again: {sidecar.export_command()}"
            )
