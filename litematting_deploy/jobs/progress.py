"""How far a job is, as one callback is told it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class JobProgress:
    """A job at one moment.

    what: what is being done, as "frames" or "patches". done: how much of that, with the part of a frame that is being
    matted. total: of how much; None where nobody knows. eta_s: seconds that are left, by the pace until now.
    patches: how many of the present frame's are done, and of how many. ended: the name of the frame that has just been
    written or has failed. failure: why it failed. note: what people should know. detail: the note is for those who
    asked for details.
    """

    what: str
    done: float
    total: int | None
    eta_s: float | None = None
    patches: tuple[int, int] | None = None
    ended: str | None = None
    failure: str | None = None
    note: str | None = None
    detail: bool = False


Report: TypeAlias = Callable[[JobProgress], None]


class ProgressMeter:
    """Counts what a job does, and reports it.

    failures: the reasons of the frames that failed, by name, in the order of their ends.
    """

    def __init__(self, report: Report | None) -> None:
        self.failures: dict[str, str] = {}
        self._report = report or (lambda _: None)
        self._what = ""
        self._done = 0
        self._total: int | None = None
        self._began_s = time.monotonic()

    def begin(self, what: str, total: int | None) -> None:
        """Begin a stretch of so many steps."""
        self._what, self._total, self._done, self._began_s = what, total, 0, time.monotonic()
        self._tell()

    def at(self, done: int, total: int) -> None:
        """Report how many steps of the stretch are done."""
        self._done, self._total = done, total
        self._tell()

    def step(self) -> None:
        """Report that one more step is done; may be called from any thread."""
        self._done += 1
        self._tell()

    def patches(self, done: int, total: int) -> None:
        """Report the patches of the frame that is being matted."""
        self._tell(patches=(done, total), part=done / max(total, 1))

    def end(self, name: str, failure: str | None = None) -> None:
        """Report that a frame is written or, with a reason, has failed; the failure counts as a step."""
        if failure is not None:
            self.failures[name] = failure
            self._done += 1
        self._tell(ended=name, failure=failure)

    def note(self, text: str, *, detail: bool = False) -> None:
        """Report what people should know."""
        self._tell(note=text, detail=detail)

    def _tell(self, part: float = 0.0, **event: object) -> None:
        done = self._done + part
        if self._total is not None:
            done = min(done, self._total)
        left = None
        if self._total and done:
            left = (time.monotonic() - self._began_s) * (self._total - done) / done
        self._report(JobProgress(self._what, done, self._total, left, **event))  # type: ignore[arg-type]  # its own fields
