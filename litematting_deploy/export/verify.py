"""The written graph in ONNX Runtime against the PyTorch model."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from ..model import LiteMatting
from .scenes import OF_EVERY_EXPORT, scene
from .spec import ExportSpec

Inputs: TypeAlias = Mapping[str, NDArray[np.float32]]
"""image (N, 3, H, W), trimap (N, 3, H, W) and guide (N, 2, H, W), as the network takes them."""

UNTRACED_BATCH = 3
UNKNOWN_CHANNEL = 1


@dataclass(frozen=True)
class Difference:
    """Absolute difference of alpha over one region of one sample."""

    check: str
    maximum: float
    mean: float


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

    A fixed batch is filled with the patches of one sample after the other, and the last one with copies.
    """
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(onnx_path), options, ["CPUExecutionProvider"])
    errors: dict[str, list[NDArray[np.float32]]] = {}
    for names, inputs in _batches(samples, spec.batch):
        filled = inputs
        if spec.batch is not None:
            filled = {key: np.resize(array, (spec.batch, *array.shape[1:])) for key, array in inputs.items()}
        (actual,) = session.run(["alpha"], dict(filled))
        with torch.inference_mode():
            wanted = model(*(torch.from_numpy(inputs[key]) for key in ("image", "trimap", "guide"))).numpy()
        error = np.abs(actual[: len(names)] - wanted)[:, 0]
        unknown = inputs["trimap"][:, UNKNOWN_CHANNEL] > 0
        for region, mask in (("unknown", unknown), ("known", ~unknown)):
            for name, values, chosen in zip(names, error, mask, strict=True):
                if chosen.any():
                    errors.setdefault(f"{name}, {region}", []).append(values[chosen])
    joined = ((check, np.concatenate(values)) for check, values in errors.items())
    return [Difference(check, float(values.max()), float(values.mean())) for check, values in joined]


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
