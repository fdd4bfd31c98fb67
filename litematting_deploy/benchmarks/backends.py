"""What can run the network: the registry behind `ltm-bench --backends`."""

from collections.abc import Sequence
from dataclasses import dataclass

from .._optional import require
from ..engines.onnxruntime import provider_runtime
from ..errors import DeviceError, UsageError
from ..export.spec import Norm
from ..runtime.cuda import open_cuda


@dataclass(frozen=True)
class Backend:
    """A way to run the shipped weights, or any checkpoint.

    name: for `--backends`. precisions: a row for each. norm: the form of group norm to export with; None runs the
    checkpoint itself. compiled: by `torch.compile`. file: runs only an artefact that `--engine` names.
    """

    name: str
    device: str
    precisions: tuple[str, ...]
    norm: Norm | None = None
    compiled: bool = False
    file: bool = False

    def check(self) -> None:
        """Raise what keeps it from running here: `DependencyError` or `DeviceError`, before anything is exported."""
        if self.file:
            raise DeviceError(
                f"{self.name} runs engine files: make one with ltm-build MODEL.onnx -o MODEL.engine --backend "
                f"{self.name}, and give it as --engine MODEL.engine"
            )
        require("torch", "export", self.name)  # to run the checkpoint, or to export it
        if self.norm is not None:
            require("onnxruntime", "cpu" if self.device == "cpu" else "gpu", self.name)
        if self.device != "cpu":
            if self.norm is not None:
                provider_runtime(self.device)
            open_cuda()


BACKENDS = (
    Backend("pytorch-eager-cpu", "cpu", ("fp32",)),
    Backend("pytorch-compiled-cpu", "cpu", ("fp32",), compiled=True),
    Backend("onnxruntime-cpu", "cpu", ("fp32",), "folded"),
    Backend("pytorch-eager-cuda", "cuda", ("fp32", "tf32", "fp16")),
    Backend("pytorch-compiled-cuda", "cuda", ("fp32", "tf32", "fp16"), compiled=True),
    Backend("onnxruntime-cuda", "cuda", ("fp32", "fp16"), "batch"),
    # This provider has no option that turns TF32 off.
    Backend("onnxruntime-tensorrt", "tensorrt", ("tf32", "fp16"), "group"),
    Backend("tensorrt", "cuda", ("fp32", "tf32", "fp16"), file=True),
    Backend("tensorrt-rtx", "cuda", ("fp32", "tf32", "fp16"), file=True),
)


def chosen(words: Sequence[str]) -> list[Backend]:
    """The backends of these names, or of families such as `pytorch`; `all` is all. Raises `UsageError`."""
    found = []
    for word in words:
        matching = [one for one in BACKENDS if word in ("all", one.name) or one.name.startswith(f"{word}-")]
        if not matching:
            names = ", ".join(one.name for one in BACKENDS)
            raise UsageError(f"--backends {word}: wanted all, or some of {names}")
        found += [one for one in matching if one not in found]
    return sorted(found, key=BACKENDS.index)
