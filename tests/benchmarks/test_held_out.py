"""benchmarks/held_out/draw.py and judge.py: what they check, and what they measure."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from tests.conftest import ROOT


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"held_out_{name}", ROOT / "benchmarks" / "held_out" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def write_scenes(folder: Path, families: list[str]) -> None:
    folder.mkdir()
    rng = np.random.default_rng(3)
    for i in range(len(families)):
        trimap = np.full((64, 64), 128, np.uint8)
        trimap[:20], trimap[50:] = 0, 255
        alpha = np.where(trimap == 128, rng.integers(0, 256, trimap.shape), trimap).astype(np.uint8)
        image = rng.integers(0, 256, (64, 64, 3), np.uint8)
        np.savez(folder / f"{i:03d}.npz", image=image, trimap=trimap, alpha=alpha)
    (folder / "index.json").write_text(json.dumps({"families": families}))


def test_the_held_out_error_is_the_mean_sad_over_unknown_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = script("judge")
    families = ["fur", "net", "fur"]
    write_scenes(tmp_path / "scenes", families)
    monkeypatch.setattr(judge, "SCENES", 3)
    monkeypatch.setattr(judge.judge, "__defaults__", (3,))
    given: list[Any] = []
    network = judge.predict

    def predict(*inputs: Any) -> Any:
        given.append(network(*inputs))
        return given[-1]

    monkeypatch.setattr(judge, "predict", predict)
    words = ["judge.py", SHIPPED_CHECKPOINT, "--scenes", tmp_path / "scenes", "--json", tmp_path / "held_out.json"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    judge.main()
    found = json.loads((tmp_path / "held_out.json").read_text())
    wanted = []
    for i, alpha in enumerate(given):
        with np.load(tmp_path / "scenes" / f"{i:03d}.npz") as scene:
            unknown, truth = scene["trimap"] == 128, scene["alpha"] / 255
            wanted.append(np.abs(alpha - truth)[unknown].sum() / 1000)
    assert found["sad"] == pytest.approx(np.mean(wanted), abs=1e-3)
    assert found["families"]["fur"]["sad"] == pytest.approx((wanted[0] + wanted[2]) / 2, abs=1e-3)
    assert f"held-out error {found['sad']:.4f}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"has no index\.json"):
        judge.read_index(tmp_path)
    (tmp_path / "scenes" / "index.json").write_text(json.dumps({"families": families[1:]}))
    with pytest.raises(SystemExit, match="lists 2 scenes instead of 3"):
        judge.read_index(tmp_path / "scenes")


def test_the_code_of_a_commit_is_taken_out_of_the_history(tmp_path: Path) -> None:
    script("draw").take_out("HEAD", tmp_path)
    assert (tmp_path / "litematting_deploy" / "__init__.py").is_file()
    assert (tmp_path / "benchmarks" / "held_out" / "held_out_scenes.py").is_file()


def test_scenes_that_came_out_otherwise_and_a_clone_without_history_are_refused(tmp_path: Path) -> None:
    draw = script("draw")
    write_scenes(tmp_path / "scenes", ["fur", "net"])
    means = []
    for i in range(2):
        with np.load(tmp_path / "scenes" / f"{i:03d}.npz") as scene:
            means.append(float(scene["alpha"].mean()))
    draw.check(tmp_path / "scenes", [means[0] + 0.1, means[1] - 0.1])
    with pytest.raises(SystemExit, match=r"001\.npz: mean alpha is .*, wanted .*: the scenes came out differently"):
        draw.check(tmp_path / "scenes", [means[0], means[1] + 0.5])
    with pytest.raises(SystemExit, match=r"cannot be read: .*; draw the scenes in a clone with its whole history"):
        draw.take_out("0" * 40, tmp_path)
    means = json.loads((ROOT / "benchmarks" / "held_out" / "scenes.json").read_text())["mean_alpha"]
    assert {name: len(found) for name, found in means.items()} == dict.fromkeys(draw.COMMITS, 200)
