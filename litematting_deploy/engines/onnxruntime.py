"""ONNX Runtime as an engine on the CPU, and what all its execution providers share."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._optional import require
from ..errors import ArtefactError, DeviceError, first_line
from ..sidecar import Sidecar, check_sidecar, essentials, sidecar_path
from .base import Batch, Engine, check_contract

_ERROR_NAMES = (
    *("EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf"),
    *("NoSuchFile", "NotImplemented", "RuntimeException"),
)


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


@dataclass
class Opened:
    """A session whose file kept the contract. errors: what ONNX Runtime raises. batch: None for any."""

    path: Path
    session: Any
    errors: tuple[type[Exception], ...]
    patch_hw: tuple[int, int]
    batch: int | None
    precision: str

    def failure(self, device: str, count: int, error: Exception) -> DeviceError:
        """What to raise when a run of `count` patches failed."""
        return DeviceError(
            f"{self.path}: failed on {device} with {count} patches at a time; use a smaller --batch or smaller patches "
            f"if memory is short ({first_line(error)})"
        )


def open_session(
    ort: Any,
    path: Path,
    sidecar: Sidecar | None,
    providers: list[tuple[str, dict[str, str]]],
    settings: dict[str, Any],
) -> Opened:
    """A session on the first of `providers`; the others take single operators that it lacks.

    providers: names and options. settings: attributes of `SessionOptions`. Raises `ArtefactError`, or `DeviceError`
    when another provider starts.
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
            "check the driver and the CUDA libraries, or use --device cpu"
        )
    try:
        patch_hw, batch = _contract(path, session)
        _compare(path, sidecar, session, patch_hw, batch)
    except UnicodeDecodeError as error:
        raise ArtefactError(f"{path}: holds names that are no text, it is damaged; export it again") from error
    return Opened(path, session, errors, patch_hw, batch, sidecar.precision if sidecar else "unknown")


def _contract(path: Path, session: Any) -> tuple[tuple[int, int], int | None]:
    """Patch size, and batch where that is fixed."""
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
