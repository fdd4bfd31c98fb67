"""From a file, or the URL of a model on a server, to the engine that runs it and to the `Matter` around that engine."""

from pathlib import Path

from ..engines import Engine
from ..specs import Backend, EngineSpec, PlanSpec, Precision
from .matter import Matter
from .opening import TENSORRT_SUFFIX, is_onnx_on_host, open_spec, runs_on_gpu

__all__ = ["TENSORRT_SUFFIX", "is_onnx_on_host", "load_engine", "open_matter", "runs_on_gpu"]


def open_matter(engine: EngineSpec = EngineSpec(), plan: PlanSpec = PlanSpec()) -> Matter:
    """Open an engine and return the `Matter` that runs it on the patches of `plan`; close it, or use it in a `with`.

    engine: which engine, and where; `engine.batch` patches go to it at a time. plan: which patches of a photo run.
    Raises what `load_engine` raises, and `UsageError` where the plan does not fit the engine, which is closed then.
    """
    opened = open_spec(engine)
    try:
        return Matter(
            opened, plan=plan.plan, margin=plan.margin, step=plan.step, published=plan.published, batch=engine.batch
        )
    except BaseException:
        opened.close()
        raise


def load_engine(
    path: str | Path | None = None,
    device: str | None = None,
    *,
    patch_hw: tuple[int, int] | None = None,
    batch: int | None = None,
    threads: int | None = None,
    precision: Precision | None = None,
    compiled: bool = False,
    trust: bool = False,
    cuda_backend: Backend = "cuda-python",
    timeout_s: float | None = None,
) -> Engine:
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
    trust: run a TensorRT engine that has no sidecar. An engine is code of whoever made it.
    cuda_backend: what talks to the GPU, `cuda-python` or `pycuda`. In a context of your own making, PyCUDA runs
    TensorRT engines only, because PyTorch and ONNX Runtime work in the primary context of the device.
    timeout_s: of each request to a Triton server, in seconds.
    Raises `ArtefactError`, `CheckpointError`, `DeviceError`, `DependencyError` or `UsageError`.
    """
    return open_spec(
        EngineSpec(
            engine=None if path is None else str(path),
            device=device,
            patch_hw=patch_hw,
            batch=batch,
            threads=threads,
            precision=precision,
            compiled=compiled,
            trust=trust,
            cuda_backend=cuda_backend,
            timeout_s=timeout_s,
        )
    )
