"""What can run the network: the table behind `ltm-bench --backends`."""

from collections.abc import Sequence
from dataclasses import dataclass

from .._optional import require
from ..engines.onnxruntime import provider_runtime
from ..engines.providers import PROVIDERS
from ..errors import DeviceError, UsageError
from ..export.spec import Norm
from ..runtime.cuda import open_cuda
from ..specs import Precision


@dataclass(frozen=True)
class Backend:
    """A way to run the shipped weights, or any checkpoint.

    name: what `ltm-bench --backends` calls it.
    device: as in `EngineSpec`, and not `auto`.
    precisions: each is a row.
    norm: the form of group norm to export with; None runs the checkpoint itself.
    compiled: the checkpoint runs through `torch.compile`, which chooses how activations lie in memory.
    channels_last: the checkpoint keeps activations as (N, H, W, C).
    file: it runs only engine files, which are built beforehand.
    """

    name: str
    device: str
    precisions: tuple[Precision, ...]
    norm: Norm | None = None
    compiled: bool = False
    channels_last: bool = False
    file: bool = False

    @property
    def in_file(self) -> bool:
        """Whether the precision is that of an exported file, and not a parameter of the engine."""
        return self.norm is not None and not self.device.startswith("openvino")


BACKENDS = (
    Backend("pytorch-eager-cpu", "cpu", ("fp32",)),
    Backend("pytorch-channels-last-cpu", "cpu", ("fp32",), channels_last=True),
    Backend("pytorch-compiled-cpu", "cpu", ("fp32",), compiled=True),
    Backend("onnxruntime-cpu", "cpu", ("fp32",), "folded"),
    Backend("openvino-cpu", "openvino", ("fp32", "bf16"), "folded"),
    Backend("openvino-gpu", "openvino:gpu", ("fp32", "fp16"), "group"),
    Backend("onnxruntime-webgpu", "webgpu", ("fp32",), "group"),
    Backend("onnxruntime-coreml", "coreml", ("fp32",), "group"),
    Backend("pytorch-eager-mps", "mps", ("fp32",)),
    Backend("pytorch-eager-cuda", "cuda", ("fp32", "tf32", "fp16")),
    Backend("pytorch-channels-last-cuda", "cuda", ("fp32", "tf32", "fp16"), channels_last=True),
    Backend("pytorch-compiled-cuda", "cuda", ("fp32", "tf32", "fp16"), compiled=True),
    Backend("onnxruntime-cuda", "cuda", ("fp32", "fp16"), "batch"),
    # This provider has no option that turns TF32 off.
    Backend("onnxruntime-tensorrt", "tensorrt", ("tf32", "fp16"), "group"),
    Backend("tensorrt", "cuda", ("fp32", "tf32", "fp16"), file=True),
    Backend("tensorrt-rtx", "cuda", ("fp32", "tf32", "fp16"), file=True),
)


def check(backend: Backend) -> None:
    """Raise what keeps a backend from running here, before anything is exported.

    Raises: `DependencyError`, `DeviceError`.
    """
    if backend.file:
        raise DeviceError(
            f"{backend.name} runs engine files; build one for it with ltm-build, and give it as `engines`"
        )
    require("torch", "export", backend.name)  # to run the checkpoint, or to export it
    provider = PROVIDERS[backend.device.partition(":")[0]]
    if backend.norm is not None:
        require("onnxruntime", "gpu" if provider.on_cuda else "cpu", backend.name)
    if not provider.on_cuda:
        if reason := provider.missing():
            raise DeviceError(reason)
        return
    if backend.norm is not None:
        provider_runtime(backend.device)
    open_cuda()


def chosen(names: Sequence[str]) -> list[Backend]:
    """Return the backends of some names, in the order of the table.

    names: of backends, of families such as `pytorch`, or `all`.
    Raises: `UsageError` for any other name.
    """
    found = []
    for name in names:
        matching = [one for one in BACKENDS if name in ("all", one.name) or one.name.startswith(f"{name}-")]
        if not matching:
            known = ", ".join(one.name for one in BACKENDS)
            raise UsageError(f"`backends` must be all, or some of {known}; got {name!r}")
        found += [one for one in matching if one not in found]
    return sorted(found, key=BACKENDS.index)
