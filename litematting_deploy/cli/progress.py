"""How far a job is, on the terminal: one bar there, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..jobs.progress import WORDS, JobProgress
from .command import notice, printable, stderr
from .log import LOG

_LOOK_BACK_S = 3600
"""Frames of one shot take about as long as each other: what remains is told from this much of the past."""


@contextmanager
def phase_bar(what: str) -> Iterator[Callable[[float, str], None]]:
    """Show one bar on a terminal, gone at the end: `what`, the part done, times, and the phase.

    Yields what takes the part done, 0..1, and the name of the phase.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[phase]}", markup=False),
    )
    with Progress(
        *columns,
        console=stderr,
        speed_estimate_period=_LOOK_BACK_S,
        transient=True,
        disable=not (stderr.is_terminal and LOG.shows_bars),
    ) as bar:
        task = bar.add_task(printable(what), total=1.0, phase="")
        yield lambda done, phase: bar.update(task, completed=done, phase=phase)


class JobBar:
    """Shows what a job reports, while this lasts; at the end, however it comes, failures are listed.

    command: the name that notes begin with. details: notes for those who asked for details are shown, too. failures:
    in lines; more may be added.
    """

    def __init__(self, command: str, *, details: bool = False, console: Console = stderr) -> None:
        self.failures: list[str] = []
        self._command, self._details, self._console = command, details, console
        self._ended = 0
        self._what: str | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[patches]}"),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=_LOOK_BACK_S,
            transient=True,
            disable=not (console.is_interactive and LOG.shows_bars),
        )
        self._task = self._bar.add_task("", visible=False, patches="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()
        for failure in self.failures:
            notice(f"{self._command}: failed: {failure}", "error")

    def __call__(self, progress: JobProgress) -> None:
        """Show the job as it is now."""
        if progress.note is not None and not progress.detail:
            notice(f"{self._command}: {progress.note}")
        elif progress.note is not None and self._details:
            notice(progress.note)
        elif progress.ended is not None:
            self._end(progress)
        self._show(progress)

    def _end(self, progress: JobProgress) -> None:
        """Keep the failure of a frame that ended; print a line for it, or, where there is no bar, for every frame."""
        self._ended += 1
        # A name may hold line breaks, and each frame is one line.
        name = (progress.ended or "").replace("\n", "\\n")
        if progress.failure is not None:
            self.failures.append(f"{name}: {progress.failure}")
        if progress.failure is not None or not (self._console.is_interactive and LOG.shows_bars):
            failed = "" if progress.failure is None else " failed"
            said = {"frame": name, "done": self._ended, "total": progress.total}
            said |= {} if progress.failure is None else {"failure": progress.failure}
            words = f"{self._ended}/{progress.total} {name}{failed}"
            if (line := LOG.line(words, "info" if progress.failure is None else "error", **said)) is not None:
                self._console.print(line, markup=False)

    def _show(self, progress: JobProgress) -> None:
        """Move the bar, and begin another when the activity changes."""
        if progress.what != self._what:
            self._what = progress.what
            description = WORDS.get(progress.what, progress.what)
            self._bar.reset(self._task, description=description, total=progress.total, visible=bool(progress.what))
        patches = "" if progress.patches is None else "patch {}/{}".format(*progress.patches)
        if progress.what == "patches":
            patches = "patches"
        self._bar.update(self._task, completed=progress.done, total=progress.total, patches=patches)
