"""How a run stops before its end: when its minutes are over, or in good order on SIGTERM."""

import signal
import threading
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from .checkpoints import Checkpoints


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
