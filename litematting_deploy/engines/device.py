"""Engines that work on the memory of a CUDA device, and the way to one: an artefact is examined, then opened there."""

import abc
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .base import Described, existing

DEFAULT_BATCH = 4
"""Patches per call where neither the user nor the artefact says how many."""

# file ending -> (module of this package, class)
_BACKENDS = {".onnx": ("onnxruntime_cuda", "OnnxRuntimeArtefact"), ".engine": ("tensorrt.runner", "TensorRTArtefact")}


@dataclass(frozen=True)
class Gpu:
    """The device an engine is opened on.

    index: as CUDA counts. name: of the product. capability: compute capability, as (8, 9). stream: the `CUstream`, as
    an integer, that the engine will work on.
    """

    index: int
    name: str
    capability: tuple[int, int]
    stream: int


class DeviceEngine(Described):
    """Runs the network on patches that lie in the memory of a CUDA device.

    batch: the only batch size it takes. capturable: the caller may record its work in a CUDA graph. device_bytes:
    memory of the device it takes, beside inputs and output; None where its library does not say.
    """

    batch: int
    capturable: bool
    device_bytes: int | None

    @abc.abstractmethod
    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put one run on a stream and return.

        addresses: of image (batch, 3, H, W), trimap (batch, 3, H, W), guide (batch, 2, H, W) and alpha
        (batch, 1, H, W), all float32 and C-contiguous; alpha is written. stream: that of the `Gpu`. Raises
        `DeviceError`.
        """


class DeviceArtefact(abc.ABC):
    """An artefact, checked as far as that needs no device, so that a mistake is told before a missing driver is."""

    @abc.abstractmethod
    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        """The engine on `gpu`, for `batch` patches at a time, by default the artefact's own or `DEFAULT_BATCH`."""


def examine(path: str | Path, device: str, **options: Any) -> DeviceArtefact:
    """The artefact in a file, by its ending; `options` are those of the backend's class.

    Raises `ArtefactError`, `DependencyError`, `DeviceError` or `UsageError`.
    """
    path, backend = existing(path, _BACKENDS)
    artefact: DeviceArtefact = getattr(importlib.import_module(f".{backend[0]}", __package__), backend[1])(
        path, device, **options
    )
    return artefact


def checked_batch(batch: int | None, own: int | None, name: str) -> int:
    """The batch size to open with: what the user says, if it agrees with the artefact's `own` fixed one."""
    if batch is None:
        return own or DEFAULT_BATCH
    if batch < 1 or batch > (own or batch):
        limit = f"1 to {own}" if own else "1 or more"
        raise UsageError(f"--batch {batch}: {name} takes {limit} patches at a time; export another --batch")
    return own or batch
