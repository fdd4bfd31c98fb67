"""ONNX Runtime as an engine: CPU everywhere, CUDA and TensorRT execution providers where its wheel has them."""

import warnings
from pathlib import Path
from typing import Any

from .._optional import require
from ..errors import ArtefactError, DeviceError, UsageError
from ..sidecar import Sidecar, check_sidecar, sidecar_path
from .base import CHANNELS, Batch, Engine

# device name -> (extra that brings the wheel, execution providers, first one first)
_PROVIDERS = {
    "cpu": ("cpu", ["CPUExecutionProvider"]),
    "cuda": ("gpu", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
    "tensorrt": ("gpu", ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]),
}
_ERROR_NAMES = "EPFail Fail InvalidArgument InvalidGraph InvalidProtobuf NoSuchFile NotImplemented RuntimeException"


class OnnxRuntimeEngine(Engine):
    """An exported ONNX in ONNX Runtime."""

    def __init__(self, path: Path, device: str = "cpu", threads: int | None = None) -> None:
        """device: `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`. threads: of the CPU; all cores by default.

        Raises `ArtefactError` when the file does not match its sidecar or the contract, `DeviceError` when the device
        cannot be used: ONNX Runtime's silent return to the CPU is not accepted.
        """
        kind, _, index = device.partition(":")
        if kind not in _PROVIDERS or (index and not index.isdecimal()) or (index and kind == "cpu"):
            raise UsageError(f"device {device!r}: ONNX Runtime has cpu, cuda, cuda:N, tensorrt and tensorrt:N")
        extra, providers = _PROVIDERS[kind]
        self._ort: Any = require("onnxruntime", extra, f"running {path.name}")
        self.name, self.device, self.version = f"onnxruntime-{kind}", device, self._ort.__version__
        sidecar = check_sidecar(path)
        self._session = self._open(path, providers, int(index or 0), extra, threads)
        self.patch_hw, self.batch = _contract(path, self._session)
        self.precision = sidecar.precision if sidecar else "unknown"
        _compare(path, sidecar, self.patch_hw, self.batch)

    def _open(self, path: Path, providers: list[str], index: int, extra: str, threads: int | None) -> Any:
        if providers[0] not in self._ort.get_available_providers():
            raise DeviceError(
                f"device {self.device}: the installed onnxruntime {self.version} has no {providers[0]}; replace it: "
                f"pip uninstall onnxruntime, then pip install 'litematting-deploy[{extra}]'"
            )
        options = self._ort.SessionOptions()
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # its plan nearly doubles the memory of a 640x640 patch and saves no time
        if threads is not None:
            options.intra_op_num_threads = threads
        settings = [{} if name.startswith("CPU") else {"device_id": index} for name in providers]
        errors = tuple(getattr(self._ort.capi.onnxruntime_pybind11_state, name) for name in _ERROR_NAMES.split())
        try:
            # The resolved path finds weights beside the file also where an installer links files one by one.
            session = self._ort.InferenceSession(str(path.resolve()), options, providers, settings)
        except errors as error:
            reason = str(error).strip().splitlines()[0]
            raise ArtefactError(
                f"{path}: ONNX Runtime cannot load it, it is damaged or not for this device; "
                f"export it again with ltm-export ({reason})"
            ) from error
        started = session.get_providers()[0]
        if started != providers[0]:
            raise DeviceError(
                f"device {self.device}: {providers[0]} did not start, ONNX Runtime fell back to {started}; "
                "check the driver and the CUDA libraries, or use --device cpu"
            )
        return session

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        alpha: Batch = self._session.run(["alpha"], {"image": image, "trimap": trimap, "guide": guide})[0]
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
    batch, _, height, width = tensors["image"].shape
    for name, channels in CHANNELS.items():
        found, wanted = list(tensors[name].shape), [batch, channels, height, width]
        if found != wanted or tensors[name].type != "tensor(float)":
            raise ArtefactError(f"{path}: {name} is {found} {tensors[name].type}, wanted {wanted} tensor(float)")
    if not (isinstance(height, int) and isinstance(width, int)) or height % 32 or width % 32:
        raise ArtefactError(f"{path}: patches of {height}x{width}, wanted fixed multiples of 32; export it again")
    return (height, width), batch if isinstance(batch, int) else None


def _compare(path: Path, sidecar: Sidecar | None, patch_hw: tuple[int, int], batch: int | None) -> None:
    if sidecar is None:
        warnings.warn(f"{path} has no sidecar {sidecar_path(path).name}: its origin is unknown", stacklevel=4)
    elif (sidecar.patch_hw, sidecar.batch) != (patch_hw, batch):
        raise ArtefactError(
            f"{path}: takes patches {patch_hw} in batches of {batch or 'any size'}, its sidecar says "
            f"{sidecar.patch_hw} and {sidecar.batch or 'any size'}; export it again"
        )
