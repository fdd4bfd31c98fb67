"""MobileNetV2 classifiers as teachers of the encoder: reading their weights, and their features."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import CheckpointError
from ..files import CHECKPOINT_SUFFIXES
from ..model.checkpoint import read_state_dict

BLOCKS = 16
"""Blocks 0 to 15: all but the last one, which has 320 channels."""
_STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1)
_WIDTHS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160)
_BATCH_NORM_EPS = 1e-5
# What torchvision's weights expect of an image in 0..1.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Teacher(NamedTuple):
    """MobileNetV2 1.0 up to its sixteenth block, with frozen weights.

    folded: `stem`, `block0` to `block15`, each with `expand` (not in `block0`), `depthwise` and `project`, each with
    `.weight` (O, I, kh, kw) and `.bias` (O,), float32: the convolutions with their batch norms folded into them.
    mean, deviation: (3,) float32, what is subtracted from an image in 0..1, and what it is then divided by.
    """

    folded: Mapping[str, Tensor]
    mean: Tensor
    deviation: Tensor

    def to(self, device: torch.device) -> "Teacher":
        """Return the teacher on `device`."""
        folded = {name: value.to(device) for name, value in self.folded.items()}
        return Teacher(folded, self.mean.to(device), self.deviation.to(device))

    def stem(self, image: Tensor) -> Tensor:
        """Return (N, 3, H, W), 0..1 -> (N, 32, H / 2, W / 2), 0..6."""
        normed = (image - self.mean[:, None, None]) / self.deviation[:, None, None]
        return self.convolve(normed, "stem", stride=2).clamp(0, 6)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return what the encoder's stages imitate, for (N, 3, H, W) in 0..1.

        The first block's depthwise part after its activation, then the outputs of blocks 1 to 15.
        """
        outputs = [self.convolve(self.stem(image), "block0.depthwise").clamp(0, 6)]
        x = self.convolve(outputs[0], "block0.project")
        for k in range(1, BLOCKS):
            y = self.block(x, k)[2]
            x = x + y if x.shape == y.shape else y
            outputs.append(x)
        return outputs

    def block(self, x: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the three convolutions of block `k`, from 1, make of (N, C, H, W), before their activations."""
        expanded = self.convolve(x, f"block{k}.expand")
        deep = self.convolve(expanded.clamp(0, 6), f"block{k}.depthwise", _STRIDES[k])
        return expanded, deep, self.convolve(deep.clamp(0, 6), f"block{k}.project")

    def convolve(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        """Return the convolution `name` with its bias on (N, C, H, W), zero-padded by half its kernel.

        stride: 1 or 2. Kernels of one input channel are depthwise: each is applied to a channel of its own.
        """
        weight, bias = self.folded[f"{name}.weight"], self.folded[f"{name}.bias"]
        groups = x.shape[1] // weight.shape[1]
        return functional.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, groups=groups)


def read_mobilenet(path: str | Path) -> Teacher:
    """Read MobileNetV2 1.0, its batch norms folded into the convolutions.

    Accepts a checkpoint with torchvision's names (`features.0.0.weight`, ...; `.pth`, `.safetensors`), or an `.npz`
    of `Teacher.folded` for images in -1..1. Raises `CheckpointError` when the file cannot be read, and names what is
    missing, wrongly shaped or not finite.
    """
    path = Path(path)
    suffix, suffixes = path.suffix.lower(), (*CHECKPOINT_SUFFIXES, ".npz")
    if suffix not in suffixes:
        raise CheckpointError(f"{path}: a MobileNetV2 must end in {', '.join(suffixes)}; got '{suffix}'")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give the path of an existing one")
    if suffix == ".npz":
        teacher = Teacher(_read_npz(path), torch.full((3,), 0.5), torch.full((3,), 0.5))
    else:
        teacher = Teacher(_fold(path, read_state_dict(path)), torch.tensor(_MEAN), torch.tensor(_DEVIATION))
    _check(path, teacher.folded)
    return teacher


def _read_npz(path: Path) -> dict[str, Tensor]:
    """Return the arrays of a file as float32 tensors. Raises `CheckpointError`."""
    try:
        # NumPy leaves a file that it opened itself open where it is no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.asarray(arrays[name], np.float32)) for name in arrays.files}
    # NumPy's own words would have people load pickles.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: is damaged, or no .npz of plain arrays; download it again") from error


def _layers() -> Iterator[tuple[str, str, str, tuple[int, ...]]]:
    """Yield the name of each convolution here, torchvision's names of it and of its norm, and its shape."""
    yield "stem", "features.0.0", "features.0.1", (32, 3, 3, 3)
    before = 32
    for k, width in enumerate(_WIDTHS):
        hidden, base = before if k == 0 else 6 * before, f"features.{k + 1}.conv"
        parts = [("expand", (hidden, before, 1, 1)), ("depthwise", (hidden, 1, 3, 3))][k == 0 :]
        for i, (part, shape) in enumerate(parts):
            yield f"block{k}.{part}", f"{base}.{i}.0", f"{base}.{i}.1", shape
        last = len(parts)
        yield f"block{k}.project", f"{base}.{last}", f"{base}.{last + 1}", (width, hidden, 1, 1)
        before = width


def _fold(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold torchvision's batch norms into the convolutions before them."""
    folded = {}
    try:
        for name, conv, norm, _ in _layers():
            gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + _BATCH_NORM_EPS).sqrt()
            folded[f"{name}.weight"] = (state[f"{conv}.weight"] * gain[:, None, None, None]).float()
            folded[f"{name}.bias"] = (state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain).float()
    except KeyError as error:
        raise CheckpointError(
            f"{path}: has no tensor {error.args[0]}, so it is not torchvision's MobileNetV2; "
            "give mobilenet_v2 weights under torchvision's names, or an .npz as recipes/README.md describes"
        ) from error
    return folded


def _check(path: Path, folded: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` unless all kernels and biases are there, of their shapes, and finite."""
    for name, _, _, shape in _layers():
        for part, wanted in (("weight", shape), ("bias", shape[:1])):
            found = folded.get(f"{name}.{part}")
            if found is None or tuple(found.shape) != wanted:
                is_there = "is missing" if found is None else f"has the shape {tuple(found.shape)}"
                raise CheckpointError(f"{path}: {name}.{part} {is_there}; MobileNetV2 1.0 has {wanted} there")
            if not bool(found.isfinite().all()):
                raise CheckpointError(f"{path}: {name}.{part} contains NaN or infinity; download the file again")
