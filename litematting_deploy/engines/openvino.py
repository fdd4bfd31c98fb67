"""OpenVINO: an exported ONNX on the CPU of any maker, or on Intel's GPUs and NPUs."""

import hashlib
import io
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from ..errors import ArtefactError, DeviceError, UsageError, first_line
from ..files import cache_folder, keep_cached, read_cached
from ..sidecar import Sidecar, check_sidecar, read_sidecar
from ..specs import Precision
from ..system import instruction_set, processor_name
from .base import Batch, Engine, check_contract, check_origin
from .device import checked_batch
from .onnx_files import gathered

# precision -> what OpenVINO calls it as a setting, and among the capabilities of a device
_PRECISIONS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16")}


_ANY = -1


class OpenVinoEngine(Engine):
    """An exported ONNX that OpenVINO compiles for one number of patches, which is faster than for any number.

    What it compiles is kept in the cache folder, if a sidecar vouches for the weights.
    """

    def __init__(
        self,
        path: Path,
        part: str = "",
        precision: Precision = "fp32",
        batch: int | None = None,
        threads: int | None = None,
    ) -> None:
        """part: `gpu` or `npu`; the CPU by default. precision: in which it computes; OpenVINO's own default is less
        than float32 where the processor has that. batch: patches at a time, the file's own or 1 by default. threads:
        on the CPU, one per core by default.

        Raises `ArtefactError` when the file breaks its sidecar or the contract, `DeviceError` where OpenVINO has no
        such device or that lacks the precision, `DependencyError` or `UsageError`.
        """
        self._path, sidecar = path, check_sidecar(path)
        ov: Any = require("openvino", "openvino", "`device=openvino`")
        self.version = ov.__version__.partition("-")[0]
        self.name, self.device = f"openvino-{part or 'cpu'}", f"openvino:{part}" if part else "openvino"
        core, target = ov.Core(), (part or "cpu").upper()
        self._check_device(core, target, precision)
        settings = compile_settings(target, _PRECISIONS[precision][0], threads)
        if target != "CPU" and threads is not None:
            raise UsageError(f"`threads` applies only to a CPU, and `device={self.device}` is not one; leave it out")
        kept = None if sidecar is None else _kept(self.version, sidecar, part, precision, batch)
        compiled = None if kept is None else self._taken(core, kept, target, settings)
        if compiled is None:
            compiled = self._compiled(core, sidecar, batch, target, settings)
            if kept is not None:
                keep_cached(kept, compiled.export_model().getvalue())
        (self.batch, _, height, width), _ = described(compiled.input("image"))
        self.patch_hw = (height or 0, width or 0)  # the contract has them fixed
        own = sidecar.precision if sidecar else "unknown"
        self.precision = precision if own == "fp32" else own
        self._request, self._lock = compiled.create_infer_request(), threading.Lock()

    def _check_device(self, core: Any, target: str, precision: Precision) -> None:
        """Raise `DeviceError` where OpenVINO has no such device, or that does not compute in the precision."""
        devices = list(core.available_devices)
        if target not in {device.partition(".")[0] for device in devices}:
            raise DeviceError(
                f"`device={self.device}`: OpenVINO {self.version} sees only {', '.join(devices)}; install the "
                f"driver of Intel's {target}, or use `device=openvino`"
            )
        if _PRECISIONS[precision][1] not in core.get_property(target, "OPTIMIZATION_CAPABILITIES"):
            name = core.get_property(target, "FULL_DEVICE_NAME")
            raise DeviceError(
                f"`precision={precision}`: {name} does not support {precision}, and OpenVINO would only emulate it; "
                f"use `precision={'fp16' if target == 'NPU' else 'fp32'}`",
                parameter="precision",
            )

    def _taken(self, core: Any, kept: str, target: str, settings: dict[str, Any]) -> Any:
        """Return the compiled model that an earlier process has kept; None where there is none, or it is refused."""
        content = read_cached(kept)
        if not content:
            return None
        try:
            return core.import_model(io.BytesIO(content), target, settings)
        except RuntimeError as error:
            warnings.warn(
                f"{cache_folder() / kept}: OpenVINO rejects the model it compiled earlier and compiles it again "
                f"({first_line(error)})",
                stacklevel=6,
            )
            return None

    def _compiled(
        self, core: Any, sidecar: Sidecar | None, batch: int | None, target: str, settings: dict[str, Any]
    ) -> Any:
        """Read the file, check that it keeps the contract, and compile it for a number of patches."""
        path = self._path
        try:
            with gathered(path, sidecar) as file:
                model = core.read_model(str(file))
        except RuntimeError as error:
            raise ArtefactError(
                f"{path}: OpenVINO cannot load it: the file is damaged or uses unsupported operators; export it "
                f"again with ltm-export ({first_line(error)})"
            ) from error
        tensors = {tensor.get_any_name(): described(tensor) for tensor in [*model.inputs, *model.outputs]}
        patch_hw, own = check_contract(path, tensors, "f32"), tensors["image"][0][0]
        metadata = model.get_rt_info("framework").value if model.has_rt_info("framework") else {}
        check_origin(path, sidecar, metadata, patch_hw, own)
        count = checked_batch(batch, own, str(path))
        if any(node.get_type_name() == "GroupNormalization" for node in model.get_ops()):
            count = _ANY  # OpenVINO 2026.4.1 crashes where a sum follows the norm and the number is fixed
        try:
            model.reshape({name: [count, *shape[1:]] for name, (shape, _) in tensors.items() if name != "alpha"})
            return core.compile_model(model, target, settings)
        except RuntimeError as error:
            raise DeviceError(
                f"{path}: OpenVINO cannot compile it for {target} ({first_line(error)}); use `device=cpu`"
            ) from error

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        try:
            with self._lock:  # a request has one set of buffers, and any thread may run the engine
                found = self._request.infer({"image": image, "trimap": trimap, "guide": guide}, share_inputs=True)
        except RuntimeError as error:
            raise self.failure(len(image), error) from error
        return np.asarray(found["alpha"])

    def close(self) -> None:
        """Drop the compiled model."""
        self._request, self.closed = None, True


def is_compiled(path: Path, precision: Precision = "fp32", batch: int | None = None) -> bool:
    """Return whether an earlier process has compiled a file for the CPU; OpenVINO is not imported to find out."""
    import importlib.metadata  # takes time, and only `auto` asks

    try:
        version = importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:  # it came in another way than as a wheel
        return False
    sidecar = read_sidecar(path)
    return sidecar is not None and (cache_folder() / _kept(version, sidecar, "", precision, batch)).exists()


def _kept(version: str, sidecar: Sidecar, part: str, precision: str, batch: int | None) -> str:
    """Return under which name a compiled model is kept in the cache folder: by all that it depends on."""
    weights = (sidecar.sha256, sidecar.checkpoint_sha256, sidecar.batch or batch or 1)
    machine = (processor_name(), instruction_set(), part)
    return f"openvino-{hashlib.sha256(repr((version, *weights, *machine, precision)).encode()).hexdigest()[:32]}"


def compile_settings(target: str, precision: str, threads: int | None) -> dict[str, Any]:
    """Return how OpenVINO compiles for a device, such as CPU. precision: as OpenVINO calls it. threads: of the CPU."""
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if target == "CPU":
        settings["ENABLE_CPU_PINNING"] = False  # several processes on a machine would be pinned to the same cores
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
    return settings


def described(tensor: Any) -> tuple[list[int | None], str]:
    """Return shape and type of an input or output, as `check_contract` takes them; None for a size that may change."""
    shape = tensor.partial_shape
    sizes = [size.get_length() if size.is_static else None for size in shape] if shape.rank.is_static else []
    return sizes, tensor.element_type.get_type_name()
