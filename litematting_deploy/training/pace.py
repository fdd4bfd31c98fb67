"""How fast a recipe trains on this machine, and fitting its steps into the time there is."""

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from .data import Batch, Source
from .module import MattingModule
from .precision import AUTOCAST
from .recipe import Precision, Recipe, Stage
from .scenes import Scenes, compose

# Validation, checkpoints and start-up also take time.
_SHARE = 0.93


class Pace(NamedTuple):
    """Seconds a batch of a stage takes: composing it, and a training step on it."""

    input_s: float
    network_s: float


def measure(module: MattingModule, source: Source, stage: Stage, precision: Precision, seconds: float = 5.0) -> Pace:
    """Median seconds a batch, of at least three after a warm-up of two. The module's weights are left as they were.

    precision: as decided, not "auto".
    source: prepared for the device that the module is on; only sources that need no loader can be measured.
    """
    device, recipe = next(module.parameters()).device, module.recipe
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimiser = torch.optim.RAdam(module.parameters(), lr=0.0)
    rng = np.random.default_rng(0)

    def batch() -> Scenes:
        return compose(source.cut(Batch(0, stage.crop, stage.batch, {}), rng), recipe.augment, rng)

    scenes = batch()
    module.freeze_guidance(stage)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
            losses = module.losses(scenes)
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    pace = Pace(_median_s(batch, seconds, device), _median_s(step, seconds, device))
    module.load_state_dict(before)
    module.zero_grad()
    return pace


def fit(recipe: Recipe, paces: list[Pace], minutes: float) -> Recipe:
    """The recipe with the steps of all stages scaled by one factor so that they take about `minutes`."""
    needed_s = sum(stage.steps * sum(pace) for stage, pace in zip(recipe.stages, paces, strict=True))
    factor = minutes * 60 * _SHARE / needed_s
    stages = tuple(dataclasses.replace(stage, steps=max(1, round(stage.steps * factor))) for stage in recipe.stages)
    return dataclasses.replace(recipe, stages=stages)


def _median_s(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    def timed() -> float:
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    for _ in range(2):
        timed()
    taken = [timed() for _ in range(3)]
    while sum(taken) < seconds:
        taken.append(timed())
    return float(np.median(taken))
