"""The network with its stages in two types: what an fp16 export may keep in float32, and which stages need it."""

import copy
from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from ..model import LiteMatting
from ..model.samples import Inputs
from .spec import STAGES
from .verify import alpha_of

EXACT = ("layer0",)
"""The stages that every fp16 export keeps in float32.

On a wall of one grey, the map of the first convolution is flat except for the borders and the trimap. Its norm divides
what remains, including the rounding error, by as little as the root of 0.00001. Half precision elsewhere costs little
on such scenes, and this stage has 0.06 % of the weights and 0.6 % of the arithmetic. benchmarks/NOTES.md has the
measurements.
"""
_SIDE = 256
"""Pixels of the part of a patch on which stages are tried: the network runs some forty times."""
_SHOWN = 3


def converted(
    model: LiteMatting, stages: Collection[str], inside: torch.dtype, outside: torch.dtype = torch.float16
) -> LiteMatting:
    """Return a copy of a model in the type `outside`, whose `stages` compute in the type `inside`.

    Their maps are converted where they enter a stage, and where they leave it for another.
    """
    made = copy.deepcopy(model).to(outside)

    originals = dict(model.named_children())
    for name, stage in made.named_children():
        if name in stages:
            stage.to(inside)
            stage.load_state_dict(originals[name].state_dict())  # weights that have lost nothing
            stage.register_forward_pre_hook(lambda _, inputs: tuple(each.to(inside) for each in inputs))
            if name != STAGES[-1]:  # what leaves the last stage is alpha, which stays as exact as it is
                stage.register_forward_hook(lambda _, __, output: output.to(outside))
    return made


def advice(model: LiteMatting, inputs: Inputs, limit: float) -> str:
    """Return which stages lose most in fp16 on a sample, and which to keep in float32 so that alpha is within a limit.

    model: in float32.
    inputs: image (N, 3, H, W), trimap (N, 3, H, W) and guide (N, 2, H, W), of which a part is tried.
    """
    part = _part(model, inputs)
    wanted = alpha_of(model, part, torch.float32)
    names = [name for name in STAGES if name in dict(model.named_children()) and name not in EXACT]
    alone = {
        name: _off(converted(model, [name], torch.float16, torch.float32), torch.float32, part, wanted)
        for name in names
    }
    worst = sorted(alone, key=lambda name: -alone[name])
    most = ", ".join(f"{name} (up to {alone[name]:.2g} alone)" for name in worst[:_SHOWN])
    for count in range(1, len(worst)):
        if _off(converted(model, [*EXACT, *worst[:count]], torch.float32), torch.float16, part, wanted) <= limit:
            kept = ",".join(sorted(worst[:count], key=STAGES.index))
            return f"in fp16, these layers lose most: {most}; keep them in float32: `float32={kept}`"
    return (
        f"in fp16, these layers lose most: {most}, and keeping layers in float32 does not bring the difference "
        "below the limit"
    )


def _off(model: LiteMatting, kind: torch.dtype, inputs: Inputs, wanted: Any) -> float:
    """Return the largest difference of a model's alpha from what is wanted; infinity where it is not finite.

    kind: in which it takes its inputs.
    """
    off = float(np.abs(alpha_of(model, inputs, kind) - wanted).max())
    return off if np.isfinite(off) else float("inf")


def _part(model: LiteMatting, inputs: Inputs) -> dict[str, Any]:
    """Return the part of one patch around the pixel whose alpha is farthest off in fp16."""
    wanted = alpha_of(model, inputs, torch.float32)
    found = alpha_of(converted(model, EXACT, torch.float32), inputs, torch.float16)
    error = np.nan_to_num(np.abs(found - wanted)[:, 0], nan=np.inf)
    index, y, x = np.unravel_index(int(error.argmax()), error.shape)
    height, width = error.shape[1:]
    top, left = (_start(int(place), side) for place, side in ((y, height), (x, width)))
    return {
        name: np.ascontiguousarray(each[index : index + 1, :, top : top + _SIDE, left : left + _SIDE])
        for name, each in inputs.items()
    }


def _start(place: int, side: int) -> int:
    """Return where a part begins that has a place in its middle, as far as the patch goes, at a multiple of 32."""
    return min(max(0, place - _SIDE // 2), max(0, side - _SIDE)) // 32 * 32
