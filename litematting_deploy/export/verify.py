"""The written graph in ONNX Runtime against the PyTorch model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from ..model import LiteMatting
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
    """Noise with a one-hot trimap; a dynamic batch gets another size than it was traced with."""
    rng = np.random.default_rng(seed)
    count = spec.batch or UNTRACED_BATCH
    labels = rng.integers(0, 3, (count, 1, *spec.patch_hw))
    return {
        "image": rng.random((count, 3, *spec.patch_hw), np.float32),
        "trimap": (labels == np.arange(3)[:, None, None]).astype(np.float32),
        "guide": rng.random((count, 2, *spec.patch_hw), np.float32),
    }


def compare(onnx_path: Path, model: LiteMatting, samples: Mapping[str, Inputs], spec: ExportSpec) -> list[Difference]:
    """Differences of every sample, known and unknown pixels apart. Both run on the CPU, the model in float32.

    A sample with fewer patches than a fixed batch is repeated to fill it.
    """
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(onnx_path), options, ["CPUExecutionProvider"])
    differences = []
    for name, inputs in samples.items():
        if spec.batch is not None:
            inputs = {key: np.resize(array, (spec.batch, *array.shape[1:])) for key, array in inputs.items()}
        (actual,) = session.run(["alpha"], dict(inputs))
        with torch.inference_mode():
            wanted = model(*(torch.from_numpy(inputs[key]) for key in ("image", "trimap", "guide"))).numpy()
        error = np.abs(actual - wanted)[:, 0]
        unknown = inputs["trimap"][:, UNKNOWN_CHANNEL] > 0
        for region, mask in (("unknown", unknown), ("known", ~unknown)):
            if mask.any():
                values = error[mask]
                differences.append(Difference(f"{name}, {region}", float(values.max()), float(values.mean())))
    return differences
