"""Opening an engine from a file or from the URL of a model on a server, and the options that each kind accepts."""

import contextlib
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from ..engines import DeviceArtefact, Engine
from ..engines.onnxruntime import OnnxRuntimeArtefact
from ..engines.providers import CHECKPOINT, ONNX, TENSORRT, provider_for, running
from ..engines.torch import TorchArtefact, TorchEngine
from ..engines.triton import TritonEngine
from ..errors import ArtefactError, DependencyError, DeviceError, UsageError
from ..files import CHECKPOINT_SUFFIXES, ENGINE_SUFFIX, ONNX_SUFFIX, has_suffix
from ..parameters import path_text
from ..profiling import stage
from ..specs import AUTO, EngineSpec, Precision
from .automatic import choices, needs_trial
from .cuda import open_cuda
from .on_device import OnDevice
from .shipped import SHIPPED_ENGINE
from .trial import Trial, keep_trial, seconds_per_patch

PUBLISHED_PATCH_HW = (640, 640)

_SERVER = "a model on a server"
_CPU, _GPU, _OPENVINO = f"{ONNX} on the CPU", f"{CHECKPOINT} on a GPU", f"{ONNX} on OpenVINO"
_CHECKPOINT_CPU = f"{CHECKPOINT} on the CPU"

# parameter that only some engines have -> these, and what to do for others
_ONLY = {
    "device": ((ONNX, CHECKPOINT, TENSORRT), "the server decides where it runs"),
    "precision": ((_GPU, _OPENVINO), "its precision is fixed"),
    "compiled": ((CHECKPOINT,), "only PyTorch compiles a model at run time"),
    "channels_last": ((CHECKPOINT,), "other engines choose the memory layout of activations"),
    "threads": ((_CPU, _OPENVINO, _CHECKPOINT_CPU), "a GPU manages its own"),
    "trust": ((TENSORRT,), "no other kind of engine needs it"),
    "timeout_s": ((_SERVER,), "only a server has to be waited for"),
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


def load_engine(path: str | Path | None = None, device: str = AUTO, **options: Unpack[EngineOptions]) -> Engine:
    """Open the engine in a file or on a server; without `path`, the shipped weights.

    - `path`: an ONNX, a TensorRT engine, a checkpoint, which runs in PyTorch itself (extra `export`), or the URL of a
      model on a Triton server, grpc://HOST:8001/MODEL (extra `triton`).
    - `device`: `auto`, the best one of those installed here by the rules of `runtime.automatic`; `cpu`, `cuda[:N]`; for
      an ONNX also `tensorrt[:N]`, `openvino`, `openvino:gpu`, `openvino:npu`, `webgpu` or `coreml`; for a checkpoint
      `mps`.
    - `patch_hw`: height and width of the patches of a checkpoint, 640x640 by default. Other engines take patches of one
      size, and another one is refused.
    - `batch`: patches per call on a GPU and in OpenVINO, or the most per request to a server.
    - `threads`: of an ONNX or a checkpoint on the CPU, all cores by default; PyTorch's and OpenCV's are those of the
      whole process from then on.
    - `precision`: `fp32` (the default), `tf32` or `fp16` of a checkpoint on a GPU; `fp32`, `bf16` or `fp16` in
      OpenVINO.
    - `compiled`: run a checkpoint through `torch.compile`.
    - `channels_last`: keep the activations of a checkpoint as (N, H, W, C) in memory, which may be faster.
    - `trust`: run a TensorRT engine that has no sidecar. An engine is code of whoever made it.
    - `timeout_s`: of each request to a Triton server, in seconds.

    Raises `ArtefactError`, `CheckpointError`, `DeviceError`, `DependencyError` or `UsageError`.
    """
    return open_spec(EngineSpec(engine=None if path is None else path_text("path", path), device=device, **options))


@stage("load engine")
def open_spec(spec: EngineSpec, trimap: NDArray[np.uint8] | None = None) -> Engine:
    """Open the engine that a spec describes; see `load_engine` for what applies to which engine, and for errors.

    trimap: (H, W) uint8 of the only photo that it is opened for, where `auto` is to choose; None for many. Where what
    `auto` chooses does not open, a warning says why, and the next best is opened.
    """
    if spec.engine is not None and spec.is_served:
        _check_parameters(spec, spec.engine, _SERVER, _SERVER)
        return _of_patch(TritonEngine(spec.engine, spec.batch, spec.timeout_s), spec.engine, spec.patch_hw)
    if spec.device != AUTO:
        return _opened(spec)
    *others, last = choices(spec, _path(spec), _kind(_path(spec)), trimap)
    for device in others:
        try:
            if needs_trial(spec, _path(spec), [*others, last]):
                return _faster(spec)
            return _opened(replace(spec, device=device))
        except (DependencyError, DeviceError) as error:
            warnings.warn(f"`device=auto` skipped a device that does not work here: {error}", stacklevel=4)
    return _opened(replace(spec, device=last))


def _faster(spec: EngineSpec) -> Engine:
    """Time OpenVINO and ONNX Runtime on one patch, keep what is found, and return the faster, open.

    One after the other, so that only one of them takes memory. Raises as `_opened` does.
    """
    with _opened(replace(spec, device="cpu")) as other:
        other_s = seconds_per_patch(other)
    with contextlib.ExitStack() as opened:
        engine = opened.enter_context(_opened(replace(spec, device="openvino")))
        trial = Trial(other_s, seconds_per_patch(engine))
        keep_trial(spec, _path(spec), trial)
        if trial.gain_s() > 0:
            opened.pop_all()  # it stays open
            return engine
    return _opened(replace(spec, device="cpu"))


def resolved(spec: EngineSpec) -> EngineSpec:
    """Return a spec with the device that `auto` stands for on this machine, for many photos.

    An engine is opened only where a trial is to find out which is faster.
    """
    if spec.device != AUTO or spec.is_served:
        return spec
    devices = choices(spec, _path(spec), _kind(_path(spec)))
    if needs_trial(spec, _path(spec), devices):
        with open_spec(spec) as engine:
            return replace(spec, device=engine.device)
    return replace(spec, device=devices[0])


def _opened(spec: EngineSpec) -> Engine:
    """Open the engine in a file on the device that the spec names."""
    path = _path(spec)
    kind = _kind(path)
    provider, part = provider_for(path, kind, spec.device)
    _check_parameters(spec, str(path), kind, f"{kind} {provider.place}")
    if spec.threads is not None:
        import cv2

        cv2.setNumThreads(spec.threads)  # which decides how colours are estimated and pictures scaled
    if kind != CHECKPOINT:
        _check_file(path)
    if provider.on_cuda:
        return _of_patch(_on_device(path, kind, provider.device, int(part or 0), spec), path, spec.patch_hw)
    if provider.opened is not None and kind == ONNX:
        return _of_patch(provider.opened(path, part, spec), path, spec.patch_hw)
    size = spec.patch_hw or PUBLISHED_PATCH_HW
    model = _checkpoint(path)
    if spec.threads is not None:
        import torch

        torch.set_num_threads(spec.threads)
    return TorchEngine(model, size, spec.compiled, spec.channels_last, provider.device)


def takes_threads(spec: EngineSpec) -> bool:
    """Return whether an engine is an ONNX whose threads can be chosen. Its device is not `auto`."""
    return not spec.is_served and has_suffix(_path(spec), ONNX_SUFFIX) and spec.device in ("cpu", "openvino")


def runs_on_gpu(spec: EngineSpec) -> bool:
    """Return whether an engine works on the memory of a CUDA device here. Its device is not `auto`."""
    return not spec.is_served and provider_for(_path(spec), _kind(_path(spec)), spec.device)[0].on_cuda


def plain_device(path: Path) -> str:
    """Return the device that every artefact of a file's kind runs on: `cuda` for a TensorRT engine, else `cpu`."""
    return running(_kind(path))[0].device


def _path(spec: EngineSpec) -> Path:
    """Return the file of an engine."""
    return Path(spec.engine or SHIPPED_ENGINE)


def _kind(path: Path) -> str:
    """Return what a file is by its ending; what has another ending is an ONNX until its backend refuses it."""
    suffix = path.suffix.lower()
    return TENSORRT if suffix == ENGINE_SUFFIX else CHECKPOINT if suffix in CHECKPOINT_SUFFIXES else ONNX


def _check_parameters(spec: EngineSpec, engine: str, *kinds: str) -> None:
    """Raise `UsageError` for a parameter that is given and does not apply to an engine of these `kinds`, which differ
    in how much they say: "an ONNX", "an ONNX on a GPU"."""
    for name in spec.differing(*_ONLY):
        accepted, reason = _ONLY[name]
        if not set(kinds) & set(accepted):
            raise UsageError(
                f"{engine}: `{name}` applies only to {' or '.join(accepted)}, and this is {kinds[-1]}: {reason}; "
                "leave it out",
                parameter=name,
            )
    accepted = ("fp32", "bf16", "fp16") if _OPENVINO in kinds else ("fp32", "tf32", "fp16")
    if spec.precision not in (None, *accepted):
        raise UsageError(
            f"{engine}: `precision` must be {', '.join(accepted[:-1])} or {accepted[-1]} for {kinds[-1]}; "
            f"got {spec.precision}",
            parameter="precision",
        )


def _of_patch(engine: Engine, path: str | Path, patch_hw: tuple[int, int] | None) -> Engine:
    """Return the engine, or close it and raise `UsageError` where it takes patches of another size."""
    if patch_hw not in (None, engine.patch_hw):
        engine.close()
        height, width = patch_hw
        raise UsageError(
            f"{path}: `patch_hw` must be {engine.patch_hw[0]}x{engine.patch_hw[1]}, the only patch size that this "
            f"engine accepts; got {height}x{width}; export the model for that patch size with ltm-export",
            parameter="patch_hw",
        )
    return engine


def _check_file(path: Path) -> None:
    """Raise `ArtefactError` unless this is the file of an ONNX or a TensorRT engine."""
    if path.suffix.lower() not in (ONNX_SUFFIX, ENGINE_SUFFIX):
        raise ArtefactError(
            f"{path}: not an engine; give a checkpoint, an .onnx from ltm-export, an .engine from ltm-build (on a "
            "GPU), or grpc://HOST:8001/MODEL (on a Triton server)"
        )
    if not os.path.isfile(path):  # also of a name that is longer than any
        command = "ltm-build" if has_suffix(path, ENGINE_SUFFIX) else "ltm-export"
        raise ArtefactError(f"{path}: no such engine file; create one with {command}")


def _on_device(path: Path, kind: str, device: str, index: int, spec: EngineSpec) -> Engine:
    """Check a file for a GPU before any driver is asked for, then open it there."""
    otherwise = "use `device=cpu`"
    if kind == ONNX:
        artefact: DeviceArtefact = OnnxRuntimeArtefact(path, device)
    elif kind == TENSORRT:
        from ..engines.tensorrt.runner import TensorRTArtefact

        artefact = built = TensorRTArtefact(path, spec.trust)
        source = "the ONNX that it was built from" if built.sidecar is None else built.sidecar.source
        otherwise = f"use {source} with `device=cpu` in place of the TensorRT engine {path}"
    else:
        size, precision = spec.patch_hw or PUBLISHED_PATCH_HW, spec.precision or "fp32"
        artefact = TorchArtefact(_checkpoint(path), size, index, precision, spec.compiled, spec.channels_last)
    return OnDevice(artefact, open_cuda(index, otherwise), spec.batch)


def _checkpoint(path: Path) -> Any:
    """Return the model with the weights of a checkpoint."""
    from ..model import load_checkpoint  # imports PyTorch

    return load_checkpoint(path)
