"""What a fresh run begins with: the state of another run, given weights, or an ImageNet encoder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from safetensors.torch import save

from ..files import replace_file
from ..model import LiteMatting, load_checkpoint
from ..system import keep_freed_memory
from .checkpoints import Average
from .data import Source
from .encoder import agreement, carry_over, regress
from .mobilenet import Teacher
from .photos import Photos
from .rundir import ENCODED, Begun, is_follower
from .totals import Totals

_PHOTOS = 200
_LINE_EVERY_S = 60


class Follow(Callback):
    """Begins a run with the weights, averages and optimiser of another one's checkpoint; its step and rate are its own.

    Comes before `Checkpoints`, so that the first checkpoint holds it. Acts as the validation before the first step
    begins, when the optimiser is there.
    """

    def __init__(self, followed: dict[str, Any], average: Average, totals: Totals) -> None:
        self.followed, self.average, self.totals = followed, average, totals

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        saved = self.followed
        pl_module.load_state_dict(saved["current_model_state"])
        self.average.restore(saved)
        optimiser = trainer.optimizers[0]
        # The groups hold rate and betas, which are the new recipe's; the states hold RAdam's moments and its count of
        # steps. Parameters that were always frozen have none yet: RAdam makes it at their first gradient.
        state, groups = saved["optimizer_states"][0]["state"], optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.totals.follow(saved["callbacks"].get(Totals.__name__))


def with_encoder(
    run: Path,
    begun: Begun,
    model: LiteMatting | None,
    teacher: Teacher,
    source: Source,
    device: torch.device,
    console: Console,
) -> LiteMatting:
    """Return the model, fresh from the recipe's seed if None, with an encoder regressed to the teacher's features.

    Takes up to 200 of the source's photos. The result stays in the run's folder, so that neither a run killed before
    its first checkpoint nor the process of another device has to make it again.
    """
    file = run / ENCODED
    if not is_follower() and not file.is_file():
        torch.manual_seed(begun.recipe.seed)
        if device.type == "cpu":
            keep_freed_memory()
        rng = np.random.default_rng(begun.recipe.seed)
        chosen = rng.permutation(len(source.paths))[:_PHOTOS]
        photos = Photos([source.paths[i] for i in sorted(chosen)], device)
        model, teacher = (model or LiteMatting()).to(device).train(), teacher.to(device)
        carry_over(model, teacher, photos, rng)
        before = agreement(model, teacher, photos, rng)
        regress(model, teacher, photos, begun.encoder_minutes, rng, _line_a_minute(console, begun.encoder_minutes))
        for when, values in (("before", before), ("after", agreement(model, teacher, photos, rng))):
            said = " ".join(f"{value:.2f}" for value in values)
            console.print(f"encoder: correlation of layer1 to layer6 with MobileNetV2 {when} regression: {said}")
        replace_file(file, save({name: value.cpu().contiguous() for name, value in model.state_dict().items()}))
    return load_checkpoint(file)


def _line_a_minute(console: Console, minutes: float) -> Callable[[float, float], None]:
    """Return what prints a line a minute, and a last one: it takes the share of the time, 0..1, and the error."""
    since_s = time.monotonic()

    def report(share: float, error: float) -> None:
        nonlocal since_s
        if (now_s := time.monotonic()) - since_s >= _LINE_EVERY_S or share >= 1:
            since_s = now_s
            console.print(f"encoder: {share * minutes:.1f} of {minutes:g} min, relative error {error:.3f}")

    return report
