"""Run a function in a Python process of its own, with a time limit: a crash or a hang there is one error here.

Benchmarks measure each engine like this, and `ltm-doctor` makes each of its checks, so that no library can take another
one down, and each starts with its own memory and threads.
"""

import importlib
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from .errors import LiteMattingError
from .system import crash_of


class ProcessError(LiteMattingError):
    """A process that crashed, took too long, or ended without an answer."""


def call(function: str, *arguments: Any, timeout_s: float) -> Any:
    """Return what a function returns that runs in a process of its own.

    The process imports nothing from the current folder, and warnings are off. What it prints is kept back.

    function: its absolute name, as "litematting_deploy.doctor.registry:attempt".
    arguments: what it is called with. They and what it returns can be pickled.
    timeout_s: seconds from the start of the process until it is killed.
    Raises: the `LiteMattingError` that the function raises, without its cause; `ProcessError` for everything else that
    ends the process, with the last line of its standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer")
        command = [sys.executable, "-P", "-m", __name__, function, str(answer)]
        request = pickle.dumps(arguments)
        try:
            ended = subprocess.run(command, input=request, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"did not finish within {timeout_s:g} s") from None
        if ended.returncode == 0 and answer.exists():
            result, error = pickle.loads(answer.read_bytes())  # noqa: S301, of our own process
            if error is not None:
                raise error
            return result
    if crash := crash_of(ended.returncode):
        raise ProcessError(f"its process was terminated {crash}")
    words = ended.stderr.decode(errors="replace").strip().splitlines()
    raise ProcessError(words[-1] if words else f"its process exited with code {ended.returncode}")


def _answer(function: str, answer: Path) -> None:
    """Call the function with the arguments on the standard input, and write what came of it to a file."""
    arguments = pickle.loads(sys.stdin.buffer.read())  # noqa: S301, of our own process
    module, _, name = function.partition(":")
    result = error = None
    try:
        result = getattr(importlib.import_module(module), name)(*arguments)
    except LiteMattingError as raised:
        error = raised
    answer.write_bytes(pickle.dumps((result, error)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _answer(sys.argv[1], Path(sys.argv[2]))
