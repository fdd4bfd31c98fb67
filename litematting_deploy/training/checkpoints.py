"""What a run can go on from: its weights, averaged, and what it has computed in all; saved whole or not at all."""

import io
import json
from datetime import UTC, datetime
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
from ..files import replace_file, write_json
from ..system import cpu_seconds, instruction_set
from .recipe import Recipe, recipe_sha256
from .rundir import CHECKPOINT, START, WEIGHTS
from .scenes import Scenes

TOTALS = "totals.json"


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are replaced whole or not at all; Lightning's own copies across file systems."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        """Write a checkpoint beside its place, and put it there once it is whole.

        checkpoint: what Lightning keeps. path: its place. Raises `OutputError`.
        """
        # PyTorch tells of a full disk by a RuntimeError about its own source code; a file of ours says what it is.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        replace_file(path, content.getvalue())


class Average(WeightAveraging):
    """Exponential moving average of the weights, used for validation and in `state_dict` of checkpoints.

    decay: of the average per step, 0 to below 1.
    """

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


class Totals(Callback):
    """Counts what a run computes, over all its processes and the run that it continues.

    Steps that a killed run repeats count once, their CPU seconds not at all: what is counted lies in the checkpoint.
    `continued` is the part that another run had computed when this one began to continue it.
    """

    def __init__(self, run: Path, recipe: Recipe) -> None:
        self.run, self.recipe = run, recipe
        self.counted = {"steps": 0, "crops": 0, "megapixels": 0.0}
        self.utc_begun = _now()
        self.cpu_before_s = self.cpu_s = 0.0
        self.continued = self._figures()

    def follow(self, state: dict[str, Any] | None) -> None:
        """Begin with the totals of another run's checkpoint; None where it is from before there were totals."""
        if state is not None:
            self.load_state_dict(state)
        self.continued = self._figures()

    def on_train_batch_end(self, trainer: pl.Trainer, _: pl.LightningModule, __: Any, batch: Scenes, *___: Any) -> None:
        """Count a batch, over all devices."""
        crops = len(batch.image) * trainer.world_size
        height, width = batch.image.shape[2:]
        self.counted["steps"] += 1
        self.counted["crops"] += crops
        self.counted["megapixels"] += crops * height * width / 1e6

    def take(self, trainer: pl.Trainer) -> None:
        """Read the clocks of all processes of the run. Comes before a checkpoint, in each of them."""
        own_s = torch.tensor(cpu_seconds(), device=trainer.strategy.root_device)
        self.cpu_s = self.cpu_before_s + float(trainer.strategy.reduce(own_s, reduce_op="sum"))

    def write(self) -> None:
        """Write `totals.json` into the run's folder. Comes after a checkpoint, so that it never tells of more."""
        about = {
            "utc_begun": self.utc_begun,
            "utc": _now(),
            **self._figures(),
            "continued": self.continued,
            "instruction_set": instruction_set(),
            "recipe_sha256": recipe_sha256(self.recipe),
        }
        write_json(self.run / TOTALS, about)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        counted, continued = dict(self.counted), dict(self.continued)
        return {"counted": counted, "continued": continued, "utc_begun": self.utc_begun, "cpu_s": self.cpu_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from what a checkpoint holds."""
        self.counted = dict(state_dict["counted"])
        self.utc_begun, self.cpu_before_s = state_dict["utc_begun"], state_dict["cpu_s"]
        self.cpu_s = self.cpu_before_s
        # Checkpoints from before this was counted have none.
        self.continued = dict(state_dict.get("continued", self.continued))

    def _figures(self) -> dict[str, float]:
        """Return what has been counted so far, rounded as `totals.json` has it."""
        megapixels = round(self.counted["megapixels"], 3)
        return self.counted | {"megapixels": megapixels, "cpu_seconds": round(self.cpu_s, 1)}


class Follow(Callback):
    """Begins a run with the weights, averages and optimiser of another one's checkpoint; its step and rate are its own.

    Comes before `Checkpoints`, so that the first checkpoint holds it. Acts as the validation before the first step
    begins, when the optimiser is there.
    """

    def __init__(self, followed: dict[str, Any], average: Average, totals: Totals) -> None:
        self.followed, self.average, self.totals = followed, average, totals

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Load weights, averages, optimiser and totals of the run that is followed."""
        saved = self.followed
        pl_module.load_state_dict(saved["current_model_state"])
        self.average.restore(saved)
        optimiser = trainer.optimizers[0]
        # The groups hold rate and betas, which are the new recipe's; the states hold RAdam's moments and its count of
        # steps. Parameters that were always frozen have none yet: RAdam makes it at their first gradient.
        state, groups = saved["optimizer_states"][0]["state"], optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.totals.follow(saved["callbacks"].get(Totals.__name__))


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
        """Save before the first step; `start.ckpt` is no longer needed then."""
        if trainer.global_step == 0:
            self.save(trainer)
            if trainer.is_global_zero:
                (self.run / START).unlink(missing_ok=True)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save every `checkpoint_every` steps and before each validation."""
        # Before a validation, too, which may take longer than somebody who stops the run waits.
        intervals = self.recipe.checkpoint_every, self.recipe.validate_every
        if any(trainer.global_step % interval == 0 for interval in intervals):
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save what the last step made."""
        self.save(trainer)

    def on_save_checkpoint(self, trainer: pl.Trainer, _: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write the averaged weights as `weights.safetensors`. Raises `TrainingError` unless they are finite."""
        state = {name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()}
        if not all(bool(value.isfinite().all()) for value in state.values()):
            raise TrainingError(
                f"{self.run}: diverged before step {trainer.global_step}: the weights contain NaN or infinity; "
                f"{CHECKPOINT} is from before that; start a new run with `init={self.run / WEIGHTS}` and a lower "
                "learning_rate"
            )
        if trainer.is_global_zero:
            replace_file(self.run / WEIGHTS, small_checkpoint(state, trainer.global_step, self.recipe))


class TerminatedError(Exception):
    """SIGTERM came, and the checkpoint of the step that this holds is whole."""

    def __init__(self, step: int) -> None:
        super().__init__(f"terminated after step {step}")
        self.step = step


class MemoryStopError(TerminatedError):
    """A process of the run holds more than `most_gib` of memory, and the checkpoint of the step is whole."""

    def __init__(self, step: int, most_gib: float) -> None:
        super().__init__(step)
        self.most_gib = most_gib

    def __str__(self) -> str:
        return f"stopped after step {self.step}, since a process holds more than {self.most_gib:g} GiB of memory"


def small_checkpoint(state: dict[str, Tensor], step: int, recipe: Recipe) -> bytes:
    """Return a safetensors file of the weights in fp16, with step, recipe (JSON) and version in its metadata.

    state: tensors by the published names, on any device.
    """
    half = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in state.items()}
    about = {"step": str(step), "recipe": json.dumps(recipe.to_dict()), "litematting_deploy": __version__}
    return save(half, about)


def _now() -> str:
    """Return the time in UTC, as 2026-11-29T12:00:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
