"""What a run shows while it goes on, and how it is stopped: previews, progress of drawing and training, SIGTERM."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..files import replace_file
from ..system import return_freed_memory
from .checkpoints import Checkpoints, TerminatedError
from .preview import encode, sheet
from .scenes import Scenes

LINE_EVERY_S = 60


class Previews(Callback):
    """A picture of the first held-out scenes at each validation, as a file and in TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_batch_end(
        self, trainer: pl.Trainer, _: pl.LightningModule, outputs: Any, batch: Scenes, batch_idx: int, *__: Any
    ) -> None:
        """Write the first batch of a validation, with its predictions (N, 1, H, W), as `step-NNNNNNN.jpg`."""
        if batch_idx or not trainer.is_global_zero or trainer.sanity_checking:
            return
        picture = sheet(batch, outputs)
        self.folder.mkdir(exist_ok=True)
        replace_file(self.folder / f"step-{trainer.global_step:07d}.jpg", encode(picture))
        for logger in trainer.loggers:
            logger.experiment.add_image("validation", picture, trainer.global_step, dataformats="HWC")  # type: ignore[attr-defined]


class Bars(Progress):
    """A bar for everything that goes on, on a terminal. unit: what is counted, if that is to be said."""

    def __init__(self, console: Console, *unit: str) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *map(TextColumn, unit)
        shown = console.is_terminal and not console.quiet
        super().__init__(*columns, TimeRemainingColumn(), console=console, disable=not shown)
        self._named: dict[str, TaskID] = {}

    def show(self, name: str, count: int, done: int) -> None:
        """Show that `done` of `count` are there."""
        if name not in self._named:
            self._named[name] = self.add_task(name, total=count)
        self.update(self._named[name], completed=done)


class Progression(Callback):
    """A bar with losses and time left on a terminal; a line a minute elsewhere."""

    def __init__(self, console: Console, steps: int) -> None:
        self.console, self.steps = console, steps
        self.bar = Bars(console, "steps")
        self.before: float | None = None

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin to count from the step that the run goes on from."""
        self.task = self.bar.add_task("training", total=self.steps, completed=trainer.global_step)
        self.since_s, self.since_step = time.monotonic(), trainer.global_step
        self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Show steps and loss, once a second on a terminal and once a minute elsewhere."""
        now_s, step = time.monotonic(), trainer.global_step
        if now_s - self.since_s < (1 if self.console.is_terminal else LINE_EVERY_S) and step < self.steps:
            return
        loss = float(trainer.callback_metrics["train/total"])
        self.bar.update(self.task, completed=step, description=f"loss {loss:.3f}")
        if not self.console.is_terminal:
            rate = (step - self.since_step) / (now_s - self.since_s)
            left_min = (self.steps - step) / rate / 60
            self.console.print(
                f"step {step} of {self.steps}, loss {loss:.3f}, {rate:.2f} steps/s, {left_min:.0f} min left"
            )
        self.since_s, self.since_step = now_s, step

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Print the errors on held-out scenes; those before the first step are kept for the end."""
        error, mse = (float(trainer.callback_metrics[f"validation/{name}"]) for name in ("error", "mse"))
        if trainer.sanity_checking:
            self.before = error
        self.console.print(f"step {trainer.global_step}: held-out scenes: error {error:.4f}, MSE {mse:.5f}")
        # Holes between blocks pile up over hours, see `keep_freed_memory`.
        return_freed_memory()

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Print what became of the held-out error, where it was measured before the first step."""
        if self.before is not None:
            after = float(trainer.callback_metrics["validation/error"])
            step = trainer.global_step
            self.console.print(f"held-out error: {self.before:.4f} before, {after:.4f} after {step} steps")

    def teardown(self, *_: Any, **__: Any) -> None:
        """Take the bar away, however the run ends."""
        self.bar.stop()


class Stop(Callback):
    """Stops the run after so many minutes of this process, if any; on SIGTERM raises `TerminatedError` after a step.

    On SIGTERM nothing is validated any more, so that a stop takes one step and one checkpoint; in the midst of a
    validation the checkpoint from before it is whole already.
    """

    def __init__(self, checkpoints: Checkpoints, steps: int, minutes: float | None) -> None:
        self.checkpoints, self.steps, self.minutes = checkpoints, steps, minutes
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
        over = trainer.strategy.reduce_boolean_decision(time.monotonic() > self.end_s, all=False)
        # The last step counts as a stop, too: Lightning then validates after it, whatever validate_every is.
        trainer.should_stop = trainer.should_stop or over or trainer.global_step >= self.steps

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop in the midst of a validation if SIGTERM came."""
        if not trainer.sanity_checking and self._is_asked(trainer):
            raise TerminatedError(trainer.global_step)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def _is_asked(self, trainer: pl.Trainer) -> bool:
        """Return whether SIGTERM has reached any process of the run."""
        return bool(trainer.strategy.reduce_boolean_decision(self.asked, all=False))
