"""The engine: what runs the network on patches, whatever library does it."""

import abc
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtefactError, DeviceError, NotFiniteError, UsageError, first_line
from ..profiling import stage
from ..sidecar import Sidecar, essentials, sidecar_path

Batch = NDArray[np.float32]

CHANNELS = {"image": 3, "trimap": 3, "guide": 2, "alpha": 1}


class Opened(abc.ABC):
    """What is closed at the end, also as a context."""

    closed = False

    @abc.abstractmethod
    def close(self) -> None:
        """Release what it holds; it cannot run afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Described(Opened):
    """The properties that every engine has.

    name: backend and device class, as in `onnxruntime-cpu`. device: what was asked for, as in `cuda:0`. patch_hw: the
    only height and width it takes. precision: `fp32`, `tf32`, `bf16`, `fp16` or `unknown`. version: of the backend.
    weights_sha256: of its checkpoint, where no file here says.
    """

    name: str
    device: str
    version: str
    patch_hw: tuple[int, int]
    precision: str
    weights_sha256: str | None = None
    _path: Path

    def check_open(self) -> None:
        """Raise `UsageError` after `close`."""
        if self.closed:
            raise UsageError(f"{self.name}: the engine is closed; open it again")

    def describe(self) -> str:
        """Return one line for people: engine, version, device, patch size and precision."""
        return f"{self.name} {self.version} on {self.device}, {self.patch_hw[0]}x{self.patch_hw[1]} {self.precision}"

    def not_finite(self) -> NotFiniteError:
        """Return what to raise when alpha contains NaN or infinity."""
        return NotFiniteError(
            f"{self.name}: the alpha of this image contains NaN or infinity; use another engine for it, such as the "
            "checkpoint or an export with batch norms"
        )

    def failure(self, count: int, error: Exception) -> DeviceError:
        """Return what to raise when a run of `count` patches failed, of an engine that runs a file."""
        return DeviceError(
            f"{self._path}: failed on {self.device} with {count} patches at a time; use a smaller `batch` or "
            f"smaller patches if it ran out of memory ({first_line(error)})"
        )


class Engine(Described):
    """Runs the network on patches in host memory.

    batch: the only batch size it takes, or None for any up to `most`. reach: how far around a patch an engine sees the
    trimap that takes pixels (`run_pixels`) instead of tensors (`run`).
    """

    batch: int | None
    most: int | None = None
    reach: int | None = None

    @stage("engine")
    def run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        """Estimate alpha of up to `batch` or `most` patches.

        image (N, 3, H, W), trimap (N, 3, H, W) and guide (N, 2, H, W), float32 and 0..1 as described in
        `LiteMatting.forward`. Returns (N, 1, H, W) float32, 0..1. A short batch of a fixed-batch engine is padded.
        """
        self.check_open()
        count = self._check({"image": image, "trimap": trimap, "guide": guide})
        tail = ((0, (self.batch or count) - count), (0, 0), (0, 0), (0, 0))
        if tail[0][1]:  # with zeros, and what the engine makes of them is cut off again
            image, trimap, guide = np.pad(image, tail), np.pad(trimap, tail), np.pad(guide, tail)
        return self._finite(self._run(image, trimap, guide)[:count])

    @stage("engine")
    def run_pixels(self, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Batch:
        """Estimate alpha of patches of a photo, with an engine that has a `reach`.

        image (N, H, W, 3) and, with `reach` pixels more on each side, trimap (N, ...) of 0 / 128 / 255, both uint8.
        Returns (N, 1, H, W) float32, 0..1.
        """
        self.check_open()
        return self._finite(self._run_pixels(image, trimap))

    def _run_pixels(self, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Batch:
        """Run as `run_pixels`, of engines with a `reach`."""
        raise NotImplementedError

    def _finite(self, alpha: Batch) -> Batch:
        """Return an alpha whose values are all finite. Raises `NotFiniteError`."""
        if not np.isfinite(alpha).all():
            raise self.not_finite()
        return alpha

    @abc.abstractmethod
    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        """Run checked arrays, exactly `batch` patches where that is fixed; as `run`."""

    def _check(self, inputs: dict[str, Batch]) -> int:
        """Return how many patches there are. Raises `UsageError` for arrays that the engine does not take."""
        count = len(inputs["image"])
        for name, array in inputs.items():
            wanted = (count, CHANNELS[name], *self.patch_hw)
            if array.shape != wanted or array.dtype != np.float32:
                raise UsageError(
                    f"{name} is {array.shape} {array.dtype}, but {self.name} takes {wanted} float32; for another "
                    "patch size, export the model again with ltm-export"
                )
        limit = self.batch or self.most
        if count < 1 or (limit is not None and count > limit):
            raise UsageError(f"{self.name} takes 1 to {limit or 'any'} patches at a time, got {count}")
        return count


def check_contract(path: str | Path, tensors: Mapping[str, tuple[Sequence[Any], str]], float32: str) -> tuple[int, int]:
    """Return patch height and width of an artefact whose inputs and output keep the contract of the package.

    tensors: name to shape and type, in the words of its library, where `float32` is one. The batch may be anything.
    Raises `ArtefactError`.
    """
    if set(tensors) != set(CHANNELS):
        raise ArtefactError(
            f"{path}: has {', '.join(sorted(tensors)) or 'neither input nor output'}, expected inputs image, "
            "trimap, guide and output alpha; export LiteMatting with ltm-export"
        )
    shape = list(tensors["image"][0])
    if len(shape) != 4:
        raise ArtefactError(f"{path}: image is {shape}, expected (N, 3, H, W); export LiteMatting again")
    batch, _, height, width = shape
    for name, channels in CHANNELS.items():
        found, wanted = list(tensors[name][0]), [batch, channels, height, width]
        if found != wanted or tensors[name][1] != float32:
            raise ArtefactError(f"{path}: {name} is {found} {tensors[name][1]}, expected {wanted} {float32}")
    if not all(isinstance(side, int) and side >= 32 and side % 32 == 0 for side in (height, width)):
        raise ArtefactError(
            f"{path}: its patch size is {height}x{width}, expected fixed multiples of 32; export it again"
        )
    return height, width


def check_origin(
    path: Path, sidecar: Sidecar | None, metadata: Mapping[str, str], patch_hw: tuple[int, int], batch: int | None
) -> None:
    """Raise `ArtefactError` where what an ONNX says of itself is not what its sidecar says; warn where it has none.

    metadata: of the file, by name. patch_hw, batch: of its inputs, None for any batch.
    """
    if sidecar is None:
        warnings.warn(f"{path}: has no sidecar {sidecar_path(path).name}, so its origin is unknown", stacklevel=6)
        return
    inside = {**metadata, **essentials(patch_hw=patch_hw, batch=batch)}
    for name, said in sidecar.essentials().items():
        if inside.get(name) != said:
            raise ArtefactError(
                f"{path}: {name.partition('.')[2]} is {inside.get(name, 'missing')} in the file, but {said} in its "
                f"sidecar; export it again: {sidecar.export_command()}"
            )


def check_batch(
    batch: int | None, name: str, most: int | None, fix: str = "export the model again for more patches"
) -> None:
    """Raise `UsageError` unless an engine can take `batch` patches at a time. most: as many as it can, None for any."""
    if batch is not None and not 1 <= batch <= (most or batch):
        limit = f"between 1 and {most}" if most else "1 or more"
        raise UsageError(
            f"`batch` must be {limit}, the number of patches that {name} takes at a time; got {batch}; {fix}",
            parameter="batch",
        )
