"""What every engine is."""

import abc
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtefactError, UsageError

Batch = NDArray[np.float32]

CHANNELS = {"image": 3, "trimap": 3, "guide": 2, "alpha": 1}

# file ending -> (module of this package, class)
_BACKENDS = {".onnx": ("onnxruntime", "OnnxRuntimeEngine")}


class Described(abc.ABC):
    """What is known of every engine.

    name: backend and device class, as in `onnxruntime-cpu`. device: what was asked for, as in `cuda:0`. patch_hw: the
    only height and width it takes. precision: `fp32`, `tf32`, `fp16` or `unknown`. version: of the backend.
    """

    name: str
    device: str
    version: str
    patch_hw: tuple[int, int]
    precision: str

    def describe(self) -> str:
        """One line for people: engine, version, device, patch size and precision."""
        return f"{self.name} {self.version} on {self.device}, {self.patch_hw[0]}x{self.patch_hw[1]} {self.precision}"

    def not_finite(self) -> ArtefactError:
        """What to raise when alpha holds values that are no numbers."""
        return ArtefactError(f"{self.name}: alpha is not finite, the weights are damaged; export another checkpoint")

    @abc.abstractmethod
    def close(self) -> None:
        """Release what the engine holds; it cannot run afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class Engine(Described):
    """Runs the network on patches in host memory. batch: the only batch size it takes, or None for any."""

    batch: int | None

    def run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        """Estimate alpha of up to `batch` patches.

        image (N, 3, H, W), trimap (N, 3, H, W) and guide (N, 2, H, W), float32 and 0..1 as described in
        `LiteMatting.forward`. Returns (N, 1, H, W) float32, 0..1. A short batch of a fixed-batch engine is padded.
        """
        count = self._check({"image": image, "trimap": trimap, "guide": guide})
        tail = ((0, (self.batch or count) - count), (0, 0), (0, 0), (0, 0))
        if tail[0][1]:
            image, trimap, guide = np.pad(image, tail), np.pad(trimap, tail), np.pad(guide, tail)
        alpha = self._run(image, trimap, guide)[:count]
        if not np.isfinite(alpha).all():
            raise self.not_finite()
        return alpha

    @abc.abstractmethod
    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        """`run` with checked arrays and exactly `batch` patches where that is fixed."""

    def _check(self, inputs: dict[str, Batch]) -> int:
        count = len(inputs["image"])
        for name, array in inputs.items():
            wanted = (count, CHANNELS[name], *self.patch_hw)
            if array.shape != wanted or array.dtype != np.float32:
                raise UsageError(
                    f"{name} is {array.shape} {array.dtype}, {self.name} wants {wanted} float32; "
                    "for another patch size: ltm-export MODEL --height H --width W"
                )
        if count < 1 or (self.batch is not None and count > self.batch):
            raise UsageError(f"{self.name} takes 1 to {self.batch or 'any'} patches at a time, got {count}")
        return count


def open_engine(path: str | Path, **options: Any) -> Engine:
    """The engine of an artefact file, chosen by its ending; `options` are those of the backend's class."""
    path, backend = existing(path, _BACKENDS)
    engine: Engine = getattr(importlib.import_module(f".{backend[0]}", __package__), backend[1])(path, **options)
    return engine


def existing(path: str | Path, backends: Mapping[str, tuple[str, str]]) -> tuple[Path, tuple[str, str]]:
    """The path of an artefact and the backend for its ending. Raises `ArtefactError`."""
    path = Path(path)
    backend = backends.get(path.suffix.lower())
    if backend is None:
        raise ArtefactError(f"{path}: engines are {', '.join(backends)} files; export a checkpoint with ltm-export")
    if not path.is_file():
        raise ArtefactError(f"{path}: no such engine file; make one with: ltm-export MODEL -o {path.stem}.onnx")
    return path, backend
