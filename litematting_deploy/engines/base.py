"""What every engine is."""

import abc
import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtefactError, NotFiniteError, UsageError
from ..profiling import stage

Batch = NDArray[np.float32]

CHANNELS = {"image": 3, "trimap": 3, "guide": 2, "alpha": 1}

# file ending -> (module of this package, class)
_BACKENDS = {".onnx": ("onnxruntime", "OnnxRuntimeEngine")}


class Described(abc.ABC):
    """What is known of every engine.

    name: backend and device class, as in `onnxruntime-cpu`. device: what was asked for, as in `cuda:0`. patch_hw: the
    only height and width it takes. precision: `fp32`, `tf32`, `fp16` or `unknown`. version: of the backend.
    weights_sha256: of its checkpoint, where no file here says.
    """

    name: str
    device: str
    version: str
    patch_hw: tuple[int, int]
    precision: str
    weights_sha256: str | None = None

    def describe(self) -> str:
        """One line for people: engine, version, device, patch size and precision."""
        return f"{self.name} {self.version} on {self.device}, {self.patch_hw[0]}x{self.patch_hw[1]} {self.precision}"

    def not_finite(self) -> NotFiniteError:
        """What to raise when alpha contains NaN or infinity."""
        return NotFiniteError(
            f"{self.name}: alpha is not finite for this image; use another engine for it, as the checkpoint itself "
            "or an export with --norm batch"
        )

    @abc.abstractmethod
    def close(self) -> None:
        """Release what the engine holds; it cannot run afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class Engine(Described):
    """Runs the network on patches in host memory. batch: the only batch size it takes, or None for any up to `most`."""

    batch: int | None
    most: int | None = None

    @stage("engine")
    def run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        """Estimate alpha of up to `batch` or `most` patches.

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
        limit = self.batch or self.most
        if count < 1 or (limit is not None and count > limit):
            raise UsageError(f"{self.name} takes 1 to {limit or 'any'} patches at a time, got {count}")
        return count


def check_contract(path: str | Path, tensors: Mapping[str, tuple[Sequence[Any], str]], float32: str) -> tuple[int, int]:
    """Patch height and width of an artefact whose inputs and output keep DESIGN's contract.

    tensors: name to shape and type, in the words of its library, where `float32` is one. The batch may be anything.
    Raises `ArtefactError`.
    """
    if set(tensors) != set(CHANNELS):
        raise ArtefactError(
            f"{path}: has {', '.join(sorted(tensors)) or 'neither input nor output'}, wanted inputs image, trimap, "
            "guide and output alpha; export LiteMatting with ltm-export"
        )
    shape = list(tensors["image"][0])
    if len(shape) != 4:
        raise ArtefactError(f"{path}: image is {shape}, wanted (N, 3, H, W); export LiteMatting again")
    batch, _, height, width = shape
    for name, channels in CHANNELS.items():
        found, wanted = list(tensors[name][0]), [batch, channels, height, width]
        if found != wanted or tensors[name][1] != float32:
            raise ArtefactError(f"{path}: {name} is {found} {tensors[name][1]}, wanted {wanted} {float32}")
    if not all(isinstance(side, int) and side >= 32 and side % 32 == 0 for side in (height, width)):
        raise ArtefactError(f"{path}: patches of {height}x{width}, wanted fixed multiples of 32; export it again")
    return height, width


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
        raise ArtefactError(
            f"{path}: an engine is a checkpoint, an .onnx (made with ltm-export) or, on a GPU, an .engine (with "
            "ltm-build); on a Triton server, grpc://HOST:8001/MODEL"
        )
    if not os.path.isfile(path):
        command = "ltm-build MODEL.onnx" if path.suffix.lower() == ".engine" else "ltm-export MODEL"
        raise ArtefactError(f"{path}: no such engine file; make one with: {command} -o {path.name}")
    return path, backend
