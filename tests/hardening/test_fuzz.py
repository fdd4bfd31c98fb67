"""Damaged files by the thousand: every reader ends in a result or one line, soon, and touches nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hardening.readers import READERS

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "crashes"
EXAMPLES = os.environ.get("LTM_FUZZ_EXAMPLES", "150")
SECONDS = os.environ.get("LTM_FUZZ_SECONDS", "10")

_NOT_OURS = {"__pycache__"}

pytestmark = pytest.mark.heavy


def _listed(*folders: Path) -> dict[Path, tuple[int, int]]:
    files = [path for folder in folders for path in folder.rglob("*") if not _NOT_OURS & set(path.parts)]
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("name", list(READERS))
@pytest.mark.parametrize(("engine", "budget"), [("hypothesis", EXAMPLES), ("atheris", SECONDS)])
def test_damage_is_taken_well(name: str, engine: str, budget: str, tmp_path: Path) -> None:
    if engine == "atheris":
        pytest.importorskip("atheris", reason="pip install -e '.[harden]'; make check-all does")
    else:
        pytest.importorskip("hypothesis", reason="pip install -e '.[harden]'; make check-all does")
    folder, home, cwd = tmp_path / "in", tmp_path / "home", tmp_path / "cwd"
    for made in (folder, home, cwd):
        made.mkdir()
        (made / "mine.txt").write_text("mine")
    before = _listed(home, cwd)
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment |= {"TMPDIR": str(folder), "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)}
    command = [sys.executable, "-m", "tests.hardening.fuzz", name, engine, budget, str(folder)]
    with (tmp_path / "said").open("wb") as said:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdout=said,
            stderr=said,
            timeout=240,
            check=False,
        )
    if done.returncode:
        shutil.copytree(folder, KEPT / f"{name}-{engine}", dirs_exist_ok=True)
    last = (tmp_path / "said").read_text(errors="replace")[-3000:]
    assert done.returncode == 0, f"{name}: ended with {done.returncode}; the file lies in {KEPT}\n{last}"
    assert _listed(home, cwd) == before
