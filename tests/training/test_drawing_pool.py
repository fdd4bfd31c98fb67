"""The processes that draw end with the one that started them, however that ends."""

import os
import signal
import subprocess
import sys
import time

POOL = """
import os, time
from litematting_deploy.training.drawing import drawing_pool

if __name__ == "__main__":
    pool = drawing_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600).result()
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
