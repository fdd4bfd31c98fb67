"""Hints to install an extra work: they name the place that the package was installed from."""

import importlib.metadata
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from litematting_deploy import _optional
from litematting_deploy._optional import install


class Installed:
    """A distribution with what an installer has noted."""

    def __init__(self, origin: Any, installer: str = "pip") -> None:
        self._notes = {"direct_url.json": None if origin is None else json.dumps(origin), "INSTALLER": f"{installer}\n"}

    def read_text(self, name: str) -> str | None:
        return self._notes[name]


def hinted(monkeypatch: pytest.MonkeyPatch, origin: Any, installer: str = "pip") -> str:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(origin, installer))
    return install("cpu")


@pytest.mark.parametrize("editable", [True, False])
def test_from_a_folder(editable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "my ltm"
    place.mkdir()
    said = hinted(monkeypatch, {"url": place.as_uri(), "dir_info": {"editable": editable}})
    assert shlex.split(said) == ["pip", "install", *(["-e"] if editable else []), f"{place}[cpu]"]


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        (
            {"url": "https://git.example/a/ltm.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "litematting-deploy[cpu] @ git+https://git.example/a/ltm.git@abc",
        ),
        (
            {"url": "https://me:secret@git.example/ltm", "vcs_info": {"vcs": "git", "requested_revision": "v1"}},
            "litematting-deploy[cpu] @ git+https://git.example/ltm@v1",
        ),
        (
            {"url": "https://files.example/litematting_deploy-1-py3-none-any.whl", "archive_info": {}},
            "litematting-deploy[cpu] @ https://files.example/litematting_deploy-1-py3-none-any.whl",
        ),
    ],
    ids=["commit", "no passwords", "wheel"],
)
def test_from_a_url(origin: Any, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shlex.split(hinted(monkeypatch, origin)) == ["pip", "install", wanted]


def test_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    origin = {"url": "https://files.example/l.whl", "archive_info": {}}
    assert shlex.split(hinted(monkeypatch, origin, "uv"))[:3] == ["uv", "pip", "install"]


@pytest.mark.parametrize(
    "origin", [None, [], {}, {"url": 3}, {"url": "file:///gone/for/good", "dir_info": {}}], ids=str
)
def test_where_the_place_is_not_known_or_gone(origin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a checkout it is that folder, and otherwise the sentence says what is needed."""
    monkeypatch.setattr(_optional, "_ROOT", tmp_path)
    assert hinted(monkeypatch, origin) == "pip install '.[cpu]' in the folder of the litematting-deploy source"
    (tmp_path / "setup.cfg").touch()
    assert hinted(monkeypatch, origin) == f"pip install '{tmp_path}[cpu]'"


def test_a_package_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setattr(_optional, "_ROOT", tmp_path)
    assert install("cpu").startswith("pip install '.[cpu]'")
