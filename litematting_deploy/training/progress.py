"""How far a training run is, as one callback is told it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..parameters import Callback


@dataclass(frozen=True)
class TrainProgress:
    """The progress of a training run at one moment.

    what: the present activity: "training" (counted in steps), "encoder" (in minutes), or "drawing ..." (in alphas).
    done: how much of it is done.
    total: of how much.
    error: the loss of the last step, or the encoder's error relative to the variance of its teacher.
    note: what people should know, in one line; such a report has no activity.
    warning: whether the note warns.
    """

    what: str = ""
    done: float = 0
    total: float = 0
    error: float | None = None
    note: str | None = None
    warning: bool = False


Report: TypeAlias = Callable[[TrainProgress], None]


class Reporter:
    """Tells a caller's function what goes on; None is told nothing. Raises `UsageError` for what is no function."""

    def __init__(self, report: Report | None) -> None:
        self._report = Callback("progress", report)

    def at(self, what: str, done: float, total: float, error: float | None = None) -> None:
        """Report how much of an activity is done."""
        self._report(TrainProgress(what, done, total, error))

    def note(self, text: str, *, warning: bool = False) -> None:
        """Report what people should know."""
        self._report(TrainProgress(note=text, warning=warning))
