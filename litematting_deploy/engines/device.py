"""Engines that work on the memory of a CUDA device. An artefact is checked first, then opened on a device."""

import abc
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..files import cache_folder
from .base import Described, check_batch

DEFAULT_BATCH = 1  # until a GPU shows that more are faster
"""Patches per call where neither the user nor the artefact says how many."""


@dataclass(frozen=True)
class Gpu:
    """A device to open an engine on.

    index: as CUDA counts. name: of the product. capability: compute capability, as (8, 9). stream: the `CUstream`, as
    an integer, that the engine will work on.
    """

    index: int
    name: str
    capability: tuple[int, int]
    stream: int


class DeviceEngine(Described):
    """Runs the network on patches that lie in the memory of a CUDA device.

    batch: the most patches that a run computes. least: the fewest; None where a run always computes `batch`.
    capturable: the caller may record its work in a CUDA graph. device_bytes: memory of the device it takes, beside
    inputs and output; None where its library does not say.
    """

    batch: int
    least: int | None = None
    capturable: bool
    device_bytes: int | None

    @abc.abstractmethod
    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        """Put one run on a stream and return.

        count: how many of the patches are computed, from `least` to `batch`; given if there is a `least`.

        addresses: of image (batch, 3, H, W), trimap (batch, 3, H, W), guide (batch, 2, H, W) and alpha
        (batch, 1, H, W), all float32 and C-contiguous; alpha is written. stream: that of the `Gpu`. Raises
        `DeviceError`.
        """


class DeviceArtefact(abc.ABC):
    """An artefact, checked as far as that needs no device: a mistake is reported before a missing driver."""

    @abc.abstractmethod
    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        """Open the engine on `gpu` for `batch` patches at a time, by default the artefact's own or `DEFAULT_BATCH`."""


def cache_path(kind: str, gpu: Gpu, *parts: object) -> Path:
    """Return where something of a `kind` that was made for a GPU of this product is kept in the user's cache folder.

    parts: all else that it depends on, such as hashes and versions.
    """
    key = hashlib.sha256(repr((gpu.name, gpu.capability, *parts)).encode()).hexdigest()
    return cache_folder() / f"{kind}-sm{gpu.capability[0]}{gpu.capability[1]}-{key[:32]}"


def checked_batch(batch: int | None, own: int | None, name: str) -> int:
    """Return the batch size to open with: the artefact's `own` fixed one, or else what the user says.

    Raises `UsageError` where the user asks for more than the artefact takes.
    """
    check_batch(batch, name, own)
    return own or batch or DEFAULT_BATCH
