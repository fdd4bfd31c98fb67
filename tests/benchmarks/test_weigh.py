"""benchmarks/held_out/weigh.py: from the errors of judged weights to a recipe's sampling weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from litematting_deploy.training.families import FAMILIES, GROOMED
from litematting_deploy.training.recipe import read_recipe
from tests.conftest import ROOT

NAMES = (*FAMILIES, GROOMED)


def weigh(path: Path, families: dict[str, float]) -> "subprocess.CompletedProcess[str]":
    path.write_text(json.dumps({"families": {name: {"sad": sad, "grad": 1.0} for name, sad in families.items()}}))
    command: list[str | Path] = [sys.executable, ROOT / "benchmarks" / "held_out" / "weigh.py", path]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})


def test_a_family_comes_by_its_share_of_the_error_between_floor_and_cap(tmp_path: Path) -> None:
    errors = dict.fromkeys(NAMES, 4.0) | {"bush": 14.0, "net": 1.0, "fence": 5.0, "cutouts": 50.0}
    done = weigh(tmp_path / "held_out.json", errors)
    assert done.returncode == 0, done.stderr
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(done.stdout)
    weights = read_recipe(recipe).procedural.weights
    assert weights.keys() == set(NAMES)
    total = 20 * 4 + 14 + 1 + 5  # 100
    assert (weights["bush"], weights["net"]) == (0.09, 0.02)
    assert weights["fence"] == pytest.approx(5 / total)
    assert weights["fur"] == pytest.approx(4 / total)


def test_figures_of_other_families_are_refused(tmp_path: Path) -> None:
    done = weigh(tmp_path / "held_out.json", dict.fromkeys(NAMES[1:], 4.0) | {"ferns": 1.0})
    assert done.returncode == 1
    assert f"families: ferns, {NAMES[0]} differ from ltm-train's" in done.stderr
    done = weigh(tmp_path / "held_out.json", dict.fromkeys(NAMES, 0.0))
    assert done.returncode == 1
    assert "expected numbers above 0" in done.stderr
