"""ltm-train on small pictures: what a run leaves, going on after a kill, several devices, refusals."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from litematting_deploy.model import load_checkpoint
from tests.conftest import assert_one_line, run, stand_in
from tests.training.test_sources import write_foregrounds, write_photos

STEPS = 12
RECIPE = f"""
precision = "32-true"
validate_every = 6
validation_scenes = 2
checkpoint_every = 4
[[stages]]
steps = {STEPS - 4}
crop = 64
batch = 2
[[stages]]
steps = 4
crop = 96
batch = 1
[optimiser]
learning_rate = 1e-3
schedule = "cosine"
[procedural]
count = 4
size = 128
refresh = false
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("material")
    write_photos(root / "photos")
    (root / "recipe.toml").write_text(RECIPE)
    return root


def arguments(material: Path, output: Path) -> list[str | Path]:
    return ["--photos", material / "photos", "--libraries", material / "libraries", "-o", output, "--device", "cpu"]


def final_state(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "last.ckpt", weights_only=True)
    assert state["global_step"] == STEPS
    return {**state["current_model_state"], **{f"average.{name}": value for name, value in state["state_dict"].items()}}


@pytest.fixture(scope="module")
def finished(material: Path) -> Path:
    output = material / "runs" / "whole"
    result = run("ltm-train", material / "recipe.toml", *arguments(material, output))
    assert result.code == 0, result.err
    assert f"step {STEPS} of {STEPS}" in result.err
    assert "held-out scenes: error" in result.err
    return output


def test_a_run_leaves_weights_previews_logs_and_a_curve(finished: Path, material: Path) -> None:
    assert load_checkpoint(finished / "weights.safetensors").get_parameter("out.4.bias").dtype == torch.float32
    with safe_open(finished / "weights.safetensors", "np") as file:
        about = file.metadata()
        assert file.get_tensor("out.4.bias").dtype == np.float16
    assert about["step"] == str(STEPS)
    assert json.loads(about["recipe"]) == json.loads((finished / "recipe.json").read_text())
    averaged = torch.load(finished / "last.ckpt", weights_only=True)["state_dict"]["model.out.4.bias"]
    kept = load_checkpoint(finished / "weights.safetensors").get_parameter("out.4.bias")
    torch.testing.assert_close(kept, averaged, rtol=1e-3, atol=1e-4)
    assert [path.name for path in sorted((finished / "previews").iterdir())] == [
        "step-0000006.jpg",
        "step-0000012.jpg",
    ]
    for picture in (finished / "previews" / "step-0000012.jpg", finished / "loss.png"):
        image = cv2.imread(str(picture))
        assert image is not None
        assert len(np.unique(image)) > 10, f"{picture} is empty"
    assert list((finished / "tensorboard").glob("events*"))
    again = run("ltm-train", material / "recipe.toml", *arguments(material, finished))
    assert_one_line(again, 2, str(finished), "holds a run already", "--resume")


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(finished: Path, material: Path) -> None:
    output = material / "runs" / "killed"
    command = [Path(sys.executable).parent / "ltm-train", *arguments(material, output)]
    process = subprocess.Popen([command[0], material / "recipe.toml", *command[1:]], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (output / "last.ckpt").exists():
        assert time.monotonic() < deadline, "no checkpoint within two minutes"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at = torch.load(output / "last.ckpt", weights_only=True)["global_step"]
    assert killed_at < STEPS, "the run was not killed in time"
    result = run("ltm-train", "--resume", *arguments(material, output))
    assert result.code == 0, result.err
    wanted, resumed = final_state(finished), final_state(output)
    assert wanted.keys() == resumed.keys()
    for name, value in wanted.items():
        assert torch.equal(value, resumed[name]), name


@pytest.mark.slow
def test_two_processes_train_one_model(material: Path) -> None:
    output = material / "runs" / "ddp"
    root = write_foregrounds(material / "train")
    recipe = material / "ddp.toml"
    recipe.write_text(
        RECIPE.replace(f"steps = {STEPS - 4}", "steps = 2").replace("validate_every = 6", "validate_every = 3")
    )
    result = run(
        "ltm-train", recipe, "--foregrounds", root, "--photos", material / "photos", "-o", output,
        "--device", "cpu", "--devices", "2", "--workers", "1",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert torch.load(output / "last.ckpt", weights_only=True)["global_step"] == 6


def test_weights_to_begin_with_are_used(material: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "still.toml"
    recipe.write_text(
        "validate_every = 1\nvalidation_scenes = 1\nprecision = '32-true'\n[[stages]]\nsteps = 1\ncrop = 64\n"
        "batch = 1\n[optimiser]\nlearning_rate = 0.0\n[procedural]\ncount = 4\nsize = 128\nrefresh = false"
    )
    weights = stand_in("")
    save_file(weights, tmp_path / "begin.safetensors")
    result = run(
        "ltm-train", recipe, *arguments(material, tmp_path / "run"), "--init", tmp_path / "begin.safetensors"
    )  # fmt: skip
    assert result.code == 0, result.err
    kept = load_checkpoint(tmp_path / "run" / "weights.safetensors").state_dict()
    for name, value in weights.items():
        np.testing.assert_allclose(kept[name].numpy(), value.astype(np.float16).astype(np.float32), err_msg=name)


def test_wrong_use_is_one_line(material: Path, tmp_path: Path) -> None:
    recipe = material / "recipe.toml"
    assert_one_line(run("ltm-train", recipe, "-o", tmp_path / "r"), 2, "--photos", "--foregrounds")
    absent = run("ltm-train", recipe, "--photos", tmp_path / "none", "-o", tmp_path / "r")
    assert_one_line(absent, 1, str(tmp_path / "none"), "no such folder")
    blocked = run("ltm-train", recipe, *arguments(material, tmp_path / "r"), block="lightning")
    assert_one_line(blocked, 1, "lightning", "litematting-deploy[train]")
    missing = run("ltm-train", tmp_path / "no.toml", *arguments(material, tmp_path / "r"))
    assert_one_line(missing, 2, "no.toml", "No such file")


def test_steps_are_fitted_into_the_time_there_is(material: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    result = run(
        "ltm-train", material / "recipe.toml", *arguments(material, tmp_path / "run"), "--fit-minutes", "0.1"
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "to compose" in result.err
    first, second = json.loads((tmp_path / "run" / "recipe.json").read_text())["stages"]
    assert first["steps"] == pytest.approx(2 * second["steps"], abs=2), "the recipe's proportion"
    measured = json.loads((tmp_path / "run" / "pace.json").read_text())["stages"]
    predicted_s = sum(stage["steps"] * (stage["input_s"] + stage["network_s"]) for stage in measured)
    assert predicted_s == pytest.approx(0.93 * 6, rel=0.3)
    assert time.monotonic() - begun < 120
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["global_step"] == first["steps"] + second["steps"]
    taken = run("ltm-train", "--resume", *arguments(material, tmp_path / "run"), "--fit-minutes", "1")
    assert_one_line(taken, 2, "has trained already", "--fit-minutes")
