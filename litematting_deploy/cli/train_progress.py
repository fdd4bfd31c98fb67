"""How far a training run is, on the terminal: one bar there, a line a minute elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..training.progress import TrainProgress
from .command import notice, stderr
from .log import LOG

LINE_EVERY_S = 60
_UNITS = {"training": "steps", "encoder": "min"}


class TrainBar:
    """Shows what a training run reports, while this lasts."""

    def __init__(self, console: Console = stderr) -> None:
        self._what = ""
        self._since_s, self._since = 0.0, 0.0
        self._has_bar = console.is_terminal and LOG.shows_bars
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[count]}")
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=not self._has_bar)
        self._task = self._bar.add_task("", visible=False, count="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, progress: TrainProgress) -> None:
        """Show a report."""
        if progress.note is not None:
            notice(progress.note, "warning" if progress.warning else "info")
            return
        now_s, count = time.monotonic(), _count(progress)
        if progress.what != self._what:
            self._what, self._since_s, self._since = progress.what, now_s, progress.done
            self._bar.reset(self._task, description=progress.what, total=progress.total, visible=True, count=count)
        elif not self._has_bar and (now_s - self._since_s >= LINE_EVERY_S or progress.done >= progress.total):
            self._say(progress, (progress.done - self._since) / max(now_s - self._since_s, 1e-9))
            self._since_s, self._since = now_s, progress.done
        self._bar.update(self._task, completed=progress.done, total=progress.total, count=count)

    def _say(self, progress: TrainProgress, rate: float) -> None:
        """Print a line for a report. rate: how much has been done a second since the last one."""
        done, total, error = progress.done, progress.total, progress.error
        if progress.what == "training":
            left_min = (total - done) / rate / 60 if rate else 0
            words = f"step {done:.0f} of {total:.0f}, loss {error:.3f}, {rate:.2f} steps/s, {left_min:.0f} min left"
        elif progress.what == "encoder":
            words = f"encoder: {done:.1f} of {total:g} min, relative error {error:.3f}"
        else:
            words = f"{progress.what}: {done:.0f} of {total:.0f}"
        notice(words, what=progress.what, done=done, total=total, error=error)


def _count(progress: TrainProgress) -> str:
    """Return how much is done, in the unit of the activity, and its error."""
    of = (
        f"{progress.done:.1f} of {progress.total:g}"
        if progress.what == "encoder"
        else f"{progress.done}/{progress.total}"
    )
    error = "" if progress.error is None else f", loss {progress.error:.3f}"
    return f"{of} {_UNITS.get(progress.what, '')}{error}"
