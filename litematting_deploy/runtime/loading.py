"""From a file to an engine that runs it."""

from pathlib import Path

from .._files import CHECKPOINT_SUFFIXES
from ..engines import Engine, open_engine
from ..errors import UsageError
from .assets import SHIPPED_ENGINE

PUBLISHED_PATCH_HW = (640, 640)


def load_engine(
    path: str | Path | None = None,
    device: str = "cpu",
    *,
    patch_hw: tuple[int, int] | None = None,
    threads: int | None = None,
) -> Engine:
    """The engine in `path`; without one, the shipped weights in ONNX Runtime.

    An ONNX runs in ONNX Runtime, on patches of the size it was exported for: another `patch_hw` is refused. A
    checkpoint runs in PyTorch itself (extra `export`), on patches of `patch_hw`, 640x640 by default. threads: of ONNX
    Runtime's CPU, all cores by default. Raises `ArtefactError`, `CheckpointError`, `DeviceError`, `DependencyError`
    or `UsageError`.
    """
    path = SHIPPED_ENGINE if path is None else Path(path)
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        from ..engines.torch_engine import TorchEngine
        from ..model import load_checkpoint

        if threads is not None:
            raise UsageError(f"{path}: threads are for an ONNX; set PyTorch's with torch.set_num_threads")
        return TorchEngine(load_checkpoint(path), patch_hw or PUBLISHED_PATCH_HW, device)
    engine = open_engine(path, device, threads=threads)
    if patch_hw not in (None, engine.patch_hw):
        height, width = patch_hw
        raise UsageError(
            f"{path}: takes patches of {engine.patch_hw[0]}x{engine.patch_hw[1]}, not {height}x{width}; "
            f"make another with: ltm-export MODEL --height {height} --width {width}"
        )
    return engine
