"""What a run can go on from, and its weights: averaged, saved whole or not at all, also where it is stopped."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from .. import __version__
from ..errors import TrainingError
from ..files import replace_file, replacing
from .recipe import Recipe
from .rundir import CHECKPOINT, START, WEIGHTS
from .totals import Totals


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are replaced whole or not at all; Lightning's own copies across file systems."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        with replacing(path) as draft:
            torch.save(checkpoint, draft)


class Average(WeightAveraging):
    """Exponential moving average of the weights, used for validation and in `state_dict` of checkpoints."""

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take the averages that a checkpoint holds. Raises `RuntimeError` before there is a model to average."""
        if self._average_model is None:
            raise RuntimeError("Average.restore comes after setup")
        weights = {f"module.{name}": value for name, value in checkpoint["state_dict"].items()}
        self._average_model.load_state_dict(weights | checkpoint["averaging_state"])

    def on_train_end(self, *_: Any) -> None:
        """Leave the current weights as they are: the last checkpoint is written after this."""


class Checkpoints(Callback):
    """`last.ckpt`, whole, to go on from, and `weights.safetensors`, small, to go on or to export elsewhere.

    The first is written before the first step, so that a run has its beginning. Comes after `Average`, whose weights
    the small one takes, and after `Totals`.
    """

    def __init__(self, run: Path, recipe: Recipe, totals: Totals) -> None:
        self.run, self.recipe, self.totals = run, recipe, totals

    def save(self, trainer: pl.Trainer) -> None:
        """Save all that the run goes on from, then what it has computed. Comes from every process of the run."""
        self.totals.take(trainer)
        trainer.save_checkpoint(self.run / CHECKPOINT)
        if trainer.is_global_zero:
            self.totals.write()

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 0:
            self.save(trainer)
            if trainer.is_global_zero:
                (self.run / START).unlink(missing_ok=True)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        # Before a validation, too, which may take longer than somebody who stops the run waits.
        if any(
            trainer.global_step % every == 0 for every in (self.recipe.checkpoint_every, self.recipe.validate_every)
        ):
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.save(trainer)

    def on_save_checkpoint(self, trainer: pl.Trainer, _: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        state = {name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()}
        if not all(bool(value.isfinite().all()) for value in state.values()):
            raise TrainingError(
                f"{self.run}: diverged before step {trainer.global_step}: the weights are no longer finite; "
                f"{CHECKPOINT} is from before; begin again with `init={self.run / WEIGHTS}` and a lower learning_rate"
            )
        if trainer.is_global_zero:
            replace_file(self.run / WEIGHTS, small_checkpoint(state, trainer.global_step, self.recipe))


def small_checkpoint(state: dict[str, Tensor], step: int, recipe: Recipe) -> bytes:
    """Return a safetensors file of the weights in fp16, with step, recipe (JSON) and version in its metadata."""
    half = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in state.items()}
    about = {"step": str(step), "recipe": json.dumps(recipe.to_dict()), "litematting_deploy": __version__}
    return save(half, about)


class TerminatedError(Exception):
    """SIGTERM came, and the checkpoint of the step that this holds is whole."""

    def __init__(self, step: int) -> None:
        super().__init__(f"terminated after step {step}")
        self.step = step


class Stop(Callback):
    """Stops the run after so many minutes of this process, if any; on SIGTERM raises `TerminatedError` after a step.

    On SIGTERM nothing is validated any more, so that a stop takes one step and one checkpoint; in the midst of a
    validation the checkpoint from before it is whole already.
    """

    def __init__(self, checkpoints: Checkpoints, steps: int, minutes: float | None) -> None:
        self.checkpoints, self.steps, self.minutes = checkpoints, steps, minutes
        self.end_s, self.asked = float("inf"), False

    def on_train_start(self, *_: Any) -> None:
        if self.minutes is not None:
            self.end_s = time.monotonic() + self.minutes * 60
        if threading.current_thread() is threading.main_thread():
            # Lightning's handler stands by now, and it restores at the end what was there before it.
            signal.signal(signal.SIGTERM, self._ask)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self._is_asked(trainer):
            self.checkpoints.save(trainer)
            raise TerminatedError(trainer.global_step)
        over = trainer.strategy.reduce_boolean_decision(time.monotonic() > self.end_s, all=False)
        # The last step counts as a stop, too: Lightning then validates after it, whatever validate_every is.
        trainer.should_stop = trainer.should_stop or over or trainer.global_step >= self.steps

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not trainer.sanity_checking and self._is_asked(trainer):
            raise TerminatedError(trainer.global_step)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def _is_asked(self, trainer: pl.Trainer) -> bool:
        return bool(trainer.strategy.reduce_boolean_decision(self.asked, all=False))
