"""ltm-batch as a user runs it. With a real Ray on this machine, it is heavy."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.cli import batch
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, Run, assert_one_line, run

FRAMES = 24
SPREAD = ("--actors", "2", "--cpus-per-actor", "1", "--frames-per-task", "2")


@pytest.fixture
def shot(tmp_path: Path) -> tuple[Path, Path]:
    """Frames that wander over the example, with their trimaps."""
    folders = tmp_path / "ein Schuß", tmp_path / "trimaps"
    for folder, source in zip(folders, (EXAMPLE, EXAMPLE_TRIMAP), strict=True):
        (folder / "sub").mkdir(parents=True)
        with Image.open(source) as picture:
            for index in range(FRAMES):
                left, top = 600 + 8 * index, 1000
                picture.crop((left, top, left + 200, top + 160)).save(folder / "sub" / f"frame.{index:04d}.png")
    return folders


def started(*arguments: object) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).parent / "ltm-batch"), *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def ended(process: "subprocess.Popen[str]") -> Run:
    out, err = process.communicate(timeout=300)
    return Run(process.returncode, out, err)


def records(folder: Path, wanted: int, process: "subprocess.Popen[str]") -> list[dict[str, object]]:
    """The manifest once it has so many lines more than the frames that were done before."""
    manifest = folder / "manifest.jsonl"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        lines = [line for line in manifest.read_text().splitlines() if line] if manifest.exists() else []
        if len(lines) >= wanted:
            return [json.loads(line) for line in lines]
        time.sleep(0.02)
    pytest.fail(f"no {wanted} records: {ended(process)}")


@pytest.mark.slow
@pytest.mark.heavy
def test_no_frame_is_lost(shot: tuple[Path, Path], small_onnx: Path, tmp_path: Path) -> None:
    """The driver killed in the middle; resumed, a worker killed in the middle."""
    out = tmp_path / "mattes"
    job = (*shot, "-o", out, "--engine", small_onnx, *SPREAD)
    first = started(*job)
    before = {record["frame"] for record in records(out, 4, first)}
    first.send_signal(signal.SIGKILL)
    ended(first)
    times = {name: (out / f"{name}.png").stat().st_mtime_ns for name in before}

    second = started(*job, "--resume")
    victim = records(out, len(before) + 2, second)[-1]["pid"]
    assert isinstance(victim, int)
    os.kill(victim, signal.SIGKILL)
    result = ended(second)
    assert result.code == 0, result
    assert " were done, 0 failed, 2 x onnxruntime-cpu" in result.out
    assert {name: (out / f"{name}.png").stat().st_mtime_ns for name in before} == times, "what was done stayed"
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines() if line]
    assert victim in {line["pid"] for line in lines}
    assert len({line["pid"] for line in lines}) > 2
    assert all(line["failure"] is None for line in lines)

    alone = tmp_path / "alone"
    assert run("ltm-infer", *shot, "-o", alone, "--engine", small_onnx).code == 0
    names = sorted(path.relative_to(alone) for path in alone.rglob("*.png"))
    assert len(names) == FRAMES
    assert sorted(path.relative_to(out) for path in out.rglob("*.png")) == names, "no drafts, no frame missing"
    for name in names:
        wanted, found = (np.asarray(Image.open(folder / name), int) for folder in (alone, out))
        assert np.abs(wanted - found).max() <= 1


@pytest.mark.slow
@pytest.mark.heavy
def test_failures_are_tried_again_and_told(shot: tuple[Path, Path], mean_onnx: Path, tmp_path: Path) -> None:
    photo = shot[0] / "sub" / "frame.0003.png"
    photo.write_bytes(photo.read_bytes()[:2000])
    out = tmp_path / "mattes"
    job = (*shot, "-o", out, "--engine", mean_onnx, *SPREAD)
    result = run("ltm-batch", *job, "--cutout", tmp_path / "cut", "--background", "white", "--retries", "2")
    assert result.code == 1
    assert f"{FRAMES - 1} of {FRAMES} frames" in result.out
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines if line["failure"]] == ["sub/frame.0003"] * 3
    told = [line for line in result.err.splitlines() if line.startswith("ltm-batch: failed: ")]
    assert len(told) == 1
    assert "frame.0003.png" in told[0]
    assert "Traceback" not in result.err
    assert len(list((tmp_path / "cut").rglob("*.png"))) == FRAMES - 1

    same = ("--cutout", tmp_path / "cut", "--background", "white", "--resume")
    resumed = run("ltm-batch", *job, *same)
    assert f"0 of {FRAMES} frames" in resumed.out
    assert f"{FRAMES - 1} were done, 1 failed" in resumed.out
    assert_one_line(run("ltm-infer", *shot, "-o", out, "--engine", mean_onnx, "--resume"), 2, "another background")
    wide = run("ltm-batch", *job, "--cpus-per-actor", "9999")
    assert wide.code == 2
    assert "an actor holds 9999 CPU" in wide.err.splitlines()[-1]
    broken = run("ltm-batch", *shot, "-o", tmp_path / "x", "--engine", tmp_path / "no.onnx", *SPREAD)
    assert broken.code == 1
    assert broken.err.splitlines()[-1].startswith(f"ltm-batch: {tmp_path / 'no.onnx'}: no such")


def test_an_address_is_no_path(shot: tuple[Path, Path], tmp_path: Path) -> None:
    """Actors work in folders of their own: paths are made absolute, a server's address stays as it is."""
    names = ("cutout", "foreground", "preview", "background", "frames", "part")
    for engine, wanted in (
        ("grpc://here/litematting", "grpc://here/litematting"),
        ("m.onnx", os.path.abspath("m.onnx")),
    ):
        options = {**dict.fromkeys(names), "engine": engine}
        job = batch._job(str(shot[0]), str(shot[1]), str(tmp_path / "out"), options, 1)
        assert job.options["engine"] == wanted


def test_mistakes_before_ray_starts(shot: tuple[Path, Path], tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out")
    assert_one_line(run("ltm-batch", *shot, *out, block="ray"), 1, "ltm-batch needs ray", "litematting-deploy[ray]")
    assert_one_line(run("ltm-batch", shot[0], *out), 2, "TRIMAP")
    assert_one_line(run("ltm-batch", tmp_path / "none", shot[1], *out), 1, "none", "no such folder")
    assert_one_line(run("ltm-batch", *shot, *out, "--actors", "0"), 2, "--actors")
    assert_one_line(run("ltm-batch", *shot, "-o", shot[0] / "x"), 2, "a folder of sources")
