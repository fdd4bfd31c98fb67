"""A model repository for NVIDIA's Triton Inference Server: an exported ONNX and, if built, its TensorRT engine."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from .._optional import require
from ..errors import ArtefactError, OutputError, UsageError
from ..files import check_writable, make_folder, replace_file
from ..parameters import check_number
from ..sidecar import EngineSidecar, Sidecar, check_engine_sidecar, check_sidecar, write_sidecar
from ..specs import Spec
from .pbtxt import Word, pbtxt
from .spec import REACH

Kind = Literal["auto", "gpu", "cpu"]
Inputs = Literal["tensors", "pixels"]

ONNX_MODEL = "litematting"
ENGINE_MODEL = "litematting_trt"
VERSION = "1"
QUEUE_DELAY_US = 1000
"""How long Triton holds a request back for others to join its batch: little beside what a patch takes."""

_INPUTS = {"image": 3, "trimap": 3, "guide": 2}
Tensors: TypeAlias = dict[str, tuple[str, list[int]]]
"""Of each name, the type and the shape without the batch."""


@dataclass(frozen=True)
class Serving(Spec):
    """How Triton is to serve.

    folder: the model repository.
    max_batch: most patches of the ONNX at a time, 1 to 1024; an engine has its own.
    instances: how many work beside each other on every GPU, 1 to 64.
    kind: where the ONNX runs; `auto` is on GPUs where there are any.
    inputs: what clients of the ONNX send: `tensors`, the network's own in float32, or `pixels`, photo and trimap in
        uint8, from which the server makes these (see `pixels`).
    engine: a TensorRT engine to serve as well, always on GPUs.

    Raises `UsageError` for a value that is not accepted.
    """

    folder: Path
    max_batch: int = 8
    instances: int = 1
    kind: Kind = "auto"
    inputs: Inputs = "tensors"
    engine: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("max_batch", self.max_batch, 1, 1024)
        check_number("instances", self.instances, 1, 64)

    def check(self, patch_hw: tuple[int, int], batch: int | None, precision: str, checkpoint_sha256: str) -> None:
        """Raise before any work is done, and nothing written, when an ONNX like this cannot be served so.

        `UsageError` for a fixed `batch` or an engine that does not belong to the ONNX, be it one that the folder has
        from before; `ArtefactError` for an engine that breaks its sidecar, `OutputError`.
        """
        if batch is not None:
            raise UsageError(
                f"{self.folder}: `batch` must be dynamic, since Triton chooses the batch; the ONNX takes exactly "
                f"{batch} patches at a time; export it again with `batch=dynamic`",
                parameter="batch",
            )
        for path in self._files():
            _check_place(path)
        placed = self.folder / ENGINE_MODEL / VERSION / "model.plan"
        engine = self.engine or (placed if placed.exists() else None)
        if engine is not None:
            self._check_engine(engine, check_engine_sidecar(engine), patch_hw, precision, checkpoint_sha256)

    def _files(self) -> list[Path]:
        models = {ONNX_MODEL: "model.onnx", **({} if self.engine is None else {ENGINE_MODEL: "model.plan"})}
        return [
            self.folder / model / name
            for model, file in models.items()
            for name in (f"{VERSION}/{file}", "config.pbtxt")
        ]

    @staticmethod
    def _check_engine(
        path: Path, engine: EngineSidecar, patch_hw: tuple[int, int], precision: str, checkpoint_sha256: str
    ) -> None:
        if engine.backend != "tensorrt":
            raise UsageError(
                f"{path}: built by {engine.backend}, but Triton runs only TensorRT engines; build {engine.source} "
                "again with ltm-build and the backend tensorrt",
                parameter="engine",
            )
        least, _, most = engine.batches
        if least > 1 or most == 1:
            raise UsageError(
                f"{path}: takes {least} to {most} patches at a time, but Triton needs a range from 1 to at least 2; "
                "build it again with ltm-build for batches of 1 to 8",
                parameter="engine",
            )
        pairs = {
            "checkpoint": (str(engine.checkpoint_sha256)[:12], checkpoint_sha256[:12]),
            "patch size": (f"{engine.patch_hw[0]}x{engine.patch_hw[1]}", f"{patch_hw[0]}x{patch_hw[1]}"),
            "precision": (engine.precision, precision),
        }
        for name, (found, wanted) in pairs.items():
            if found != wanted:
                how = "it without TF32" if found == "tf32" else "one from this ONNX and give it as `engine`"
                raise UsageError(
                    f"{path}: its {name} is {found}, but that of the ONNX is {wanted}; build {how}", parameter="engine"
                )


def _check_place(path: Path) -> None:
    """Raise `OutputError` where a file cannot be written in a folder that may have to be made."""
    try:
        above = next(folder for folder in path.parents if folder.exists())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; choose another folder") from error
    if above == path.parent:
        check_writable(path)
    if not above.is_dir() or not os.access(above, os.W_OK):
        why = "is read-only" if above.is_dir() else "is not a folder"
        raise OutputError(f"{path}: cannot be written: {above} {why}; choose another folder")


def write_repository(onnx: str | Path, serving: Serving) -> list[str]:
    """Write an ONNX of `ltm-export`, with what belongs to it, into a model repository; return the models' names.

    Each file is whole or not there, the configuration last. Raises `ArtefactError`, `OutputError` or `UsageError`.
    """
    path = Path(onnx)
    sidecar = check_sidecar(path)
    if sidecar is None or sidecar.weights_beside:
        what = "has no sidecar, so its origin is unknown" if sidecar is None else "refers to weights in another file"
        raise ArtefactError(
            f"{path}: {what}; Triton needs a single complete file: export the checkpoint into the repository with "
            "ltm-export"
        )
    serving.check(sidecar.patch_hw, sidecar.batch, sidecar.precision, sidecar.checkpoint_sha256)
    content = _with_pixels(path) if serving.inputs == "pixels" else path.read_bytes()
    sidecar = replace(sidecar, file="model.onnx", sha256=hashlib.sha256(content).hexdigest())
    _place(content, serving.folder / ONNX_MODEL, sidecar, onnx_config(sidecar, serving))
    if serving.engine is None:
        return [ONNX_MODEL]
    engine = replace(check_engine_sidecar(serving.engine), file="model.plan")
    _place(serving.engine.read_bytes(), serving.folder / ENGINE_MODEL, engine, engine_config(engine, serving))
    return [ONNX_MODEL, ENGINE_MODEL]


def _with_pixels(path: Path) -> bytes:
    """Return an exported ONNX that takes pixels."""
    onnx: Any = require("onnx", "export", "an ONNX that takes pixels")
    from .pixels import take_pixels

    proto = onnx.load(path)
    take_pixels(proto)
    content: bytes = proto.SerializeToString()
    return content


def _place(content: bytes, model: Path, sidecar: Sidecar | EngineSidecar, config: str) -> None:
    """Write an artefact into a model's folder, with its sidecar and, last, the configuration."""
    target = model / VERSION / sidecar.file
    make_folder(target.parent)
    replace_file(target, content)
    write_sidecar(target, sidecar)
    replace_file(model / "config.pbtxt", config.encode())


def onnx_config(sidecar: Sidecar, serving: Serving) -> str:
    """Return the config.pbtxt of an ONNX."""
    most, (height, width) = serving.max_batch, sidecar.patch_hw
    preferred, inputs = sorted({max(1, most // 2), most}), _tensors(sidecar)
    if serving.inputs == "pixels":
        around = [side + 2 * REACH for side in sidecar.patch_hw]
        inputs = {"image": ("UINT8", [height, width, 3]), "trimap": ("UINT8", around)}
    return _config(ONNX_MODEL, "onnxruntime_onnx", sidecar, inputs, preferred, serving.kind, serving.instances)


def engine_config(sidecar: EngineSidecar, serving: Serving) -> str:
    """Return the config.pbtxt of a TensorRT engine; its batches are those it was built for."""
    _, best, most = sidecar.batches
    inputs, preferred = _tensors(sidecar), sorted({best, most})
    return _config(ENGINE_MODEL, "tensorrt_plan", sidecar, inputs, preferred, "gpu", serving.instances)


def _tensors(sidecar: Sidecar | EngineSidecar) -> Tensors:
    """Return the inputs of the network."""
    return {name: ("FP32", [channels, *sidecar.patch_hw]) for name, channels in _INPUTS.items()}


def _config(
    name: str,
    platform: str,
    sidecar: Sidecar | EngineSidecar,
    inputs: Tensors,
    preferred: Sequence[int],
    kind: Kind,
    instances: int,
) -> str:
    most = preferred[-1]
    origin = {name: getattr(sidecar, name) or "" for name in ("checkpoint", "checkpoint_sha256", "precision", "sha256")}
    config = {
        "name": name,
        "platform": platform,
        "max_batch_size": most,
        "input": [_tensor(key, *tensor) for key, tensor in inputs.items()],
        "output": [_tensor("alpha", "FP32", [1, *sidecar.patch_hw])],
        "dynamic_batching": {"preferred_batch_size": preferred, "max_queue_delay_microseconds": QUEUE_DELAY_US},
        "instance_group": [{"count": instances, "kind": Word(f"KIND_{kind.upper()}")}],
        "model_warmup": [_warmup(count, inputs) for count in sorted({1, most})],
        "parameters": [{"key": f"litematting.{key}", "value": {"string_value": text}} for key, text in origin.items()],
    }
    return f"# Written by ltm-export. Batching and instances may be tuned.\n{pbtxt(config)}\n"


def _tensor(name: str, kind: str, dims: list[int]) -> dict[str, Any]:
    return {"name": name, "data_type": Word(f"TYPE_{kind}"), "dims": dims}


def _warmup(count: int, tensors: Tensors) -> dict[str, Any]:
    """Return a warm-up of `count` patches of zeros: what a first run costs depends on shapes alone."""
    inputs = [
        {"key": key, "value": {"data_type": Word(f"TYPE_{kind}"), "dims": dims, "zero_data": Word("true")}}
        for key, (kind, dims) in tensors.items()
    ]
    return {"name": f"{count} at a time", "batch_size": count, "inputs": inputs}
