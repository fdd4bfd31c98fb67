"""How fast a run goes on this machine, and as many steps as there is time for."""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch

from ..files import write_json
from ..model import LiteMatting
from ..system import keep_freed_memory
from .data import Batch, Source
from .module import MattingModule
from .precision import AUTOCAST, median_s
from .recipe import Precision, Recipe, Stage
from .rundir import Begun, keep
from .scenes import Scenes, compose
from .spec import Session

# Validation, checkpoints and start-up also take time.
_SHARE = 0.93


class Pace(NamedTuple):
    """Seconds a batch of a stage takes: composing it, and a training step on it."""

    input_s: float
    network_s: float


def fitted(session: Session, begun: Begun, minutes: float, source: Source) -> Begun:
    """Scale the steps of a run so that it takes about `minutes`; return it, as its folder has it from then on.

    source: of its training samples, drawn alphas.

    Writes the measured pace to `pace.json` in the run's folder.
    """
    recipe, device = begun.recipe, session.device
    if device.type == "cpu":
        keep_freed_memory()
    source.prepare(device)
    module = MattingModule(recipe, LiteMatting(), session.fused).to(device).train()
    paces = [measure(module, source, stage, session.precision) for stage in recipe.stages]
    for stage, pace in zip(recipe.stages, paces, strict=True):
        session.report.note(
            f"{stage.crop}² in batches of {stage.batch}: {pace.input_s * 1e3:.0f} ms to compose, "
            f"{pace.network_s * 1e3:.0f} ms to train on; composing is {pace.network_s / pace.input_s:.1f} times as fast"
        )
    fitted = dataclasses.replace(begun, recipe=fit(recipe, paces, minutes), fit_minutes=None)
    stages = zip(fitted.recipe.stages, paces, strict=True)
    measured = [dataclasses.asdict(stage) | pace._asdict() for stage, pace in stages]
    about = {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "stages": measured}
    write_json(session.spec.run / "pace.json", about)
    keep(session.spec.run, fitted)
    return fitted


def measure(module: MattingModule, source: Source, stage: Stage, precision: Precision, seconds: float = 5.0) -> Pace:
    """Return the median seconds of a batch, of at least three after a warm-up of two.

    module: on the device that trains; its weights are left as they were.
    source: prepared for that device; only sources that need no loader can be measured.
    precision: as decided, not "auto". seconds: how long each part is measured at least.
    """
    device, recipe = next(module.parameters()).device, module.recipe
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimiser = torch.optim.RAdam(module.parameters(), lr=0.0)
    rng = np.random.default_rng(0)

    def batch() -> Scenes:
        return compose(source.cut(Batch(0, stage.crop, stage.batch, {}), rng), recipe.augment, rng)

    scenes = batch()

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
            losses = module.losses(scenes)
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    input_s, network_s = median_s(batch, seconds, device), 0.0
    for trained, share in stage.shares.items():
        module.train_guidance(trained)
        network_s += share * median_s(step, seconds, device)
    module.load_state_dict(before)
    module.zero_grad()
    return Pace(input_s, network_s)


def fit(recipe: Recipe, paces: list[Pace], minutes: float) -> Recipe:
    """Return the recipe with the steps of all stages scaled by one factor so that they take about `minutes`."""
    needed_s = sum(stage.steps * sum(pace) for stage, pace in zip(recipe.stages, paces, strict=True))
    factor = minutes * 60 * _SHARE / needed_s
    stages = tuple(dataclasses.replace(stage, steps=max(1, round(stage.steps * factor))) for stage in recipe.stages)
    return dataclasses.replace(recipe, stages=stages)
