"""Files, rooms and tests that pages for contributors name exist."""

import re
from itertools import chain
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_architecture import ALLOWED

PACKAGE = ROOT / "litematting_deploy"
ENDINGS = (".py", ".cu", ".sh", ".toml", ".md", "/")


def paths_in(page: str) -> set[str]:
    """Return the paths of files and folders that a page writes as code."""
    words = re.findall(r"`([\w./-]+)`", (ROOT / page).read_text(encoding="utf-8"))
    return {word for word in words if word.endswith(ENDINGS) and word != "./"}


def exists(path: str) -> bool:
    """Return whether a path is one of the package or, from the root, of the repository."""
    return any((base / path.removeprefix("./")).exists() for base in (ROOT, PACKAGE))


def test_paths_that_contributors_read_exist() -> None:
    named = paths_in("CONTRIBUTING.md")
    assert len(named) > 60
    assert [path for path in sorted(named) if not exists(path)] == []


def test_the_house_has_every_room_and_module() -> None:
    rows = re.findall(r"^\| `([\w.]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    wanted = {room if (PACKAGE / room).is_dir() else f"{room}.py" for room in (*ALLOWED, "cli", "assets")}
    assert wanted <= set(rows)


@pytest.mark.parametrize("page", ["SECURITY.md", "CONTRIBUTING.md"])
def test_tests_that_pages_name_exist(page: str) -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    functions = set(chain.from_iterable(re.findall(r"def (test_\w+)", file.read_text()) for file in files))
    named = re.findall(r"`(?:[\w./-]*?)(test_\w+(?:\.py)?(?:::test_\w+)?)`", (ROOT / page).read_text(encoding="utf-8"))
    assert named
    for name in named:
        file, _, function = name.rpartition("::") if "::" in name else ("", "", name)
        if name.endswith(".py"):
            file, function = name, ""
        assert not file or Path(file).name in {each.name for each in files}, name
        assert not function or function in functions, name
