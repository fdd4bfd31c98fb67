"""Ray nodes on this machine; each can be killed as a machine fails: all of it at once."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

PATIENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_health_check_timeout_ms": "120000",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_worker_register_timeout_seconds": "600",
}
"""What Ray shall wait for on a machine that has other work, too. A head takes tokens where one was made at any time
on its machine, and the test's commands have none."""
TRIES = 5
"""A node gives up where its agents take more than 15 s to start, or all of it more than 30 s: no variable changes that,
and a machine that is busy for a moment is not busy for ever."""
_START_S = 240
_STORE_BYTES = 80 * 2**20  # Ray takes no less than 75 MiB


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


class Node:
    """A node that begins to start when it is made."""

    def __init__(self, folder: Path, cores: int, address: str | None = None) -> None:
        """folder: of Ray's own files, the same for all. address: of the head that it joins; None for a head."""
        self._given = folder, cores, address
        self._begin()

    def _begin(self) -> None:
        folder, cores, address = self._given
        port = _free_port()
        self.address = address or f"127.0.0.1:{port}"
        self._said = Path(tempfile.mkstemp(".txt", dir=folder)[1])
        command = [str(Path(sys.executable).parent / "ray"), "start", "--block"]
        command += [f"--num-cpus={cores}", "--num-gpus=0", f"--object-store-memory={_STORE_BYTES}"]
        command += [f"--address={address}"] if address else ["--head", f"--port={port}", "--include-dashboard=false"]
        environment = {**os.environ, **PATIENT, "RAY_TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
        with self._said.open("w") as said:
            self._process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)

    def wait(self) -> "Node":
        """Wait until the node is up; begin anew where Ray, on a busy machine, did not."""
        for _ in range(TRIES):
            deadline = time.monotonic() + _START_S
            while time.monotonic() < deadline and self._process.poll() is None:
                if "Ray runtime started." in self._said.read_text():
                    return self
                time.sleep(0.1)
            self.kill()
            self._begin()
        pytest.fail(f"no Ray node starts here: {self._said.read_text()[-2000:]}")

    def holds(self, pid: int) -> bool:
        """Return whether a process that lives is one of this node."""
        return any(parent.pid == self._process.pid for parent in psutil.Process(pid).parents())

    def kill(self) -> None:
        """End all of its processes without a word."""
        tree: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            tree = [root, *root.children(recursive=True)]
        for one in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()


class Nodes:
    """The nodes of a cluster: a head, and those that are added."""

    def __init__(self, folder: Path, cores: int) -> None:
        self._folder = folder
        self.all = [Node(folder, cores)]
        self.address = self.all[0].wait().address

    def add(self, cores: int) -> Node:
        """Begin to start one more node, which joins the others."""
        self.all.append(Node(self._folder, cores, self.address))
        return self.all[-1]

    def of(self, pid: int) -> Node:
        """Return the node that a process belongs to."""
        return next(node for node in self.all if node.holds(pid))


@contextlib.contextmanager
def cluster(cores: int) -> Iterator[Nodes]:
    """Start a cluster of one node, and end all its nodes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # names of sockets have at most 107 characters
    nodes = None
    try:
        nodes = Nodes(folder, cores)
        yield nodes
    finally:
        for node in nodes.all if nodes else ():
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)
