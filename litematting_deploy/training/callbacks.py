"""What a run shows while it goes on, and how it is stopped: previews, progress, SIGTERM."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from ..files import make_folder, replace_file
from ..system import held_memory_bytes, return_freed_memory
from .checkpoints import Checkpoints, MemoryStopError, TerminatedError
from .preview import encode, sheet
from .progress import Reporter
from .scenes import Scenes
from .spec import TrainSpec

REPORT_EVERY_S = 1


class Previews(Callback):
    """A picture of the first validation scenes at each validation, as a file and in TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_batch_end(
        self, trainer: pl.Trainer, _: pl.LightningModule, outputs: Any, batch: Scenes, batch_idx: int, *__: Any
    ) -> None:
        """Write the first batch of a validation, with its predictions (N, 1, H, W), as `step-NNNNNNN.jpg`."""
        if batch_idx or not trainer.is_global_zero or trainer.sanity_checking:
            return
        picture = sheet(batch, outputs)
        make_folder(self.folder)
        replace_file(self.folder / f"step-{trainer.global_step:07d}.jpg", encode(picture))
        for logger in trainer.loggers:
            logger.experiment.add_image("validation", picture, trainer.global_step, dataformats="HWC")  # type: ignore[attr-defined]


class Progression(Callback):
    """Reports steps and losses, at most once a second, and the errors of validations."""

    def __init__(self, report: Reporter, steps: int) -> None:
        self.report, self.steps = report, steps
        self.since_s = 0.0
        self.before: float | None = None

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin to count from the step that the run goes on from."""
        self.since_s = time.monotonic()
        self.report.at("training", trainer.global_step, self.steps)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Report the step and its loss."""
        now_s, step = time.monotonic(), trainer.global_step
        # A GPU is waited for whenever its loss is read.
        if now_s - self.since_s >= REPORT_EVERY_S or step >= self.steps:
            self.since_s = now_s
            self.report.at("training", step, self.steps, float(trainer.callback_metrics["train/total"]))

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Report the errors on validation scenes; those before the first step are kept for the end."""
        error, mse = (float(trainer.callback_metrics[f"validation/{name}"]) for name in ("error", "mse"))
        if trainer.sanity_checking:
            self.before = error
        self.report.note(f"step {trainer.global_step}: validation error {error:.4f}, MSE {mse:.5f}")
        # Holes between blocks pile up over hours, see `keep_freed_memory`.
        return_freed_memory()

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Report what became of the validation error, where it was measured before the first step."""
        if self.before is not None:
            after = float(trainer.callback_metrics["validation/error"])
            self.report.note(
                f"validation error: {self.before:.4f} before, {after:.4f} after {trainer.global_step} steps"
            )


class Stop(Callback):
    """Stops the run after so many minutes of this process, if any, and where it holds more memory than it may; on
    SIGTERM raises `TerminatedError` after a step.

    On SIGTERM nothing is validated any more, so that a stop takes one step and one checkpoint; in the midst of a
    validation the checkpoint from before it is whole already.
    """

    def __init__(self, checkpoints: Checkpoints, steps: int, spec: TrainSpec) -> None:
        self.checkpoints, self.steps, self.minutes = checkpoints, steps, spec.minutes
        self.most_gib = spec.memory_gib
        self.end_s, self.asked = float("inf"), False

    def on_train_start(self, *_: Any) -> None:
        """Start the clock and, in the main thread, listen for SIGTERM."""
        if self.minutes is not None:
            self.end_s = time.monotonic() + self.minutes * 60
        if threading.current_thread() is threading.main_thread():
            # Lightning's handler stands by now, and it restores at the end what was there before it.
            signal.signal(signal.SIGTERM, self._ask)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop after this step if SIGTERM came, if the time is over, or if it was the last one."""
        if self._is_asked(trainer):
            self.checkpoints.save(trainer)
            raise TerminatedError(trainer.global_step)
        self._check_memory(trainer)
        over = trainer.strategy.reduce_boolean_decision(time.monotonic() > self.end_s, all=False)
        # The last step counts as a stop, too: Lightning then validates after it, whatever validate_every is.
        trainer.should_stop = trainer.should_stop or over or trainer.global_step >= self.steps

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop in the midst of a validation if SIGTERM came."""
        if not trainer.sanity_checking and self._is_asked(trainer):
            raise TerminatedError(trainer.global_step)

    def _check_memory(self, trainer: pl.Trainer) -> None:
        """Save, and raise `MemoryStopError`, where a process of the run holds more memory than it may."""
        # What steps free is kept for the next one, so that their peaks are in it.
        if self.most_gib is None or not self._is_over(trainer):
            return
        return_freed_memory()
        if self._is_over(trainer):
            self.checkpoints.save(trainer)
            raise MemoryStopError(trainer.global_step, self.most_gib)

    def _is_over(self, trainer: pl.Trainer) -> bool:
        """Return whether any process of the run holds more memory than it may."""
        over = (held_memory_bytes() or 0) > (self.most_gib or 0) * 2**30
        return bool(trainer.strategy.reduce_boolean_decision(over, all=False))

    def _ask(self, *_: object) -> None:
        self.asked = True

    def _is_asked(self, trainer: pl.Trainer) -> bool:
        """Return whether SIGTERM has reached any process of the run."""
        return bool(trainer.strategy.reduce_boolean_decision(self.asked, all=False))
