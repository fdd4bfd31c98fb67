"""What a folder of results is made with."""

import errno
import json
import os
from pathlib import Path

import pytest

from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.jobs.resume import SETTINGS, keep_settings

ONE, OTHER = {"depth": "8", "step": None}, {"depth": "16", "step": None}


def test_the_time_is_that_of_the_last_change(tmp_path: Path) -> None:
    keep_settings(tmp_path, ONE, resume=True)
    os.utime(tmp_path / SETTINGS, ns=(5, 5))
    assert keep_settings(tmp_path, ONE, resume=False) == keep_settings(tmp_path, ONE, resume=True) == 5
    assert keep_settings(tmp_path, OTHER, resume=False) > 5
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == OTHER


def test_resuming_with_others_is_refused(tmp_path: Path) -> None:
    keep_settings(tmp_path, ONE, resume=False)
    with pytest.raises(UsageError, match=r"was begun with another depth: `depth=8`, now `depth=16`"):
        keep_settings(tmp_path, OTHER, resume=True)


def test_of_two_runs_that_begin_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has noted its settings between the look and the writing."""
    link = os.link

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        keep_settings(tmp_path, OTHER, resume=True)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(UsageError, match=r"was begun with another depth: `depth=16`, now `depth=8`"):
        keep_settings(tmp_path, ONE, resume=True)
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == OTHER
    assert [path.name for path in tmp_path.iterdir()] == [SETTINGS]


@pytest.mark.parametrize("reason", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_systems_without_links(reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", refuse)
    keep_settings(tmp_path, ONE, resume=True)
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == ONE
    with pytest.raises(UsageError, match="was begun with another depth"):
        keep_settings(tmp_path, OTHER, resume=True)


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", "[" * 50_000])
def test_what_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / SETTINGS).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=rf"{SETTINGS}: not a note of settings.*; delete it"):
        keep_settings(tmp_path, ONE, resume=True)
    keep_settings(tmp_path, ONE, resume=False)
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == ONE
