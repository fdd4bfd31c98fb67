"""The scripts beside the recipes: the ledger, the packed stretch on a GPU, and what hangs on the weights."""

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from litematting_deploy.training.drawing import SHARD, Stream
from tests.conftest import BLOCKED, ROOT
from tests.training.test_sources import write_photos

SMALL = """
seed = 5
precision = "32-true"
validation_scenes = 2
validate_every = 3
checkpoint_every = 2
[[stages]]
steps = 3
crop = 64
batch = 2
[procedural]
count = 4
size = 128
refresh = false
"""


def script(name: str, *arguments: str | Path, block: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if block:
        environment |= {"LTM_BLOCK": block, "PYTHONPATH": os.pathsep.join([str(BLOCKED), str(ROOT)])}
    command = [sys.executable, ROOT / "recipes" / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def totals(run: Path, steps: int, cpu_seconds: float, **more: object) -> None:
    run.mkdir(exist_ok=True)
    content: dict[str, object] = more | {
        "utc_begun": "2026-11-29T06:00:00Z",
        "utc": f"2026-11-29T{7 + steps // 600:02d}:00:00Z",
        "steps": steps,
        "crops": 3 * steps,
        "megapixels": 3 * steps * 320**2 / 1e6,
        "cpu_seconds": cpu_seconds,
        "instruction_set": "AVX2",
        "recipe_sha256": "ab" * 32,
    }
    (run / "totals.json").write_text(json.dumps(content))


def test_a_line_of_the_ledger_is_what_was_computed_since_the_last(tmp_path: Path) -> None:
    ledger, run = tmp_path / "ledger.csv", tmp_path / "long-1"
    shutil.copy(ROOT / "recipes" / "ledger.csv", ledger)
    ledger.write_text(ledger.read_text().splitlines()[0] + "\n")
    totals(run, 1000, 7201.4)
    assert script("ledger.py", run, "--ledger", ledger).returncode == 0
    totals(tmp_path / "other", 10, 60)
    assert script("ledger.py", tmp_path / "other", "--ledger", ledger).returncode == 0
    totals(run, 1500, 10000.0)
    (tmp_path / "held_out.json").write_text(
        json.dumps({"weights_sha256": "ab", "sad": 7.5, "grad": 12.25, "families": {}})
    )
    done = script(
        "ledger.py", run, "--ledger", ledger, "--held-out", tmp_path / "held_out.json", "--note", "a night, and more"
    )
    assert done.returncode == 0, done.stderr
    with ledger.open(newline="") as file:
        other, first, second = csv.DictReader(file)  # in the order of time
    assert (first["run"], first["steps"], first["cpu_seconds"], first["held_out_sad"]) == ("long-1", "1000", "7201", "")
    assert (other["steps"], other["crops"]) == ("10", "30")
    assert (second["steps"], second["crops"], second["cpu_seconds"]) == ("500", "1500", "2799")
    assert second["megapixels"] == "153.6"
    assert (second["held_out_sad"], second["held_out_grad"]) == ("7.500", "12.250")
    assert second["note"] == "a night, and more"

    again = script("ledger.py", run, "--ledger", ledger)
    assert again.returncode == 1
    assert "long-1: the ledger has all its 1500 steps; train on first" in again.stderr
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "totals.json").write_text('{"utc": "2026-11-29T06:00:00Z", "steps": "3"}')
    old = script("ledger.py", tmp_path / "old", "--ledger", ledger)
    assert "totals.json: steps must be an integer; got '3'; give the folder of a run of this version" in old.stderr
    totals(run, 20, 100)
    assert "another run had this name" in script("ledger.py", run, "--ledger", ledger).stderr
    assert (
        "totals.json: not the totals of a run: No such file"
        in script("ledger.py", tmp_path / "none", "--ledger", ledger).stderr
    )


def test_the_ledger_is_in_the_order_of_time() -> None:
    with (ROOT / "recipes" / "ledger.csv").open(newline="") as file:
        times = [row["utc"] for row in csv.DictReader(file)]
    assert times == sorted(times)


def test_a_continued_run_enters_only_what_it_has_computed_itself(tmp_path: Path) -> None:
    ledger, run = tmp_path / "ledger.csv", tmp_path / "cooled"
    ledger.write_text((ROOT / "recipes" / "ledger.csv").read_text().splitlines()[0] + "\n")
    before = {"steps": 1000, "crops": 3000, "megapixels": 307.2, "cpu_seconds": 7000.0}
    for steps, cpu_seconds in ((1200, 8500.0), (1300, 9000.0)):
        totals(run, steps, cpu_seconds, continued=before)
        done = script("ledger.py", run, "--ledger", ledger)
        assert done.returncode == 0, done.stderr
    with ledger.open(newline="") as file:
        entered = [(row["steps"], row["crops"], row["megapixels"], row["cpu_seconds"]) for row in csv.DictReader(file)]
    assert entered == [("200", "600", "61.4", "1500"), ("100", "300", "30.8", "500")]
    assert "the ledger has all its 300 steps" in script("ledger.py", run, "--ledger", ledger).stderr


@pytest.mark.slow
@pytest.mark.heavy
def test_a_packed_stretch_trains_on_the_alphas_of_the_pack(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    recipe, packed, out = tmp_path / "small.toml", tmp_path / "pack" / "small.zip", tmp_path / "out"
    recipe.write_text(SMALL)
    libraries = tmp_path / "libraries"
    done = script("pack.py", recipe, "--photos", tmp_path / "photos", "--libraries", libraries, "-o", packed)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(packed) as file:
        names = file.namelist()
        alpha = cv2.imdecode(np.frombuffer(file.read("training/000003-alpha.webp"), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert sum(name.startswith("photos/") for name in names) == len(list((tmp_path / "photos").iterdir()))
    assert sum(name.startswith("training/") for name in names) == 2 * SHARD
    np.testing.assert_array_equal(alpha, Stream(5, 128).draw(3)[0][0])

    # What the lent machine does not have; and what would draw, for nothing is to be drawn there.
    options = ("--recipe", recipe, "--no-fit", "--minutes", "5", "--init", SHIPPED_CHECKPOINT)
    done = script("gpu_stretch.py", packed, "-o", out, *options, block="OpenEXR,pymatting,av")
    assert done.returncode == 0, done.stderr
    assert "another state of the families" not in done.stdout
    assert "draws" not in done.stdout + done.stderr
    assert "drawing" not in done.stdout + done.stderr
    assert "step 3 of 3" in done.stdout
    assert "--resume" not in done.stdout + done.stderr, "its folder is gone"
    weights, before = load_file(out / "weights.safetensors"), load_file(SHIPPED_CHECKPOINT)
    assert weights.keys() == before.keys()
    assert any((weights[name] != before[name]).any() for name in weights)
    assert (out / "preview.jpg").is_file()
    assert all(path.stat().st_size < 16 * 2**20 for path in out.iterdir())

    recipe.write_text(SMALL.replace("seed = 5", "seed = 6"))
    done = script("gpu_stretch.py", packed, "-o", out, *options)
    assert done.returncode == 1
    assert "is the pack of another recipe" in done.stderr


def test_a_photo_that_cannot_be_packed_is_one_line(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 1)
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.full((70, 90, 4), 128, np.uint8))
    (tmp_path / "small.toml").write_text(SMALL)
    options = ("--photos", tmp_path / "photos", "--libraries", tmp_path / "libraries", "-o", tmp_path / "small.zip")
    done = script("pack.py", tmp_path / "small.toml", *options)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "a.png" in line


def test_weights_that_are_none_to_ship_stop_at_the_first_step(tmp_path: Path) -> None:
    before = SHIPPED_CHECKPOINT.read_bytes()
    state = load_file(SHIPPED_CHECKPOINT)
    name = sorted(state)[0]
    wrong = {
        "is no safetensors file": None,
        "its tensors are not those": {key: value for key, value in state.items() if key != name},
        f"{name} is float32": state | {name: state[name].astype(np.float32)},
        f"{name} is float16, expected finite": state | {name: np.full_like(state[name], np.nan)},
    }
    for said, tensors in wrong.items():
        file = tmp_path / "weights.safetensors"
        if tensors is None:
            file.write_bytes(b"nothing")
        else:
            save_file(tensors, file)
        done = script("ship.py", tmp_path)
        assert done.returncode == 1
        assert "failed at step 1, assets/litematting.safetensors" in done.stderr
        assert said in done.stderr
    assert SHIPPED_CHECKPOINT.read_bytes() == before
