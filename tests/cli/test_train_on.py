"""ltm-train going on from another run, stopping on SIGTERM, counting what it computes, and short runs."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from litematting_deploy.model import LiteMatting
from litematting_deploy.training.module import MattingModule
from litematting_deploy.training.recipe import Optimiser, Recipe, Stage
from tests.cli.runs import RECIPE, STEPS, arguments, invoke, trained_steps
from tests.conftest import ROOT, run, stand_in
from tests.training.test_recipes import script

NEW = """
precision = "32-true"
seed = 5
validation_scenes = 1
[[stages]]
steps = 100
crop = 64
batch = 1
[optimiser]
learning_rate = 0.0
betas = [0.6, 0.99]
[procedural]
count = 4
size = 128
refresh = false
"""


@pytest.mark.slow
def test_a_run_continues_another_with_a_new_recipe(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text(NEW)
    output = tmp_path / "run"
    before = torch.load(finished / "last.ckpt", weights_only=True)
    result = run(
        "ltm-train", tmp_path / "new.toml", "--continue", finished, "-o", output, "--device", "cpu",
        "--minutes", "0.0001",
    )  # fmt: skip
    assert result.code == 0, result.err
    after = torch.load(output / "last.ckpt", weights_only=True)
    assert after["global_step"] == 1
    for name, value in before["current_model_state"].items():
        torch.testing.assert_close(after["current_model_state"][name], value, rtol=0, atol=0)
        # 100 steps average over a tenth of them: 1 - 10 / 100.
        averaged = 0.9 * before["state_dict"][name] + 0.1 * value
        torch.testing.assert_close(after["state_dict"][name], averaged)
    old, new = before["optimizer_states"][0], after["optimizer_states"][0]
    assert {float(state["step"]) for state in new["state"].values()} == {STEPS + 1}
    assert (new["param_groups"][0]["lr"], list(new["param_groups"][0]["betas"])) == (0.0, [0.6, 0.99])
    moved = [
        name for name, state in new["state"].items() if torch.equal(state["exp_avg"], old["state"][name]["exp_avg"])
    ]
    assert not moved, "the moments go on"
    begun, first = (json.loads((folder / "run.json").read_text()) for folder in (output, finished))
    assert begun["photos"] == first["photos"]
    assert begun["libraries"] == first["libraries"]
    totals = json.loads((output / "totals.json").read_text())
    former = json.loads((finished / "totals.json").read_text())
    assert (totals["steps"], totals["crops"]) == (STEPS + 1, former["crops"] + 1)
    assert totals["cpu_seconds"] > former["cpu_seconds"]
    assert totals["utc_begun"] == former["utc_begun"]
    assert totals["continued"] == {name: former[name] for name in ("steps", "crops", "megapixels", "cpu_seconds")}
    ledger = tmp_path / "ledger.csv"
    ledger.write_text((ROOT / "recipes" / "ledger.csv").read_text().splitlines()[0] + "\n")
    line = script("ledger.py", output, "--ledger", ledger)
    assert line.returncode == 0, line.stderr
    assert ", steps 1, crops 1, megapixels 0.0, " in line.stdout, "the other run's steps belong into its own lines"
    assert not (output / "start.ckpt").exists()


def test_a_run_that_cannot_be_continued_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases: list[tuple[list[str | Path], str]] = [
        (["--continue", tmp_path], "contains no run"),
        (["--continue", finished, "--init", "w.safetensors"], "leave --init out"),
        (["--continue", finished, "--encoder", "e.npz"], "leave --encoder out"),
    ]
    for words, part in cases:
        code, line = invoke(capsys, *words, "-o", tmp_path / "run")
        assert (code, part in line) == (2, True), line
        assert not (tmp_path / "run").exists()


def test_totals_say_what_was_computed(finished: Path) -> None:
    totals = json.loads((finished / "totals.json").read_text())
    assert list(totals) == [
        *("utc_begun", "utc", "steps", "crops", "megapixels", "cpu_seconds"),
        *("continued", "instruction_set", "recipe_sha256"),
    ]
    assert totals["continued"] == {"steps": 0, "crops": 0, "megapixels": 0, "cpu_seconds": 0}
    assert (totals["steps"], totals["crops"]) == (STEPS, 8 * 2 + 4 * 1)
    assert totals["megapixels"] == pytest.approx((16 * 64**2 + 4 * 96**2) / 1e6, abs=6e-4)
    assert 1 < totals["cpu_seconds"] < 600
    recipe = json.loads((finished / "run.json").read_text())["recipe"]
    assert recipe["procedural"].pop("seed") is None  # choices that are not made leave the digest as it was
    for stage in recipe["stages"]:
        assert stage.pop("guidance_every") == 1
        stage["freeze_guidance"] = False  # what it was when the first digests were written
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()
    assert totals["recipe_sha256"] == hashlib.sha256(canonical).hexdigest()[:12]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.heavy)])
def test_sigterm_stops_a_run_with_a_whole_checkpoint(material: Path, tmp_path: Path, devices: int) -> None:
    recipe, output = tmp_path / "long.toml", tmp_path / "run"
    recipe.write_text(RECIPE.replace(f"steps = {STEPS - 4}", "steps = 5000").replace("every = ", "every = 100"))
    command = [Path(sys.executable).parent / "ltm-train", recipe, *arguments(material, output)]
    several = ("--devices", str(devices))
    process = subprocess.Popen([*command, *several], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while trained_steps(output) < 0:
        assert time.monotonic() < deadline, "no checkpoint within two minutes"
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 143, said
    step = trained_steps(output)
    again = " --devices 2" if devices == 2 else ""
    told = f"terminated after step {step}; continue with: ltm-train --resume -o {output}{again}\n"
    assert said.count(told) == 1, said
    assert step > 0
    assert json.loads((output / "totals.json").read_text())["steps"] == step
    result = run("ltm-train", "--resume", "-o", output, "--device", "cpu", "--minutes", "0.0001", *several)
    assert result.code == 0, result.err
    totals = json.loads((output / "totals.json").read_text())
    assert totals["steps"] == trained_steps(output) == step + 1
    assert totals["crops"] == 2 * totals["steps"] * devices


@pytest.mark.heavy
def test_thirty_steps_change_the_weights_that_are_exported(material: Path, tmp_path: Path) -> None:
    start = stand_in("")
    save_file(start, tmp_path / "begin.safetensors")
    recipe = tmp_path / "short.toml"
    recipe.write_text(NEW.replace("steps = 100", "steps = 30").replace("learning_rate = 0.0", "learning_rate = 5e-5"))
    result = run(
        "ltm-train", recipe, *arguments(material, tmp_path / "run"), "--init", tmp_path / "begin.safetensors"
    )  # fmt: skip
    assert result.code == 0, result.err
    exported = load_file(tmp_path / "run" / "weights.safetensors")
    same = [name for name, value in start.items() if np.array_equal(exported[name], value.astype(np.float16))]
    kernels = [name for name in start if name.endswith("weight")]
    assert len(set(same).intersection(kernels)) < 0.1 * len(kernels), same


def test_the_rate_of_a_cool_down_falls_as_one_minus_the_root() -> None:
    recipe = Recipe(stages=(Stage(steps=50, crop=64),), optimiser=Optimiser(learning_rate=0.01, schedule="cooldown"))
    chosen = MattingModule(recipe, LiteMatting()).configure_optimizers()
    optimiser, schedule = chosen["optimizer"], chosen["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(51):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    np.testing.assert_allclose(rates, 0.01 * (1 - np.sqrt(np.arange(51) / 50)), atol=1e-12)
