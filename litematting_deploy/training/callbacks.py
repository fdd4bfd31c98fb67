"""What a run shows and leaves behind while it goes on: progress, previews, checkpoints."""

import json
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from .. import __version__
from .._files import replace_file, replacing
from ..errors import TrainingError
from .preview import encode, sheet
from .recipe import Recipe
from .rundir import CHECKPOINT, WEIGHTS
from .scenes import Scenes

_LINE_EVERY_S = 60


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are replaced whole or not at all; Lightning's own copies across file systems."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        with replacing(path) as draft:
            torch.save(checkpoint, draft)


class Average(WeightAveraging):
    """Exponential moving average of the weights, used for validation and in `state_dict` of checkpoints."""

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]

    def on_train_end(self, *_: Any) -> None:
        """Leave the current weights as they are: the last checkpoint is written after this."""


class Checkpoints(Callback):
    """`last.ckpt`, whole, to go on from, and `weights.safetensors`, small, to go on or to export elsewhere.

    The first is written before the first step, so that a run has its beginning. Comes after `Average`, whose weights
    the small one takes.
    """

    def __init__(self, run: Path, recipe: Recipe) -> None:
        self.run, self.recipe = run, recipe

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 0:
            trainer.save_checkpoint(self.run / CHECKPOINT)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step % self.recipe.checkpoint_every == 0:
            trainer.save_checkpoint(self.run / CHECKPOINT)

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.run / CHECKPOINT)

    def on_save_checkpoint(self, trainer: pl.Trainer, _: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        state = {name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()}
        if not all(bool(value.isfinite().all()) for value in state.values()):
            raise TrainingError(
                f"{self.run}: diverged before step {trainer.global_step}: the weights are no longer finite; "
                f"{CHECKPOINT} is from before. Begin again with --init {self.run / WEIGHTS} and a lower learning_rate."
            )
        if trainer.is_global_zero:
            replace_file(self.run / WEIGHTS, small_checkpoint(state, trainer.global_step, self.recipe))


def small_checkpoint(state: dict[str, Tensor], step: int, recipe: Recipe) -> bytes:
    """A safetensors file of the weights in fp16, with step, recipe (JSON) and version in its metadata."""
    half = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in state.items()}
    about = {"step": str(step), "recipe": json.dumps(recipe.to_dict()), "litematting_deploy": __version__}
    return save(half, about)


class Deadline(Callback):
    """Stops the run after so many minutes of this process, however long it has run before."""

    def __init__(self, minutes: float) -> None:
        self.minutes, self.end_s = minutes, float("inf")

    def on_train_start(self, *_: Any) -> None:
        self.end_s = time.monotonic() + self.minutes * 60

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        over = time.monotonic() > self.end_s
        trainer.should_stop = trainer.should_stop or trainer.strategy.reduce_boolean_decision(over, all=False)


class Previews(Callback):
    """A picture of the first held-out scenes at each validation, as a file and in TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_batch_end(
        self, trainer: pl.Trainer, _: pl.LightningModule, outputs: Any, batch: Scenes, batch_idx: int, *__: Any
    ) -> None:
        if batch_idx or not trainer.is_global_zero or trainer.sanity_checking:
            return
        picture = sheet(batch, outputs)
        self.folder.mkdir(exist_ok=True)
        replace_file(self.folder / f"step-{trainer.global_step:07d}.jpg", encode(picture))
        for logger in trainer.loggers:
            logger.experiment.add_image("validation", picture, trainer.global_step, dataformats="HWC")  # type: ignore[attr-defined]


class Progression(Callback):
    """A bar with losses and time left on a terminal; a line a minute elsewhere. The first device's alone."""

    def __init__(self, console: Console, steps: int, follower: bool) -> None:
        self.console, self.steps, self.follower = console, steps, follower
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=console,
            disable=follower or not console.is_terminal,
        )
        self.since = self.begun_at = 0.0
        self.begun_step = 0

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.task = self.bar.add_task("training", total=self.steps, completed=trainer.global_step)
        self.since = self.begun_at = time.monotonic()
        self.begun_step = trainer.global_step
        self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        now = time.monotonic()
        if now - self.since < (1 if self.console.is_terminal else _LINE_EVERY_S) and trainer.global_step < self.steps:
            return
        self.since = now
        loss = float(trainer.callback_metrics["train/total"])
        self.bar.update(self.task, completed=trainer.global_step, description=f"loss {loss:.3f}")
        if not self.console.is_terminal and not self.follower:
            rate = (trainer.global_step - self.begun_step) / (now - self.begun_at)
            left_min = (self.steps - trainer.global_step) / rate / 60
            self.console.print(
                f"step {trainer.global_step} of {self.steps}, loss {loss:.3f}, {rate:.2f} steps/s, "
                f"{left_min:.0f} min left"
            )

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not self.follower and not trainer.sanity_checking:
            error, mse = (float(trainer.callback_metrics[f"validation/{name}"]) for name in ("error", "mse"))
            self.console.print(f"step {trainer.global_step}: held-out scenes: error {error:.4f}, MSE {mse:.5f}")

    def teardown(self, *_: Any, **__: Any) -> None:
        self.bar.stop()
