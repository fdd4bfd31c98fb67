"""Runs the checks, each in a process of its own with a limit of time: what crashes or hangs there is one row here."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..benchmarks.process import answer
from .registry import CHECKS, Check

RUNS, NOT_HERE, BROKEN = "runs", "not here", "broken"
_AT_ONCE = 4
_PACKAGE = __package__


@dataclass(frozen=True)
class Outcome:
    """What came of a check. state: `runs`; `not here`, where something optional is missing; or `broken`, where what is
    there fails. detail: one line. seconds: that its process took."""

    name: str
    group: str
    needed: bool
    state: str
    version: str
    detail: str
    seconds: float

    @property
    def harmful(self) -> bool:
        """The default path does not work."""
        return self.needed and self.state != RUNS


def examine(checks: Sequence[Check] = CHECKS, done: Callable[[str], None] = lambda _: None) -> list[Outcome]:
    """The outcome of every check, in order. done: called with the name of each check at its end, from any thread."""

    def one(check: Check) -> Outcome:
        outcome = _outcome(check)
        done(check.name)
        return outcome

    workers = ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1))
    try:
        return list(workers.map(one, checks))
    finally:
        workers.shutdown(cancel_futures=True)


def _outcome(check: Check) -> Outcome:
    started = time.perf_counter()
    said, reason = answer(_PACKAGE, [check.function], check.timeout_s)
    said = said or {"state": BROKEN, "version": "", "detail": reason}
    seconds = round(time.perf_counter() - started, 2)
    detail = " ".join(said["detail"].split())
    return Outcome(check.name, check.group, check.needed, said["state"], said["version"], detail, seconds)
