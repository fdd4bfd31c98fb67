"""Tests that run in a process which has loaded the stand-in: `@on_standin` sends a test there and shows how it went."""

import functools
import gc
import importlib
import inspect
import json
import os
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.cuda.standin import control

ROOT = Path(__file__).parents[4]
_PATIENCE_S = 300


class Worker:
    """A process with the stand-in as its driver; a new one where the last one died."""

    def __init__(self, driver: Path, kernels: list[Path], cache: Path) -> None:
        """driver: the folder of `libcuda.so.1`. kernels: libraries. cache: the user's cache folder there."""
        self._environment = {**os.environ, "STANDIN_KERNELS": ":".join(map(str, kernels)), "OMP_NUM_THREADS": "1"}
        self._environment["XDG_CACHE_HOME"] = str(cache)
        for name, own in (("LD_LIBRARY_PATH", driver), ("PYTHONPATH", ROOT)):
            self._environment[name] = os.pathsep.join(filter(None, (str(own), os.environ.get(name))))
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, module: str, name: str, arguments: dict[str, Any], early: bool) -> None:
        """Run a test there. Fails as it fails there, and where the process dies."""
        if self._process is None:
            command = [sys.executable, "-m", __name__]
            self._process = subprocess.Popen(
                command, env=self._environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(_PATIENCE_S, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps((module, name, arguments, early)).encode() + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        finally:
            timer.cancel()
        if not answer:
            self.close()
            pytest.fail(f"the process with the stand-in ended: {process.returncode}", pytrace=False)
        failure = json.loads(answer)
        if failure is not None:
            pytest.fail(failure, pytrace=False)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with self._process:  # which closes the pipes and waits
                pass
            self._process = None


def on_standin(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in the worker, once with work that runs late and once with work that runs early."""

    @functools.wraps(test)
    def sent(standin: Worker, early: bool, **arguments: Any) -> None:
        standin.run(test.__module__, test.__qualname__, arguments, early)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    added = [inspect.Parameter(name, kind) for name in ("standin", "early")]
    sent.__signature__ = inspect.Signature([*added, *inspect.signature(test).parameters.values()])  # type: ignore[attr-defined]
    both: Callable[..., None] = pytest.mark.parametrize("early", [False, True], ids=["late", "early"])(sent)
    return both


def _main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what tests print is no answer
    warnings.simplefilter("error")
    for line in sys.stdin.buffer:
        module, name, arguments, early = json.loads(line)
        control.reset(early)
        failure = None
        try:
            getattr(importlib.import_module(module), name).__wrapped__(**arguments)
        except BaseException:  # noqa: BLE001  # shown by the other process
            refused = [line for line in control.log() if line.startswith("!")]
            failure = "\n".join([traceback.format_exc(), *refused])
        gc.collect()
        answers.write(json.dumps(failure).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _main()
