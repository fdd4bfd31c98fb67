"""ltm-batch as a user runs it. With a real Ray on this machine, it is heavy."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy import Matter
from litematting_deploy.errors import DeviceError, InputError
from litematting_deploy.jobs.cluster import pipeline, worker
from litematting_deploy.jobs.cluster.manifest import Manifest, Record
from litematting_deploy.jobs.cluster.worker import Batch, Share, make_worker
from litematting_deploy.jobs.folder import FolderFiles, FolderJob, matte_frames
from litematting_deploy.jobs.frames import Frame
from litematting_deploy.jobs.progress import JobProgress, ProgressMeter
from litematting_deploy.jobs.resume import keep_settings
from litematting_deploy.jobs.run import Done
from litematting_deploy.segmentation.maker import MaskMaker
from litematting_deploy.specs import ClusterSpec, EngineSpec, JobSpec, OutputSpec
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, Run, assert_one_line, called, run

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


def records(folder: Path) -> list[dict[str, Any]]:
    """What the manifest says of frames that were matted: not of those that were found done."""
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    return [record for line in lines if line.endswith("}") and (record := json.loads(line))["pid"]]


def wait_for(wanted: int, folder: Path, process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """The records once there are so many."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if len(found := records(folder)) >= wanted:
            return found
        time.sleep(0.02)
    pytest.fail(f"no {wanted} records: {ended(process)}")


@pytest.mark.slow
@pytest.mark.heavy
def test_no_frame_is_lost(shot: tuple[Path, Path], small_onnx: Path, tmp_path: Path) -> None:
    """The driver killed in the middle; resumed, a worker killed in the middle."""
    out = tmp_path / "mattes"
    job = (*shot, "-o", out, "--engine", small_onnx, *SPREAD)
    first = started(*job)
    wait_for(4, out, first)
    first.send_signal(signal.SIGKILL)
    ended(first)
    before = {record["frame"] for record in records(out)}
    times = {name: (out / f"{name}.png").stat().st_mtime_ns for name in before}

    second = started(*job, "--resume")
    known = wait_for(len(before) + 2, out, second)
    victim = known[-1]["pid"]
    os.kill(victim, signal.SIGKILL)
    assert len(known) < FRAMES - 4, "each actor had frames left"
    result = ended(second)
    assert result.code == 0, result
    assert " already done, 0 failed, 2 x onnxruntime-cpu" in result.out
    assert {name: (out / f"{name}.png").stat().st_mtime_ns for name in before} == times, "what was done stayed"
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines() if line]
    assert any(record["pid"] != victim for record in records(out)[len(known) :]), "another went on"
    assert {line["frame"] for line in lines} == {f"sub/frame.{index:04d}" for index in range(FRAMES)}
    assert all(line["failure"] is None for line in lines)

    alone = tmp_path / "alone"
    assert run("ltm-infer", *shot, "-o", alone, "--engine", small_onnx).code == 0
    names = sorted(path.relative_to(alone) for path in alone.rglob("*.png"))
    assert len(names) == FRAMES
    assert sorted(path.relative_to(out) for path in out.rglob("[!.]*.png")) == names  # a kill may leave hidden drafts
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
    *progress, told = result.err.splitlines()
    assert told.startswith("ltm-batch: failed: ")
    assert "frame.0003.png" in told
    assert len(progress) == FRAMES
    assert all(re.fullmatch(rf"\d+/{FRAMES} sub/frame\.\d{{4}}( failed)?", line) for line in progress), progress
    assert len(list((tmp_path / "cut").rglob("*.png"))) == FRAMES - 1

    same = ("--cutout", tmp_path / "cut", "--background", "white", "--resume")
    resumed = run("ltm-batch", *job, *same)
    assert f"0 of {FRAMES} frames" in resumed.out
    assert f"{FRAMES - 1} already done, 1 failed" in resumed.out
    assert_one_line(run("ltm-infer", *shot, "-o", out, "--engine", mean_onnx, "--resume"), 2, "another background")
    wide = run("ltm-batch", *job, "--cpus-per-actor", "9999")
    assert wide.code == 2
    assert "an actor needs 9999 CPU" in wide.err.splitlines()[-1]
    broken = run("ltm-batch", *shot, "-o", tmp_path / "x", "--engine", tmp_path / "no.onnx", *SPREAD)
    assert broken.code == 1
    assert broken.err.splitlines()[-1].startswith(f"ltm-batch: {tmp_path / 'no.onnx'}: no such")


def job_of(shot: tuple[Path, Path], out: Path, *, engine: str | None = None, background: str | None = None) -> JobSpec:
    output = OutputSpec(alpha=str(out), cutout=None if background is None else f"{out}-cut", background=background)
    return JobSpec(images=str(shot[0]), source=str(shot[1]), output=output, engine=EngineSpec(engine=engine))


def share_of(job: JobSpec) -> Share:
    return Share(job, FolderJob(job, None).frames)


def test_an_address_and_a_colour_are_no_paths(
    shot: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actors work in folders of their own: paths are made absolute, whatever lies in this one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "white").mkdir()
    for given, wanted in (
        ("grpc://here/litematting", "grpc://here/litematting"),
        ("m.onnx", str(tmp_path / "m.onnx")),
    ):
        assert pipeline._for_actors(job_of(shot, Path("out"), engine=given), 1).engine.engine == wanted
    for given, wanted in (("white", "white"), ("behind.png", str(tmp_path / "behind.png"))):
        output = pipeline._for_actors(job_of(shot, Path("out"), background=given), 1).output
        assert (output.background, output.alpha) == (wanted, str(tmp_path / "out"))


def test_an_actor_on_a_machine_without_the_folder(shot: tuple[Path, Path], mean_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"out: is not the folder .* no \.ltm-infer\.json; use a folder on a drive"):
        make_worker(share_of(job_of(shot, tmp_path / "out", engine=str(mean_onnx))))


def test_an_engine_that_fails_fails_the_rest_of_a_batch(
    shot: tuple[Path, Path], mean_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next batch has another engine."""
    failures = [DeviceError("GPU 0: out of memory")]
    engines = set()

    def until_it_fails(
        frames: Sequence[Frame], files: FolderFiles, matter: Matter, meter: ProgressMeter, maker: MaskMaker | None
    ) -> Iterator[Done[Frame]]:
        engines.add(matter)
        for index, done in enumerate(matte_frames(frames, files, matter, meter, maker)):
            if index == 3 and failures:
                raise failures.pop()
            yield done

    monkeypatch.setattr(worker, "matte_frames", until_it_fails)
    share = share_of(job_of(shot, tmp_path / "out", engine=str(mean_onnx)))
    keep_settings(tmp_path / "out", {}, None)
    matte = make_worker(share)
    batch = tuple(range(6))
    records = {record.frame: record for record in matte(batch)}
    assert set(records) == {share.frames[n].name for n in batch}
    failed = [name for name, record in records.items() if record.failure == "GPU 0: out of memory"]
    assert len(failed) == 3
    for name, record in records.items():
        assert name in failed or list(record.files) == [str(tmp_path / "out" / f"{name}.png")]
    assert [record.failure for record in matte(batch)] == [None] * 6
    assert len(engines) == 2


class Actors:
    """In the place of a cluster: frame 1 fails the first time, frame 2 always, and frame 3 ends its actors."""

    def __init__(self) -> None:
        self.asked: list[Batch] = []

    def run(
        self, todo: deque[Batch], each: ClusterSpec, _: object, share: Share
    ) -> Iterator[tuple[Batch, list[Record] | None]]:
        while todo:
            batch = todo.popleft()
            self.asked.append(batch)
            failing = {2} if (1,) in self.asked else {1, 2}
            names = {number: share.frames[number].name for number in batch}
            records = [Record(name, "no" if n in failing else None, {}, {}) for n, name in names.items()]
            yield batch, None if 3 in batch else records


def test_what_fails_is_tried_again_by_itself(shot: tuple[Path, Path], tmp_path: Path) -> None:
    share, actors = share_of(job_of(shot, tmp_path / "out")), Actors()
    told: list[JobProgress] = []
    meter = ProgressMeter(told.append)
    meter.begin("frames", 4)
    spread = ClusterSpec(frames_per_task=3)
    with contextlib.closing(Manifest(tmp_path / "out", 0)) as manifest:
        pipeline._matte(share.frames[:4], share, actors, spread, manifest, meter)  # type: ignore[arg-type]
    assert actors.asked == [(0, 1, 2), (3,), (1,), (2,), (3,)]
    assert list(meter.failures) == ["sub/frame.0002", "sub/frame.0003"]
    assert "its actors died" in meter.failures["sub/frame.0003"]
    assert (told[-1].done, told[-1].total) == (4, 4)


def test_a_cluster_that_does_not_start_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray raises a plain Exception then, whose text has several sentences."""

    def init(**_: object) -> None:
        raise Exception("The node timed out during startup.\nPerhaps overloaded.")

    monkeypatch.setattr(pipeline, "require", lambda *_: SimpleNamespace(init=init))
    words = r"no Ray cluster here that this process can join or start \(The node timed out during startup\.\); start"
    with pytest.raises(DeviceError, match=words), pipeline.connected(None):
        pass


def test_without_ray_the_extra_is_named(shot: tuple[Path, Path], tmp_path: Path) -> None:
    without = run("ltm-batch", *shot, "-o", tmp_path / "out", block="ray")
    assert_one_line(without, 1, "matting on a cluster needs ray", "[ray]")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("IMAGES -o out", 2, ("TRIMAPS or --mask must be given",)),
        ("none TRIMAPS -o out", 1, ("none", "no such folder")),
        ("IMAGES TRIMAPS -o out --actors 0", 2, ("--actors must be 1 or more; got 0",)),
        ("IMAGES TRIMAPS -o out --cpus-per-actor 0.5", 2, ("--cpus-per-actor must be between 1 and 65536; got 0.5",)),
        ("IMAGES TRIMAPS -o IMAGES/x", 2, ("a folder of sources",)),
    ],
    ids=["no trimaps", "no images", "no actors", "half a core", "results among the sources"],
)
def test_what_cannot_be_is_one_line_before_ray_starts(
    line: str,
    code: int,
    words: tuple[str, ...],
    shot: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [word.replace("IMAGES", str(shot[0])).replace("TRIMAPS", str(shot[1])) for word in line.split()]
    assert_one_line(called("ltm-batch", *arguments), code, *words)
