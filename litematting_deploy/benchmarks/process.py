"""Work in a process of its own, with a limit of time: what crashes or hangs there is an answer here."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def answer(module: str, arguments: Sequence[str], timeout_s: float) -> tuple[dict[str, Any] | None, str]:
    """What `python -m module arguments` prints as its last line, as JSON; None and the reason where it does not."""
    command = [
        sys.executable,
        "-P",
        "-m",
        module,
        *arguments,
    ]  # -P: nothing in the current folder is taken for a library
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"did not finish within {timeout_s:g} s"
    last = (ended.stdout.splitlines() or [""])[-1]
    if ended.returncode == 0 and last.startswith("{"):
        said: dict[str, Any] = json.loads(last)
        return said, ""
    if ended.returncode < 0:
        return None, f"its process was ended by signal {-ended.returncode}: {signal.strsignal(-ended.returncode)}"
    words = (ended.stderr.strip().splitlines() or [""])[-1]
    return None, words or f"its process ended with code {ended.returncode}"
