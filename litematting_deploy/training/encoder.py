"""Beginning with an ImageNet encoder: MobileNetV2's kernels carried over, then its features regressed on photos.

LiteMatting's encoder has MobileNetV2's blocks, but with group norms in place of batch norms, padding before the
expansion, five more input channels, and a dense 3x3 convolution in place of the first block. The kernels are copied,
each norm's scale and shift are fitted to the teacher's activations one layer after the other, and then all of it is
trained so that the outputs of its stages on photos become the teacher's.
"""

import time
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..model import LiteMatting
from .mobilenet import BLOCKS, Teacher
from .photos import Photos

_SIZE_PX, _BATCH = 224, 8
_ZOOM = (0.7, 4.0)
_RATE = 2e-3
# What of `Teacher.features` the outputs of layer1 to layer6 are compared with.
_STAGES = (0, 2, 5, 9, 12, 15)
# Trimap and guide have no counterpart in MobileNetV2: they begin as a small disturbance.
_NEW_INPUTS = 0.05


def carry_over(model: LiteMatting, teacher: Teacher, photos: Photos, rng: np.random.Generator) -> None:
    """Copy the teacher's kernels into the model's encoder and fit its norms on 48 crops of photos.

    model, photos: on the teacher's device; the model's encoder is changed in place.
    """
    inputs = torch.cat([_inputs(photos, rng) for _ in range(6)])
    with torch.no_grad():
        _copy_kernels(model, teacher)
        _fit_norms(model, teacher, inputs)


def regress(
    model: LiteMatting,
    teacher: Teacher,
    photos: Photos,
    minutes: float,
    rng: np.random.Generator,
    report: Callable[[float, float], None],
) -> None:
    """Train the encoder's stages, layer0 to layer6, to give the teacher's outputs, for `minutes`.

    report: called every ten steps with the share of the time that has passed, 0..1, and the recent mean error
    (squared, relative to each channel's variance).
    """
    parameters = [parameter for i in range(7) for parameter in model.get_submodule(f"layer{i}").parameters()]
    optimiser = torch.optim.AdamW(parameters, _RATE, weight_decay=0.0)
    begun, errors, done, step = time.monotonic(), [], 0.0, 0
    while done < 1:
        optimiser.param_groups[0]["lr"] = _RATE * min(1.0, (step + 1) / 50) * (1 + np.cos(np.pi * done)) / 2
        loss = _distance(model, teacher, _inputs(photos, rng))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        errors.append(float(loss.detach()))
        step += 1
        done = (time.monotonic() - begun) / (60 * minutes)
        if step % 10 == 0 or done >= 1:
            report(min(done, 1.0), float(np.mean(errors[-50:])))


def error(model: LiteMatting, teacher: Teacher, photos: Photos, rng: np.random.Generator) -> float:
    """Return what `regress` makes smaller, on eight crops: the mean error, squared and relative to the variance."""
    with torch.no_grad():
        return float(_distance(model, teacher, _inputs(photos, rng)))


def _inputs(photos: Photos, rng: np.random.Generator) -> Tensor:
    """Return a batch as layer0 takes it, (N, 8, S, S): photo crops in -1..1, then random trimaps and guides."""
    image = photos.crops(rng, _BATCH, _SIZE_PX, _ZOOM)
    coarse = torch.from_numpy(rng.random((_BATCH, 1, _SIZE_PX // 32, _SIZE_PX // 32))).float()
    field = functional.interpolate(coarse, size=image.shape[2:], mode="bilinear").to(image.device)
    background, foreground = (field < 0.35).float(), (field > 0.65).float()
    guide = torch.cat([(1 - (field - 0.35).clamp(min=0) * 4), (1 - (0.65 - field).clamp(min=0) * 4)], 1).clamp(0, 1)
    return torch.cat([2 * image - 1, background, 1 - background - foreground, foreground, guide], dim=1)


def _image(inputs: Tensor) -> Tensor:
    """Return the photos of a batch of inputs, (N, 3, S, S), 0..1."""
    return (inputs[:, :3] + 1) / 2


def _students(model: LiteMatting, inputs: Tensor) -> list[Tensor]:
    """Return the outputs of layer1 to layer6 for inputs (N, 8, S, S)."""
    outputs = [model.get_submodule("layer0")(inputs)]
    for i in range(1, 7):
        outputs.append(model.get_submodule(f"layer{i}")(outputs[-1]))
    return outputs[1:]


def _wanted(teacher: Teacher, inputs: Tensor) -> list[Tensor]:
    """Return the teacher's features that `_students` is compared with."""
    features = teacher.features(_image(inputs))
    return [features[k] for k in _STAGES]


def _distance(model: LiteMatting, teacher: Teacher, inputs: Tensor) -> Tensor:
    """Return the mean over stages of the squared difference, relative to the variance of each channel of the
    teacher."""
    with torch.no_grad():
        wanted = _wanted(teacher, inputs)
    apart = []
    for got, target in zip(_students(model, inputs), wanted, strict=True):
        variance = target.var(dim=(0, 2, 3), keepdim=True)
        apart.append(((got - target).square() / (variance + 1e-3 * variance.mean())).mean())
    return torch.stack(apart).mean()


def _copy_kernels(model: LiteMatting, teacher: Teacher) -> None:
    """Write the teacher's folded kernels into the encoder's convolutions; what has no counterpart stays small.

    Inputs that MobileNetV2 lacks, and the dense convolution beside its diagonal, become small random numbers.
    """
    kernels = teacher.folded
    stem = model.get_parameter("layer0.0.weight")
    # The encoder's images are in -1..1: (u + 1) / 2 is what the teacher divides by its deviation.
    stem[:, :3] = kernels["stem.weight"] * (0.5 / teacher.deviation)[:, None, None]
    stem[:, 3:].normal_(0, _NEW_INPUTS)
    dense = model.get_parameter("layer1.0.weight").normal_(0, 0.01)
    index = torch.arange(len(dense))
    dense[index, index] = kernels["block0.depthwise.weight"][:, 0]
    model.get_parameter("layer1.0.bias").zero_()
    for k, conv in _blocks(model):
        expand = kernels[f"block{k}.expand.weight"]
        if k == 1:  # the first block's projection, which the encoder lacks, becomes part of the next expansion
            expand = torch.einsum("oi,ij->oj", expand[:, :, 0, 0], kernels["block0.project.weight"][:, :, 0, 0])
            expand = expand[:, :, None, None]
        hidden = len(expand)  # half of the encoder's own width in the first block, all of it elsewhere
        first, depthwise, project = (cast(nn.Conv2d, conv[i]).weight for i in (0, 3, 6))
        first[:hidden], depthwise[:hidden] = expand, kernels[f"block{k}.depthwise.weight"]
        project[:, :hidden] = kernels[f"block{k}.project.weight"]
        project[:, hidden:] *= 0.1


def _fit_norms(model: LiteMatting, teacher: Teacher, inputs: Tensor) -> None:
    """Fit scale and shift of each norm in turn by least squares, given the norms before it.

    inputs: (N, 8, S, S), as `_inputs` returns them.
    """
    wanted = teacher.stem(_image(inputs))
    x = _fit(model.get_submodule("layer0"), inputs, wanted)
    wanted = teacher.convolve(wanted, "block0.depthwise")
    x = _fit(model.get_submodule("layer1"), x, wanted)
    wanted = teacher.convolve(wanted.clamp(0, 6), "block0.project")
    for k, conv in _blocks(model):
        expanded, deep, projected = teacher.block(wanted, k)
        y = _fit(conv[:3], functional.pad(x, (1, 1, 1, 1)), expanded)
        y = _fit(conv[6:], _fit(conv[3:6], y, deep), projected)
        x, wanted = (x + y, wanted + projected) if projected.shape == wanted.shape else (y, projected)


def _fit(layers: nn.Module, x: Tensor, wanted: Tensor) -> Tensor:
    """Fit the norm of (convolution, norm, activation) to `wanted`, and return their output for x, (N, C, H, W).

    wanted: (N, c, h, w), of the first c channels and without the border that the convolution's output has beyond it.
    """
    convolution, norm, *activation = cast(nn.Sequential, layers)
    group = cast(nn.GroupNorm, norm)
    raw = convolution(x)
    channels, border = wanted.shape[1], (raw.shape[3] - wanted.shape[3]) // 2
    normed = functional.group_norm(raw, group.num_groups, eps=group.eps)[:, :channels]
    normed = normed[..., border : raw.shape[2] - border, border : raw.shape[3] - border]
    axes = (0, 2, 3)
    mean, target = normed.mean(axes), wanted.mean(axes)
    together = ((normed - mean[:, None, None]) * (wanted - target[:, None, None])).mean(axes)
    scale = together / (normed.var(axes, correction=0) + 1e-6)
    group.weight[:channels], group.bias[:channels] = scale, target - scale * mean
    y = group(raw)
    for step in activation:
        y = step(y)
    return cast(Tensor, y)


def _blocks(model: LiteMatting) -> Iterator[tuple[int, nn.Sequential]]:
    """Return the encoder's mobile blocks with the numbers of MobileNetV2's."""
    stages = (model.get_submodule(f"layer{i}") for i in range(2, 7))
    blocks = (cast(nn.Sequential, block.get_submodule("conv")) for stage in stages for block in stage.children())
    return zip(range(1, BLOCKS), blocks, strict=True)
