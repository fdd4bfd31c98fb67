"""The processes that draw end with the one that started them, however that ends, and when they are closed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from litematting_deploy.errors import OutputError
from litematting_deploy.training import library as library_module
from litematting_deploy.training.drawers import Drawers
from litematting_deploy.training.drawing import SHARD, Stream
from litematting_deploy.training.library import Library
from tests.training.slow_drawing import fails_first

POOL = """
import os, time
from litematting_deploy.training.drawers import Drawers

if __name__ == "__main__":
    drawers = Drawers(1)
    print(drawers.submit(os.getpid).result(), flush=True)
    drawers.submit(time.sleep, 600).result()
"""


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)  # it is there
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{worker}"):
        assert time.monotonic() < deadline, "the worker outlived its parent by a minute"
        time.sleep(0.05)


def test_an_error_ends_the_drawing_of_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a signal does, which raises in the same place."""
    monkeypatch.setattr(library_module, "draw_shard", fails_first)
    begun = time.monotonic()
    with pytest.raises(OutputError, match="no space"):
        Library(tmp_path, Stream(1, 64), 4 * SHARD).ensure(2, lambda _: None)
    assert time.monotonic() - begun < 1800, "the others take an hour"


def test_processes_end_in_the_midst_of_drawing() -> None:
    drawers = Drawers(1)
    pid = drawers.submit(os.getpid).result()
    left = [drawers.submit(time.sleep, 3600) for _ in range(4)]
    begun = time.monotonic()
    drawers.end()
    assert time.monotonic() - begun < 1800
    assert not os.path.exists(f"/proc/{pid}")
    assert all(future.done() for future in left)
