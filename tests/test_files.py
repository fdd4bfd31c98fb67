"""Names that stand for something else than a file of the size it should have."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from litematting_deploy.errors import LiteMattingError
from litematting_deploy.files import read_small, remove_old_drafts, replacing
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


def test_a_file_is_the_old_one_until_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with replacing(target) as draft:
        draft.write_bytes(b"new")
        assert target.read_bytes() == b"old"
        assert draft != target
        assert draft.parent == tmp_path
    assert target.read_bytes() == b"new"

    def broken() -> None:
        with replacing(target) as draft:
            draft.write_bytes(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_old_drafts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    drafts = [tmp_path / f".ltm-{sign * 32}.png" for sign in "ab"]
    others = [tmp_path / name for name in (".ltm-infer.json", ".ltm-mine.png", "a.png")]
    for path in (*drafts, *others):
        path.touch()
        os.utime(path, (1, 1))
    os.utime(drafts[1])
    remove_old_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([drafts[1], *others])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with a file of five bytes, and a link to what never ends."""
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "zero").symlink_to("/dev/zero")
    return tmp_path


def test_a_small_file_is_read_to_its_end(small: Path) -> None:
    assert read_small(small / "a", 5) == b"12345"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("a", ValueError, "larger than 4 bytes"),
        ("zero", ValueError, "not a regular file"),
        ("b", FileNotFoundError, "No such file"),
    ],
    ids=["too long", "a device", "nothing"],
)
def test_what_is_no_small_file_is_refused(small: Path, name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_small(small / name, 4)
