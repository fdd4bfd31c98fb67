"""From a file to an engine that runs it."""

from pathlib import Path
from typing import Any

from .._files import CHECKPOINT_SUFFIXES
from ..engines import Engine, open_engine
from .assets import SHIPPED_ENGINE

PUBLISHED_PATCH_HW = (640, 640)


def load_engine(path: str | Path | None = None, device: str = "cpu", **options: Any) -> Engine:
    """The engine in `path`; without one, the shipped weights in ONNX Runtime.

    An ONNX runs in ONNX Runtime; a checkpoint runs in PyTorch itself (extra `export`), on patches of `patch_hw`,
    640x640 by default. `options` go to the engine: `threads` of the CPU for ONNX Runtime. Raises `ArtefactError`,
    `CheckpointError`, `DeviceError` or `DependencyError`.
    """
    path = SHIPPED_ENGINE if path is None else Path(path)
    if path.suffix.lower() not in CHECKPOINT_SUFFIXES:
        return open_engine(path, device, **options)
    from ..engines.torch_engine import TorchEngine
    from ..model import load_checkpoint

    return TorchEngine(load_checkpoint(path), options.pop("patch_hw", PUBLISHED_PATCH_HW), device, **options)
