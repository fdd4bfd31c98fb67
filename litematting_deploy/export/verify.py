"""The written graph in ONNX Runtime against the PyTorch model."""

import copy
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from ..model import LiteMatting
from ..model.samples import Inputs
from .scenes import OF_EVERY_EXPORT, scene
from .spec import ExportSpec

UNTRACED_BATCH = 3
UNKNOWN_CHANNEL = 1


@dataclass(frozen=True)
class Difference:
    """Absolute difference of alpha over one region of one sample.

    float32: how far the model in float32 is from itself in float64 there, where that had to be found out; then the
    difference is the one from float64, too.
    """

    check: str
    maximum: float
    mean: float
    float32: float = 0.0

    def within(self, limit: float, of_mean: bool = False) -> bool:
        """Return whether it is small enough: up to `limit`, or up to twice what the model's own rounding makes.

        of_mean: the limit is of the mean, as in INT8.
        """
        return (self.mean if of_mean else self.maximum) <= max(limit, 2 * self.float32)  # NaN is not


def random_inputs(spec: ExportSpec, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return noise with a one-hot trimap; a dynamic batch gets another size than it was traced with."""
    rng = np.random.default_rng(seed)
    count = spec.batch or UNTRACED_BATCH
    labels = rng.integers(0, 3, (count, 1, *spec.patch_hw))
    return {
        "image": rng.random((count, 3, *spec.patch_hw), np.float32),
        "trimap": (labels == np.arange(3)[:, None, None]).astype(np.float32),
        "guide": rng.random((count, 2, *spec.patch_hw), np.float32),
    }


def scene_inputs(spec: ExportSpec) -> Iterator[tuple[str, Inputs]]:
    """Return the scenes of every export, one patch each."""
    for name in OF_EVERY_EXPORT:
        yield name, scene(name, *spec.patch_hw).network_inputs()


def compare(
    onnx_path: Path, model: LiteMatting, samples: Iterable[tuple[str, Inputs]], spec: ExportSpec
) -> list[Difference]:
    """Return differences of every sample, known and unknown pixels apart. Both run on the CPU, the model in float32.

    A fixed batch is filled with the patches of one sample after the other, and the last one with copies. Where a
    scene is over the limit of `spec`, the model runs in float64, too: on a flat picture some weights make so much of so
    little that float32 itself is farther off than that.
    """
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(onnx_path), options, ["CPUExecutionProvider"])
    errors: dict[str, list[NDArray[Any]]] = {}
    own: dict[str, float] = {}
    for names, inputs in _batches(samples, spec.batch):
        (actual,) = session.run(["alpha"], filled(inputs, spec.batch))
        wanted = alpha_of(model, inputs, torch.float32)
        error = np.abs(actual[: len(names)] - wanted)[:, 0]
        flat = np.array([name in OF_EVERY_EXPORT for name in names])
        if spec.precision != "int8" and flat.any() and error[flat].max() > spec.limit:
            exact = alpha_of(copy.deepcopy(model).double(), inputs, torch.float64)
            rounding = np.abs(wanted - exact)[:, 0]
            error = np.where(flat[:, None, None], np.abs(actual[: len(names)] - exact)[:, 0], error)
            for name, patch in itertools.compress(zip(names, rounding, strict=True), flat):
                own[name] = max(own.get(name, 0.0), float(patch.max()))
        unknown = inputs["trimap"][:, UNKNOWN_CHANNEL] > 0
        for region, mask in (("unknown", unknown), ("known", ~unknown)):
            for name, values, chosen in zip(names, error, mask, strict=True):
                if chosen.any():
                    errors.setdefault(f"{name}, {region}", []).append(values[chosen])
    joined = ((check, np.concatenate(values)) for check, values in errors.items())
    return [
        Difference(check, float(values.max()), float(values.mean()), own.get(check.rpartition(", ")[0], 0.0))
        for check, values in joined
    ]


def filled(inputs: Inputs, batch: int | None) -> dict[str, NDArray[np.float32]]:
    """Return patches as they come or, for a fixed batch, repeated to so many."""
    if batch is None:
        return dict(inputs)
    return {key: np.resize(array, (batch, *array.shape[1:])) for key, array in inputs.items()}


def alpha_of(model: LiteMatting, inputs: Inputs, dtype: torch.dtype) -> NDArray[Any]:
    """Return the alpha (N, 1, H, W) of the model, in `dtype`."""
    with torch.inference_mode():
        return np.asarray(model(*(torch.from_numpy(inputs[key]).to(dtype) for key in ("image", "trimap", "guide"))))


def _batches(samples: Iterable[tuple[str, Inputs]], batch: int | None) -> Iterator[tuple[list[str], Inputs]]:
    """Return the samples as they come or, for a fixed batch, up to so many patches at a time; each patch with its
    name."""
    if batch is None:
        for name, inputs in samples:
            yield [name] * len(inputs["image"]), inputs
        return
    patches = (
        (name, {key: array[index : index + 1] for key, array in inputs.items()})
        for name, inputs in samples
        for index in range(len(inputs["image"]))
    )
    while chunk := list(itertools.islice(patches, batch)):
        yield [name for name, _ in chunk], {key: np.concatenate([one[key] for _, one in chunk]) for key in chunk[0][1]}
