"""Names that stand for something else than a file of the size it should have."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from litematting_deploy._files import read_small
from litematting_deploy.errors import LiteMattingError
from tests.hardening.readers import READERS

SMALL = [
    *("export-recipe", "build-profile", "training-recipe", "onnx-sidecar", "engine-sidecar", "settings"),
    *("training-run", "results", "segment"),
]
OTHERS = ["photo-png", "photo-exr", "trimap", "onnx", "checkpoint-pth", "checkpoint-safetensors"]


class _WaitedError(Exception):
    pass


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise _WaitedError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", [*SMALL, *OTHERS])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / READERS[name].file
    os.mkfifo(path)
    with pytest.raises(LiteMattingError, match=path.name):
        READERS[name].read(path)


@pytest.mark.parametrize("name", SMALL)
def test_what_is_too_long_is_not_read_to_its_end(name: str, tmp_path: Path) -> None:
    path = tmp_path / READERS[name].file
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(LiteMattingError, match=path.name):
        READERS[name].read(path)


def test_small_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_small(path, 5) == b"12345"
    with pytest.raises(ValueError, match="over 4 bytes"):
        read_small(path, 4)
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="not a regular file"):
        read_small(tmp_path / "zero")
    with pytest.raises(FileNotFoundError):
        read_small(tmp_path / "b")
