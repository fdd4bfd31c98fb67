"""From a file to an engine that runs it."""

from pathlib import Path
from typing import Any

from ..engines import DeviceArtefact, Engine, examine, open_engine
from ..engines.triton import TritonEngine, is_url
from ..errors import UsageError
from ..files import CHECKPOINT_SUFFIXES
from ..profiling import stage
from .cuda import open_cuda
from .on_device import OnDevice
from .shipped import SHIPPED_ENGINE

PUBLISHED_PATCH_HW = (640, 640)
TENSORRT_SUFFIX = ".engine"
DEFAULT_CUDA_BACKEND = "cuda-python"


@stage("load engine")
def load_engine(
    path: str | Path | None = None,
    device: str | None = None,
    *,
    patch_hw: tuple[int, int] | None = None,
    batch: int | None = None,
    threads: int | None = None,
    precision: str | None = None,
    compiled: bool = False,
    trust: bool = False,
    cuda_backend: str = DEFAULT_CUDA_BACKEND,
    timeout_s: float | None = None,
) -> Engine:
    """The engine in `path`, or on the server of a URL; without one, the shipped weights in ONNX Runtime.

    device: `cpu`, `cuda[:N]` or, for an ONNX, `tensorrt[:N]`; by default `cuda` for a TensorRT engine and `cpu` for
    everything else. An ONNX and a TensorRT engine take patches of one size: another `patch_hw` is refused. A
    checkpoint runs in PyTorch itself (extra `export`), on patches of `patch_hw`, 640x640 by default.

    batch: patches at a time on a device. threads: of ONNX Runtime's CPU, all cores by default. precision (`fp32`,
    `tf32`, `fp16`): of a checkpoint on a CUDA device. compiled: of a checkpoint, by `torch.compile`. trust: take a
    TensorRT engine without a sidecar; it runs code of whoever made it. cuda_backend: `cuda-python` or `pycuda`; in a
    context of your own making, PyCUDA runs TensorRT engines only, for PyTorch and ONNX Runtime work in the device's
    primary context. A URL, grpc://HOST:8001/MODEL, is of a Triton server (`TritonEngine`, extra `triton`) and takes
    `patch_hw`, `batch` and `timeout_s`, the seconds that a request may take. Raises
    `ArtefactError`, `CheckpointError`, `DeviceError`, `DependencyError` or `UsageError`.
    """
    if is_url(path):
        chosen = {"--device": device, "--precision": precision, "threads": threads}
        chosen |= {"--compile": compiled, "--trust": trust, "--cuda-backend": cuda_backend != DEFAULT_CUDA_BACKEND}
        for name, value in chosen.items():
            if value:
                raise UsageError(f"{path}: the server decides how it computes; leave {name} out")
        return _of_patch(TritonEngine(path, batch, timeout_s), path, patch_hw)
    path = SHIPPED_ENGINE if path is None else Path(path)
    if timeout_s is not None:
        raise UsageError(f"{path}: --timeout is for models on a server; leave it out")
    kind = path.suffix.lower()
    device = device or ("cuda" if kind == TENSORRT_SUFFIX else "cpu")
    checkpoint = kind in CHECKPOINT_SUFFIXES
    _check_options(path, device, checkpoint=checkpoint, precision=precision, compiled=compiled, threads=threads)
    if trust and kind != TENSORRT_SUFFIX:
        raise UsageError(f"{path}: --trust is for TensorRT engines; leave it out")
    if device == "cpu" and cuda_backend != DEFAULT_CUDA_BACKEND:
        raise UsageError(f"--cuda-backend {cuda_backend} talks to a GPU; leave it out on --device cpu")
    if device == "cpu":
        if checkpoint:
            return _torch_on_host(path, patch_hw, compiled)
        engine = open_engine(path, threads=threads)
    else:
        index = _index(device)
        if checkpoint:
            artefact = _torch_artefact(path, patch_hw, device, precision, compiled)
        else:
            artefact = examine(path, device, **({"trust": trust} if kind == TENSORRT_SUFFIX else {}))
        engine = OnDevice(artefact, open_cuda(index, cuda_backend), batch)
    return _of_patch(engine, path, patch_hw)


def _of_patch(engine: Engine, path: str | Path, patch_hw: tuple[int, int] | None) -> Engine:
    if patch_hw not in (None, engine.patch_hw):
        engine.close()
        height, width = patch_hw
        raise UsageError(
            f"{path}: takes patches of {engine.patch_hw[0]}x{engine.patch_hw[1]}, not {height}x{width}; "
            f"make another with: ltm-export MODEL --height {height} --width {width}"
        )
    return engine


def is_onnx_on_host(path: str | Path | None, device: str | None) -> bool:
    """Whether `load_engine` would run it in ONNX Runtime on the CPU, whose threads can be chosen."""
    return device in (None, "cpu") and not is_url(path) and Path(path or SHIPPED_ENGINE).suffix.lower() == ".onnx"


def _check_options(
    path: Path, device: str, *, checkpoint: bool, precision: str | None, compiled: bool, threads: int | None
) -> None:
    on_host = device == "cpu"
    if path.suffix.lower() == TENSORRT_SUFFIX and on_host:
        raise UsageError(f"{path}: a TensorRT engine runs on a GPU, not on --device cpu; use an ONNX there")
    if (precision is not None and (on_host or not checkpoint)) or (compiled and not checkpoint):
        raise UsageError(
            f"{path}: precision is chosen for a checkpoint on --device cuda, compilation for a checkpoint; "
            "an ONNX has its own: ltm-export --precision"
        )
    if threads is not None and (checkpoint or not on_host):
        raise UsageError(f"{path}: threads are for an ONNX on the CPU; set PyTorch's with torch.set_num_threads")


def _index(device: str) -> int:
    kind, colon, index = device.partition(":")
    if kind not in ("cuda", "tensorrt") or (colon and not index.isdecimal()):
        raise UsageError(f"device {device!r}: wanted cpu, cuda, cuda:N, tensorrt or tensorrt:N")
    return int(index or 0)


def _torch_on_host(path: Path, patch_hw: tuple[int, int] | None, compiled: bool) -> Engine:
    from ..engines.torch import TorchEngine
    from ..model import load_checkpoint

    return TorchEngine(load_checkpoint(path), patch_hw or PUBLISHED_PATCH_HW, compiled)


def _torch_artefact(
    path: Path, patch_hw: tuple[int, int] | None, device: str, precision: Any, compiled: bool
) -> DeviceArtefact:
    from ..engines.torch_cuda import TorchArtefact
    from ..model import load_checkpoint

    return TorchArtefact(load_checkpoint(path), patch_hw or PUBLISHED_PATCH_HW, device, precision or "fp32", compiled)
