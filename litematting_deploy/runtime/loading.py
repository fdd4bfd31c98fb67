"""From a file, or the URL of a model on a server, to the engine that runs it, and what may be said about each kind."""

import os
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ..engines import DeviceArtefact, Engine
from ..engines.onnxruntime import OnnxRuntimeArtefact, OnnxRuntimeEngine
from ..engines.torch import TorchArtefact, TorchEngine
from ..engines.triton import TritonEngine
from ..errors import ArtefactError, UsageError
from ..files import CHECKPOINT_SUFFIXES
from ..profiling import stage
from ..specs import EngineSpec, Precision
from .cuda import open_cuda
from .on_device import OnDevice
from .shipped import SHIPPED_ENGINE

PUBLISHED_PATCH_HW = (640, 640)
TENSORRT_SUFFIX = ".engine"

_ONNX, _CHECKPOINT, _TENSORRT, _SERVER = "an ONNX", "a checkpoint", "a TensorRT engine", "a model on a server"
_DEVICES = {_ONNX: ("cpu", "cuda", "tensorrt"), _CHECKPOINT: ("cpu", "cuda"), _TENSORRT: ("cuda",)}
_CPU, _GPU = " on the CPU", " on a GPU"

# parameter that only some engines have -> these, and what to do for others
_ONLY = {
    "device": ((_ONNX, _CHECKPOINT, _TENSORRT), "the server decides where it computes"),
    "precision": ((_CHECKPOINT + _GPU,), "an ONNX computes in the precision that it was exported in"),
    "compiled": ((_CHECKPOINT,), "only PyTorch compiles a model when it runs"),
    "channels_last": ((_CHECKPOINT,), "other engines choose how activations lie in memory"),
    "threads": ((_ONNX + _CPU,), "PyTorch's threads are set with torch.set_num_threads"),
    "trust": ((_TENSORRT,), "nothing else needs it"),
    "timeout_s": ((_SERVER,), "nothing else is waited for"),
}


class EngineOptions(TypedDict, total=False):
    """What `load_engine` and `Matter.load` take by name beside the device; `load_engine` explains it."""

    patch_hw: tuple[int, int] | None
    batch: int | None
    threads: int | None
    precision: Precision | None
    compiled: bool
    channels_last: bool
    trust: bool
    timeout_s: float | None


def load_engine(path: str | Path | None = None, device: str | None = None, **options: Unpack[EngineOptions]) -> Engine:
    """Open the engine in a file or on a server; without `path`, the shipped weights in ONNX Runtime on the CPU.

    path: an ONNX, a TensorRT engine, a checkpoint, which runs in PyTorch itself (extra `export`), or the URL of a model
    on a Triton server, grpc://HOST:8001/MODEL (extra `triton`).
    device: `cpu`, `cuda[:N]` or, for an ONNX, `tensorrt[:N]`; by default `cuda` for a TensorRT engine, else `cpu`.
    patch_hw: height and width of the patches of a checkpoint, 640x640 by default. Other engines take patches of one
    size, and another one is refused.
    batch: patches per call on a GPU, or the most per request to a server.
    threads: of ONNX Runtime on the CPU, all cores by default.
    precision: `fp32` (the default), `tf32` or `fp16`, of a checkpoint on a GPU.
    compiled: run a checkpoint through `torch.compile`.
    channels_last: keep the activations of a checkpoint as (N, H, W, C) in memory, which may be faster.
    trust: run a TensorRT engine that has no sidecar. An engine is code of whoever made it.
    timeout_s: of each request to a Triton server, in seconds.
    Raises `ArtefactError`, `CheckpointError`, `DeviceError`, `DependencyError` or `UsageError`.
    """
    return open_spec(EngineSpec(engine=None if path is None else str(path), device=device, **options))


@stage("load engine")
def open_spec(spec: EngineSpec) -> Engine:
    """Open the engine that a spec describes; see `load_engine` for what applies to which engine, and for errors."""
    if spec.engine is not None and spec.is_served:
        _check_parameters(spec, spec.engine, _SERVER, _SERVER)
        return _of_patch(TritonEngine(spec.engine, spec.batch, spec.timeout_s), spec.engine, spec.patch_hw)
    path = Path(spec.engine or SHIPPED_ENGINE)
    kind = _kind(path)
    device, index = _device(path, kind, spec.device)
    _check_parameters(spec, str(path), kind, kind + (_CPU if device == "cpu" else _GPU))
    if kind != _CHECKPOINT:
        _check_file(path)
    engine = _on_host(path, kind, spec) if device == "cpu" else _on_device(path, kind, device, index, spec)
    return _of_patch(engine, path, spec.patch_hw)


def is_onnx_on_host(spec: EngineSpec) -> bool:
    """Return whether an engine runs in ONNX Runtime on the CPU, whose threads can be chosen."""
    path = Path(spec.engine or SHIPPED_ENGINE)
    return spec.device in (None, "cpu") and not spec.is_served and path.suffix.lower() == ".onnx"


def runs_on_gpu(path: Path, device: str | None) -> bool:
    """Return whether the engine in a file would work on a GPU. device: as in `EngineSpec`."""
    return (device or _DEVICES[_kind(path)][0]) != "cpu"


def _kind(path: Path) -> str:
    """Return what a file is by its ending; what has another ending is an ONNX until its backend refuses it."""
    suffix = path.suffix.lower()
    return _TENSORRT if suffix == TENSORRT_SUFFIX else _CHECKPOINT if suffix in CHECKPOINT_SUFFIXES else _ONNX


def _device(path: Path, kind: str, device: str | None) -> tuple[str, int]:
    """Return `cpu`, `cuda` or `tensorrt`, and the index of the GPU. Raises `UsageError` for what `kind` cannot use."""
    accepted = _DEVICES[kind]
    name, colon, index = (device or accepted[0]).partition(":")
    if name not in accepted or (colon and (name == "cpu" or not index.isdecimal())):
        choices = [choice for each in accepted for choice in ([each] if each == "cpu" else [each, f"{each}:N"])]
        fix = "" if kind == _ONNX else "; an ONNX runs on the CPU and on any GPU"
        raise UsageError(
            f"{path}: `device` must be {', '.join(choices[:-1])} or {choices[-1]} for {kind}; got {device!r}{fix}",
            parameter="device",
        )
    return name, int(index or 0)


def _check_parameters(spec: EngineSpec, engine: str, *kinds: str) -> None:
    """Raise `UsageError` for a parameter that is given and does not apply to an engine of these `kinds`, which differ
    in how much they say: "an ONNX", "an ONNX on a GPU"."""
    for name in spec.differing(*_ONLY):
        accepted, reason = _ONLY[name]
        if not set(kinds) & set(accepted):
            raise UsageError(
                f"{engine}: `{name}` applies to {' or '.join(accepted)}, and this is {kinds[-1]}: {reason}; "
                "leave it out",
                parameter=name,
            )


def _of_patch(engine: Engine, path: str | Path, patch_hw: tuple[int, int] | None) -> Engine:
    """Return the engine, or close it and raise `UsageError` where it takes patches of another size."""
    if patch_hw not in (None, engine.patch_hw):
        engine.close()
        height, width = patch_hw
        raise UsageError(
            f"{path}: `patch_hw` must be {engine.patch_hw[0]}x{engine.patch_hw[1]}, the only size of patches that this "
            f"engine takes; got {height}x{width}; export the model again with ltm-export for patches of that size",
            parameter="patch_hw",
        )
    return engine


def _check_file(path: Path) -> None:
    """Raise `ArtefactError` unless this is the file of an ONNX or a TensorRT engine."""
    if path.suffix.lower() not in (".onnx", TENSORRT_SUFFIX):
        raise ArtefactError(
            f"{path}: an engine is a checkpoint, an .onnx (made with ltm-export) or, on a GPU, an .engine (with "
            "ltm-build); on a Triton server, grpc://HOST:8001/MODEL"
        )
    if not os.path.isfile(path):  # also of a name that is longer than any
        command = "ltm-build" if path.suffix.lower() == TENSORRT_SUFFIX else "ltm-export"
        raise ArtefactError(f"{path}: no such engine file; make one with {command}")


def _on_host(path: Path, kind: str, spec: EngineSpec) -> Engine:
    """Open a checkpoint or an ONNX on the CPU."""
    if kind == _CHECKPOINT:
        return TorchEngine(_checkpoint(path), spec.patch_hw or PUBLISHED_PATCH_HW, spec.compiled, spec.channels_last)
    return OnnxRuntimeEngine(path, spec.threads)


def _on_device(path: Path, kind: str, device: str, index: int, spec: EngineSpec) -> Engine:
    """Check a file for a GPU before any driver is asked for, then open it there."""
    if kind == _ONNX:
        artefact: DeviceArtefact = OnnxRuntimeArtefact(path, device)
    elif kind == _TENSORRT:
        from ..engines.tensorrt.runner import TensorRTArtefact

        artefact = TensorRTArtefact(path, spec.trust)
    else:
        size, precision = spec.patch_hw or PUBLISHED_PATCH_HW, spec.precision or "fp32"
        artefact = TorchArtefact(_checkpoint(path), size, index, precision, spec.compiled, spec.channels_last)
    return OnDevice(artefact, open_cuda(index), spec.batch)


def _checkpoint(path: Path) -> Any:
    """Return the model with the weights of a checkpoint."""
    from ..model import load_checkpoint  # imports PyTorch

    return load_checkpoint(path)
