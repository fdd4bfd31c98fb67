"""Runs the checks, each in a process of its own with a limit of time: what crashes or hangs there is one row here."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
    # -P: nothing in the current folder is taken for a library
    command = [sys.executable, "-P", "-m", _PACKAGE, check.function]
    started = time.perf_counter()
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=check.timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        said = {"state": BROKEN, "version": "", "detail": f"did not finish within {check.timeout_s:g} s"}
    else:
        said = _said(ended)
    seconds = round(time.perf_counter() - started, 2)
    detail = " ".join(said["detail"].split())
    return Outcome(check.name, check.group, check.needed, said["state"], said["version"], detail, seconds)


def _said(ended: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """The last line of a process as JSON, or how it ended."""
    last = (ended.stdout.splitlines() or [""])[-1]
    if ended.returncode == 0 and last.startswith("{"):
        said: dict[str, str] = json.loads(last)
        return said
    reason = (ended.stderr.strip().splitlines() or [""])[-1]
    if ended.returncode < 0:
        reason = f"its process was ended by signal {-ended.returncode}: {signal.strsignal(-ended.returncode)}"
    return {"state": BROKEN, "version": "", "detail": reason or f"its process ended with code {ended.returncode}"}
