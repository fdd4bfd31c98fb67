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
from tests.cli.runs import RECIPE, STEPS, arguments, final_state, invoke, trained_steps
from tests.conftest import assert_one_line, run, stand_in
from tests.training.test_sources import write_foregrounds


def test_a_run_leaves_weights_previews_logs_and_a_curve(finished: Path, material: Path) -> None:
    assert load_checkpoint(finished / "weights.safetensors").get_parameter("out.4.bias").dtype == torch.float32
    with safe_open(finished / "weights.safetensors", "np") as file:
        about = file.metadata()
        assert file.get_tensor("out.4.bias").dtype == np.float16
    assert about["step"] == str(STEPS)
    assert json.loads(about["recipe"]) == json.loads((finished / "run.json").read_text())["recipe"]
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
    said = (finished / "said.txt").read_text()
    assert said.startswith("precision 32-true: ")
    assert f"plan: {STEPS} steps, 20 samples, 0.1 megapixels; 2 validation scenes every 6 steps" in said
    assert "weights are averaged over about the last 1 steps (ema_decay 0.1667)" in said
    for name in ("training", "validation"):
        assert f"plan: draws 20 {name} alphas of 128² in {material / 'libraries'}" in said
    assert f"step {STEPS}: validation error" in said
    assert f"after {STEPS} steps" in said
    again = run("ltm-train", material / "recipe.toml", *arguments(material, finished))
    assert_one_line(again, 2, str(finished), "already contains a run", "--resume")


@pytest.mark.slow
@pytest.mark.heavy
def test_a_killed_run_goes_on_as_if_nothing_had_happened(finished: Path, material: Path) -> None:
    output = material / "runs" / "killed"
    command = [Path(sys.executable).parent / "ltm-train", *arguments(material, output)]
    process = subprocess.Popen([command[0], material / "recipe.toml", *command[1:]], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while trained_steps(output) < 4:
        assert time.monotonic() < deadline, "no checkpoint within two minutes"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert trained_steps(output) < STEPS, "the run was not killed in time"
    result = run("ltm-train", "--resume", "-o", output, "--device", "cpu")
    assert result.code == 0, result.err
    assert not list(output.glob("alphas-*")), "the library it was begun with was forgotten"
    wanted, resumed = final_state(finished), final_state(output)
    assert wanted.keys() == resumed.keys()
    for name, value in wanted.items():
        assert torch.equal(value, resumed[name]), name


@pytest.mark.heavy
def test_minutes_count_from_the_beginning_of_each_run(material: Path) -> None:
    output = material / "runs" / "short"
    steps = []
    for begun in ((material / "recipe.toml", *arguments(material, output)), ("--resume", "-o", output)):
        result = run("ltm-train", *begun, "--minutes", "0.0001")
        assert result.code == 0, result.err
        assert f"continue with: ltm-train --resume -o {output}" in result.err
        steps.append(trained_steps(output))
    assert 0 < steps[0] < steps[1] < STEPS


@pytest.mark.slow
@pytest.mark.heavy
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


@pytest.mark.slow
@pytest.mark.heavy
def test_a_run_killed_while_it_draws_goes_on_with_what_it_was_begun_with(material: Path, tmp_path: Path) -> None:
    save_file(stand_in(""), tmp_path / "begin.safetensors")
    recipe = tmp_path / "long.toml"
    recipe.write_text(
        "validate_every = 1\nvalidation_scenes = 1\nprecision = '32-true'\n[[stages]]\nsteps = 1\ncrop = 64\n"
        "batch = 1\n[optimiser]\nlearning_rate = 0.0\n[procedural]\ncount = 40\nsize = 512\nrefresh = false"
    )
    command: list[str | Path] = [
        Path(sys.executable).parent / "ltm-train", recipe, "--photos", material / "photos", "-o", tmp_path / "run",
        "--device", "cpu", "--workers", "1", "--init", tmp_path / "begin.safetensors",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run").glob("alphas-*/000000.npy")):
        assert time.monotonic() < deadline, "nothing was drawn within two minutes"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    file = next((tmp_path / "run").glob("alphas-*/000000.npy"))  # of two folders, as many scenes are held out
    drawn = file.stat().st_mtime_ns
    assert not (tmp_path / "run" / "last.ckpt").exists()
    result = run("ltm-train", "--resume", "-o", tmp_path / "run", "--device", "cpu")
    assert result.code == 0, result.err
    assert file.stat().st_mtime_ns == drawn, "drawn again"
    kept = load_checkpoint(tmp_path / "run" / "weights.safetensors").state_dict()
    for name, value in stand_in("").items():
        np.testing.assert_allclose(kept[name].numpy(), value.astype(np.float16).astype(np.float32), err_msg=name)


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        ("{recipe} -o {run}", 2, ("--photos", "--foregrounds")),
        ("{recipe} --photos {here}/none -o {run}", 1, ("none", "no such folder")),
        ("{here}/no.toml --photos {photos} -o {run}", 2, ("no.toml", "No such file")),
        ("{recipe} --photos {photos} -o {here}/file", 1, ("file", "cannot be created")),
        ("{recipe} --photos {photos} -o {run} --init {here}/file.safetensors", 1, ("file.safetensors",)),
        ("--resume -o {run}", 2, ("r", "contains no run")),
        ("--resume -o {run} --init w.safetensors", 2, ("leave --init out",)),
        ("{recipe} --photos {photos} -o {run} --device cpu --foregrounds {material}", 1, ("alpha",)),
        pytest.param(
            *("{recipe} --photos {photos} -o {run} --device cuda", 1, ("sees 0 GPUs",)),
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing_behind(
    words: str,
    code: int,
    parts: tuple[str, ...],
    material: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "file.safetensors").write_text("no weights")
    places = {"recipe": material / "recipe.toml", "photos": material / "photos", "run": tmp_path / "r"}
    got, line = invoke(capsys, *(word.format(material=material, here=tmp_path, **places) for word in words.split()))
    assert got == code, line
    assert [part for part in parts if part not in line] == []
    assert not (tmp_path / "r").exists(), "a mistake must not stand in the way of the next try"


def test_without_lightning_the_extra_is_named(material: Path, tmp_path: Path) -> None:
    blocked = run("ltm-train", material / "recipe.toml", *arguments(material, tmp_path / "r"), block="lightning")
    assert_one_line(blocked, 1, "lightning", "[train]")


def test_a_run_of_somebody_else_makes_no_folder_elsewhere(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = json.loads((finished / "run.json").read_text())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(begun | {"libraries": str(tmp_path / "else" / "where")}))
    code, line = invoke(capsys, "--resume", "-o", tmp_path / "run")
    assert code == 2
    assert f"libraries is {tmp_path / 'else' / 'where'}, which is not a folder; create it" in line
    assert not (tmp_path / "else").exists()


def test_a_damaged_run_says_how_to_save_its_weights(
    finished: Path, material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("run.json", b"{"), ("last.ckpt", (finished / "last.ckpt").read_bytes()[:50_000])):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_bytes((finished / "run.json").read_bytes())
        (folder / name).write_bytes(content)
        code, line = invoke(capsys, "--resume", "-o", folder)
        assert code == 1
        assert name in line
        assert f"--init {folder / 'weights.safetensors'}" in line
    (tmp_path / "run.json" / "run.json").write_bytes((finished / "run.json").read_bytes())
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "run.json" / "last.ckpt")
    code, line = invoke(capsys, "--resume", "-o", tmp_path / "run.json")
    assert code == 1
    assert "last.ckpt: contains only weights, not a run" in line
    assert "--init" in line
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "last.ckpt").write_bytes(b"")
    code, line = invoke(capsys, material / "recipe.toml", *arguments(material, alone))
    assert (code, "already contains a run (last.ckpt)" in line) == (2, True)


@pytest.mark.heavy
def test_steps_are_fitted_into_the_time_there_is(material: Path, tmp_path: Path) -> None:
    result = run(
        "ltm-train", material / "recipe.toml", *arguments(material, tmp_path / "run"), "--fit-minutes", "0.1"
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "to compose" in result.err
    first, second = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["stages"]
    assert first["steps"] == pytest.approx(2 * second["steps"], abs=2), "the recipe's proportion"
    measured = json.loads((tmp_path / "run" / "pace.json").read_text())["stages"]
    each_s = [stage["input_s"] + stage["network_s"] for stage in measured]
    predicted_s = first["steps"] * each_s[0] + second["steps"] * each_s[1]
    assert predicted_s == pytest.approx(0.93 * 6, abs=sum(each_s)), "up to a step of each stage"
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["global_step"] == first["steps"] + second["steps"]


def test_a_groom_that_cannot_be_read_is_refused_before_anything_is_drawn(material: Path, tmp_path: Path) -> None:
    (tmp_path / "strands").mkdir()
    (tmp_path / "strands" / "short.tfx").write_bytes(b"short")
    result = run(
        "ltm-train", material / "recipe.toml", "--photos", material / "photos", "-o", tmp_path / "run",
        "--device", "cpu", "--strands", tmp_path / "strands",
    )  # fmt: skip
    assert_one_line(result, 1, "short.tfx", "5 bytes", "12")
    assert not (tmp_path / "run").exists()
