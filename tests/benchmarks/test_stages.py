"""Where time goes: the stages that ltm-infer writes, ltm-bench --photo, and the suite of benchmarks."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.benchmarks import photo
from litematting_deploy.profiling import Record, recording, stage
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, ROOT, assert_one_line, golden, run

HOST_STAGES = ["start-up", "decode photo", "decode trimap", "load engine", "plan", "guide", "gather", "engine"]


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path]:
    """A small crop of the example around the stem, and its trimap."""
    files = tmp_path / "photo.png", tmp_path / "trimap.png"
    for source, target in zip((EXAMPLE, EXAMPLE_TRIMAP), files, strict=True):
        with Image.open(source) as picture:
            picture.crop((600, 1000, 800, 1160)).save(target)
    return files


def test_ltm_infer_says_where_its_time_went(scene: tuple[Path, Path], small_onnx: Path, tmp_path: Path) -> None:
    timings = tmp_path / "t.json"
    result = run("ltm-infer", *scene, "-o", tmp_path / "a.png", "--engine", small_onnx, "--timings", timings)
    assert result.code == 0, result.err
    measured = json.loads(timings.read_text())
    stages = {one["name"]: one for one in measured["stages"]}
    assert list(stages) == [*HOST_STAGES, "stitch", "finish", "refine", "encode", "other"]
    assert stages["engine"]["calls"] == stages["gather"]["calls"] == measured["patches"] > 1
    assert measured["patches"] + measured["skipped"] == measured["grid"]
    assert sum(one["seconds"] for one in measured["stages"]) == pytest.approx(measured["seconds"])
    assert all(one["seconds"] >= 0 for one in measured["stages"])
    assert 30 < stages["start-up"]["peak_memory_mb"] <= stages["finish"]["peak_memory_mb"] <= measured["peak_memory_mb"]
    assert f"{measured['patches']} patches" in result.out


def test_timings_that_cannot_be_written(scene: tuple[Path, Path], tmp_path: Path) -> None:
    timings = tmp_path / "no" / "t.json"
    result = run("ltm-infer", *scene, "-o", tmp_path / "a.png", "--timings", timings)
    assert_one_line(result, 1, "t.json", "does not exist")
    assert not (tmp_path / "a.png").exists()


def test_stages_count_and_end_with_their_recording() -> None:
    @stage("twice")
    def job() -> None:
        with pytest.raises(ValueError, match="inside"), stage("failing"):
            raise ValueError("inside")

    with recording() as record:
        job()
        job()
    job()
    assert {name: found.calls for name, found in record.stages.items()} == {"start-up": 1, "twice": 2, "failing": 2}


def test_a_stage_begins_with_its_first_call() -> None:
    record = Record()
    record.add("b", 5, 7)
    record.add("a", 4, 5)
    record.add("b", 1, 2)
    first, second, _ = record.summary()["stages"]
    assert (first["name"], first["began_s"], first["seconds"], first["calls"]) == ("b", 1, 3, 2)
    assert second["name"] == "a"


@pytest.mark.slow
def test_ltm_bench_photo(scene: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("ltm-bench", "--photo", *scene, "--cutout", "--json", tmp_path / "b.json")
    assert result.code == 0, result.err
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["environment"]["cpu"]
    (measured,) = content["photo"]
    assert (measured["width"], measured["height"], measured["patches"]) == (200, 160, 1)
    # The alpha is encoded before colours are estimated.
    assert [one["name"] for one in measured["stages"]][-3:] == ["encode", "foreground", "other"]
    for words in (*HOST_STAGES, "1 patch run, 0 skipped", "peak memory"):
        assert words in result.out
    assert photo.markdown(measured).count("\n| ") == len(measured["stages"]) + 2


def test_a_photo_that_fails_says_why(scene: tuple[Path, Path], tmp_path: Path) -> None:
    assert_one_line(
        run("ltm-bench", "--photo", scene[0], tmp_path / "no.png"),
        2,
        "the photo could not be matted",
        "no.png: no such file",
    )


@pytest.mark.slow
@pytest.mark.heavy
def test_the_peer_is_the_published_inference(checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    case: dict[str, Any] = golden("tiles_552x800")
    files = [tmp_path / "image.png", tmp_path / "trimap.png"]
    for path, name in zip(files, ("image", "trimap"), strict=True):
        Image.fromarray(case[name]).save(path)
    weights = checkpoints(str(case["salt"]))
    peer = [sys.executable, str(ROOT / "benchmarks" / "published.py"), *map(str, files)]
    subprocess.run([*peer, "-o", str(tmp_path / "peer.png"), "--checkpoint", str(weights)], check=True)
    result = run("ltm-infer", *files, "-o", tmp_path / "ours.png", "--published", "--engine", weights)
    assert result.code == 0, result.err
    alphas = [np.asarray(Image.open(tmp_path / f"{name}.png"), int) for name in ("peer", "ours")]
    for other in (case["alpha"], alphas[1]):
        assert np.abs(alphas[0] - other).max() <= 1


def test_the_suite_of_stages_runs() -> None:
    """On the smallest case, once, and not timed."""
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "--benchmark-disable", "-k", "small and not foreground"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout
