"""What a run is going to do, said before it begins: steps, time, memory, and the alphas that it draws."""

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ..errors import UsageError
from ..model import LiteMatting
from ..system import held_memory_bytes, keep_freed_memory
from .data import Source
from .drawing import SHARD
from .module import MattingModule
from .precision import AUTOCAST
from .recipe import Precision, Recipe
from .scenes import Scenes
from .sources import libraries
from .spec import Session

_MIB, _GIB = 2**20, 2**30
_TRIAL_PX = 128
_WORKSPACE = 1.2  # measured at 256²: what convolutions and gradients on their way take beside what is held


class Need(NamedTuple):
    """What a step of a stage takes: seconds, and bytes of RAM, or of the GPU's memory, beside the weights."""

    step_s: float
    held_bytes: float


def plan(recipe: Recipe, sources: Sequence[Source], session: Session) -> list[str]:
    """Return what a run is going to do, in lines: how much is trained, how long, in how much memory, and what is drawn.

    Raises `UsageError` where it needs more memory than it may take.
    """
    spec, needed = session.spec, needs(recipe, session.precision, session.device, session.fused)
    megapixels = sum(stage.steps * stage.batch * stage.crop**2 for stage in recipe.stages) * spec.devices / 1e6
    training_s = sum(stage.steps * need.step_s for stage, need in zip(recipe.stages, needed, strict=True))
    # Parameters, their gradients, two moments and the average.
    weights = 5 * 4 * sum(value.numel() for value in LiteMatting().parameters())
    held = held_memory_bytes() or 0
    peak_gib = (held + weights + max(need.held_bytes for need in needed)) / _GIB
    if spec.memory_gib is not None and peak_gib > spec.memory_gib:
        raise UsageError(
            f"`memory_gib` is {spec.memory_gib:g}, but this run needs about {peak_gib:.1f} GiB; give more, or set a "
            "smaller crop or batch in the recipe"
        )
    count = f"{megapixels:.0f}" if megapixels >= 10 else f"{megapixels:.2g}"
    where = "" if session.device.type == "cpu" else " on the GPU and in main memory together"
    return [
        f"plan: {recipe.steps} steps, {recipe.samples * spec.devices} samples, {count} megapixels; "
        f"{recipe.validation_scenes} validation scenes every {recipe.validate_every} steps, at the start and at the "
        "end",
        f"plan: training takes roughly {_duration(training_s)} and {peak_gib:.1f} GiB of memory{where} per process; "
        f"weights are averaged over about the last {1 / (1 - recipe.ema_decay):.0f} steps (ema_decay "
        f"{recipe.ema_decay:.4g})",
        *_drawing_plan(sources, spec.workers),
    ]


def _drawing_plan(sources: Sequence[Source], workers: int) -> list[str]:
    """Return which alphas are drawn, how long that takes and how large they are.

    Draws two layers of each library that is not complete, to see how long that takes. Few layers tell the time of many
    only roughly: families differ by a factor of ten.
    """
    lines = []
    for library, name in libraries(sources):
        layers, stream = len(library.missing()) * SHARD, library.stream
        if layers:
            begun = time.perf_counter()
            for number in range(2):
                stream.draw(number)
            each_s = (time.perf_counter() - begun) / 2 / min(workers, os.cpu_count() or 1)
            lines.append(
                f"plan: draws {layers} {name} of {stream.size}² in {library.folder}: "
                f"{layers * stream.planes * stream.size**2 / _MIB:.0f} MiB on disk, roughly "
                f"{_duration(each_s * layers)}"
            )
    return lines


def _duration(seconds: float) -> str:
    """Return a time in the unit that people would say it in."""
    for name, unit_s in (("days", 86400), ("h", 3600)):
        if seconds >= 1.5 * unit_s:
            return f"{seconds / unit_s:.1f} {name}"
    return f"{seconds / 60:.1f} min"


def needs(recipe: Recipe, precision: Precision, device: torch.device, fused: bool = False) -> list[Need]:
    """Return roughly what a step of each stage takes, by a step on noise; composing the scenes is not counted.

    precision: as decided. fused: whether the kernels of `fused` are used. On the CPU the step is one of a small crop,
    since time and memory go by the pixels.
    """
    module = MattingModule(dataclasses.replace(recipe, compile=False), LiteMatting(), fused).to(device).train()
    if device.type == "cpu":
        keep_freed_memory()
    tried: dict[tuple[int, int, bool], Need] = {}
    needed = []
    for stage in recipe.stages:
        small = device.type == "cpu"
        crop, samples = (min(stage.crop, _TRIAL_PX), 1) if small else (stage.crop, stage.batch)
        for trained in stage.shares:
            if (crop, samples, trained) not in tried:
                module.train_guidance(trained)
                tried[crop, samples, trained] = _tried(module, noise(crop, samples, device), precision)
        kinds = [(share, tried[crop, samples, trained]) for trained, share in stage.shares.items()]
        times = stage.crop**2 * stage.batch / (crop**2 * samples)
        step_s = sum(share * kind.step_s for share, kind in kinds)
        needed.append(Need(times * step_s, times * max(kind.held_bytes for _, kind in kinds)))
    return needed


def _tried(module: MattingModule, scenes: Scenes, precision: Precision) -> Need:
    """Return what a step on scenes takes, without the optimiser's own."""
    device = scenes.image.device
    weights = {value.untyped_storage().data_ptr() for value in module.parameters()}
    held: dict[int, int] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return value

    def step() -> None:
        with torch.autocast(device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
            total = module.losses(scenes).total
        total.backward()  # type: ignore[no-untyped-call]

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        step()
    begun = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    module.zero_grad()
    return Need(time.perf_counter() - begun, _WORKSPACE * sum(held.values()))


def noise(crop: int, samples: int, device: torch.device) -> Scenes:
    """Return scenes of noise, all of them unknown."""
    image, foreground, background = (torch.rand(samples, 3, crop, crop, device=device) for _ in range(3))
    guide, alpha = (torch.rand(samples, planes, crop, crop, device=device) for planes in (2, 1))
    trimap = torch.zeros_like(image)
    trimap[:, 1] = 1
    return Scenes(image, trimap, guide, alpha, foreground, background)
