"""How far a folder is: one bar on a terminal, plain lines elsewhere."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..jobs.run import Done
from .command import notice, stderr

_LOOK_BACK_S = 3600
"""Frames of one shot take about as long as each other: what remains is told from this much of the past."""


class FolderProgress:
    """failures: why each frame failed that did."""

    def __init__(self, console: Console, bar: Progress) -> None:
        self.failures: list[str] = []
        self._console = console
        self._bar = bar
        self._over = self._matted = 0
        self._total = 0
        self._task = bar.add_task("frames", visible=False, patches="")

    def begin(self, description: str, total: int) -> Callable[[], None]:
        """A stretch of so many frames; call what is returned after each of them, from any thread."""
        self._bar.reset(self._task, description=description, total=total, visible=True)
        self._total = total
        return lambda: self._bar.advance(self._task)

    def patches(self, done: int, total: int) -> None:
        """Of the frame that is being matted."""
        self._bar.update(self._task, patches=f"patch {done}/{total}")
        self._show(done / max(total, 1))

    def matted(self) -> None:
        """A frame has its alpha, which is still to be written."""
        self._matted += 1
        self._show(0)

    def over(self, done: Done) -> None:
        """A frame is written, or has failed."""
        self._over += 1
        if done.failure is not None:
            self.failures.append(f"{_in_one_line(done.frame.name)}: {done.failure}")
            self._show(0)
        if done.failure is not None or not self._console.is_interactive:
            failed = "" if done.failure is None else " failed"
            self._console.print(f"{self._over}/{self._total} {_in_one_line(done.frame.name)}{failed}", markup=False)

    def _show(self, part: float) -> None:
        self._bar.update(self._task, completed=min(self._matted + len(self.failures) + part, self._total))


def _in_one_line(name: str) -> str:
    return name.replace("\n", "\\n")


@contextlib.contextmanager
def folder_progress(command: str, missing: str | None = None) -> Iterator[FolderProgress]:
    """Shown while this lasts; at the end, however it comes, what is missing and the frames that failed are listed,
    under the command's name."""
    bar = _bar(stderr)
    progress = FolderProgress(stderr, bar)
    try:
        with bar:
            yield progress
    finally:
        for failure in filter(None, (missing, *progress.failures)):
            notice(f"{command}: failed: {failure}")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[patches]}"),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=_LOOK_BACK_S,
        transient=True,
        disable=not console.is_interactive,
    )
