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
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy import Matter
from litematting_deploy.errors import DeviceError, InputError
from litematting_deploy.jobs.cluster import pipeline, ray_cluster, worker
from litematting_deploy.jobs.cluster.manifest import Manifest, Record
from litematting_deploy.jobs.cluster.worker import Batch, make_worker
from litematting_deploy.jobs.folder import matte_frames
from litematting_deploy.jobs.folder_files import FolderFiles
from litematting_deploy.jobs.frames import Frame, chosen_frames
from litematting_deploy.jobs.progress import JobProgress, ProgressMeter
from litematting_deploy.jobs.resume import keep_settings
from litematting_deploy.jobs.run import Done
from litematting_deploy.runtime.shipped import TINY_ENGINE
from litematting_deploy.segmentation.maker import MaskMaker
from litematting_deploy.specs import ClusterSpec, EngineSpec, JobSpec, OutputSpec
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, Run, assert_one_line, called, run
from tests.ray_nodes import PATIENT, Nodes, cluster

FRAMES = 24
SPREAD = ("--actors", "2", "--cpus-per-actor", "1", "--frames-per-task", "2")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster(cores=2) as made:
        yield made


@pytest.fixture
def joined(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """A cluster that commands find without being told."""
    for name, value in {**PATIENT, "RAY_ADDRESS": nodes.address}.items():
        monkeypatch.setenv(name, value)
    return nodes


@pytest.fixture
def shot(tmp_path: Path) -> tuple[Path, Path]:
    return wandering(tmp_path, FRAMES)


def wandering(parent: Path, count: int) -> tuple[Path, Path]:
    """Make frames that wander over the example, with their trimaps, in two folders."""
    folders = parent / "ein Schuß", parent / "trimaps"
    for folder, source in zip(folders, (EXAMPLE, EXAMPLE_TRIMAP), strict=True):
        (folder / "sub").mkdir(parents=True)
        with Image.open(source) as picture:
            for index in range(count):
                left, top = 600 + 8 * index, 1000
                picture.crop((left, top, left + 200, top + 160)).save(folder / "sub" / f"frame.{index:04d}.png")
    return folders


def started(*arguments: object) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).parent / "ltm-batch"), *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "120", "RAY_AUTH_MODE": "disabled"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def ended(process: "subprocess.Popen[str]") -> Run:
    out, err = process.communicate(timeout=1200)
    return Run(process.returncode, out, err)


def records(folder: Path) -> list[dict[str, Any]]:
    """What the manifest says of frames that were matted: not of those that were found done."""
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    return [record for line in lines if line.endswith("}") and (record := json.loads(line))["pid"]]


def wait_for(
    wanted: int, folder: Path, process: "subprocess.Popen[str]", beside: Collection[int] = ()
) -> list[dict[str, Any]]:
    """Return the records, once there are so many of other processes than those `beside`."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and process.poll() is None:
        if len(found := [record for record in records(folder) if record["pid"] not in beside]) >= wanted:
            return found
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"no {wanted} records: {ended(process)}")


@pytest.mark.slow
@pytest.mark.heavy
def test_no_frame_is_lost(shot: tuple[Path, Path], small_onnx: Path, tmp_path: Path, joined: Nodes) -> None:
    """The driver killed in the middle; resumed, a worker killed in the middle."""
    assert joined
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
    assert f" already done, 0 failed, {small_onnx.name} in 2 x onnxruntime-cpu" in result.out
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
def test_failures_are_tried_again_and_told(
    shot: tuple[Path, Path], mean_onnx: Path, tmp_path: Path, joined: Nodes
) -> None:
    assert joined
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
    other = run("ltm-infer", *shot, "-o", out, "--engine", mean_onnx, "--resume")
    assert_one_line(other, 2, "started with other settings: --background white, now without --background")
    wide = run("ltm-batch", *job, "--cpus-per-actor", "9999")
    assert wide.code == 2
    assert "an actor needs 9999 CPU" in wide.err.splitlines()[-1]
    broken = run("ltm-batch", *shot, "-o", tmp_path / "x", "--engine", tmp_path / "no.onnx", *SPREAD)
    assert broken.code == 1
    assert broken.err.splitlines()[-1].startswith(f"ltm-batch: {tmp_path / 'no.onnx'}: no such")


@pytest.mark.slow
@pytest.mark.heavy
def test_a_machine_joins_and_one_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three machines of one core. The actors of two are stopped while the third joins, so that none ends too early."""
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    count, out, alone = 60, tmp_path / "mattes", tmp_path / "alone"
    shot = wandering(tmp_path, count)
    with cluster(cores=1) as nodes:
        nodes.add(cores=1).wait()
        spread = ("--address", nodes.address, "--cpus-per-actor", "1", "--frames-per-task", "2")
        job = started(*shot, "-o", out, "--engine", TINY_ENGINE, *spread)
        first = wait_for(1, out, job)[0]["pid"]
        os.kill(first, signal.SIGSTOP)
        second = wait_for(1, out, job, {first})[0]["pid"]
        os.kill(second, signal.SIGSTOP)
        head, added = nodes.all
        assert {nodes.of(pid) for pid in (first, second)} == {head, added}, "each machine has an actor"
        late = nodes.add(cores=1).wait()
        third = wait_for(1, out, job, {first, second})[0]["pid"]
        assert late.holds(third)
        assert len(records(out)) < count - 4, "frames are left"
        victim, kept = (first, second) if added.holds(first) else (second, first)
        added.kill()
        os.kill(kept, signal.SIGCONT)
        result = ended(job)
    assert result.code == 0, result
    assert f"{count} of {count} frames" in result.out
    assert " 0 failed, tiny.onnx in 3 x onnxruntime-cpu" in result.out
    made = records(out)
    # An actor that lives answers for all that it mattes: only the killed one can have matted frames that others did.
    assert sorted(record["frame"] for record in made) == [f"sub/frame.{index:04d}" for index in range(count)]
    assert {record["pid"] for record in made} == {victim, kept, third}
    for record in made:
        assert record["failure"] is None
        for path, (size, time_ns) in record["files"].items():
            found = Path(path).stat()
            assert (found.st_size, found.st_mtime_ns) == (size, time_ns), "nobody wrote it again"
    options = ("--engine", TINY_ENGINE, "--threads", "1")
    assert run("ltm-infer", *shot, "-o", alone, *options).code == 0
    assert contents(out) == contents(alone)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("[!.]*.png")}


def job_of(shot: tuple[Path, Path], out: Path, *, engine: str | None = None, background: str | None = None) -> JobSpec:
    output = OutputSpec(alpha=str(out), cutout=None if background is None else f"{out}-cut", background=background)
    return JobSpec(images=str(shot[0]), source=str(shot[1]), output=output, engine=EngineSpec(engine=engine))


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
        make_worker(job_of(shot, tmp_path / "out", engine=str(mean_onnx)))


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
    job = job_of(shot, tmp_path / "out", engine=str(mean_onnx))
    FolderFiles(job)
    keep_settings(tmp_path / "out", {}, None)
    matte = make_worker(job)
    batch = tuple(chosen_frames(job)[0][:6])
    records = {record.frame: record for record in matte(batch)}
    assert set(records) == {frame.name for frame in batch}
    failed = [name for name, record in records.items() if record.failure == "GPU 0: out of memory"]
    assert len(failed) == 3
    for name, record in records.items():
        assert name in failed or list(record.files) == [str(tmp_path / "out" / f"{name}.png")]
    assert [record.failure for record in matte(batch)] == [None] * 6
    assert len(engines) == 2


class Actors:
    """In the place of a cluster: frame 1 fails the first time, frame 2 always, and frame 3 ends its actors."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def run(self, todo: deque[Batch], *_: object) -> Iterator[tuple[Batch, list[Record] | None]]:
        while todo:
            batch = todo.popleft()
            names = tuple(frame.name[-1] for frame in batch)
            self.asked.append(names)
            failing = {"2"} if ("1",) in self.asked else {"1", "2"}
            records = [Record(frame.name, "no" if frame.name[-1] in failing else None, {}, {}) for frame in batch]
            yield batch, None if "3" in names else records


def test_what_fails_is_tried_again_by_itself(shot: tuple[Path, Path], tmp_path: Path) -> None:
    job, actors = job_of(shot, tmp_path / "out"), Actors()
    told: list[JobProgress] = []
    meter = ProgressMeter(told.append)
    meter.begin("frames", 4)
    spread, todo = ClusterSpec(frames_per_task=3), chosen_frames(job)[0][:4]
    (tmp_path / "out").mkdir()
    with contextlib.closing(Manifest(tmp_path / "out", 0)) as manifest:
        pipeline._matte(todo, job, actors, spread, manifest, meter)  # type: ignore[arg-type]
    assert actors.asked == [("0", "1", "2"), ("3",), ("1",), ("2",), ("3",)]
    assert list(meter.failures) == ["sub/frame.0002", "sub/frame.0003"]
    assert "its actors died" in meter.failures["sub/frame.0003"]
    assert (told[-1].done, told[-1].total) == (4, 4)


def test_a_cluster_that_does_not_start_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray raises a plain Exception then, whose text has several sentences."""

    def init(**_: object) -> None:
        raise Exception("The node timed out during startup.\nPerhaps overloaded.")

    monkeypatch.setattr(ray_cluster, "require", lambda *_: SimpleNamespace(init=init))
    words = r"no Ray cluster here that this process can join or start \(The node timed out during startup\.\); start"
    with pytest.raises(DeviceError, match=words), ray_cluster.connected(None):
        pass


def test_without_ray_the_extra_is_named(shot: tuple[Path, Path], tmp_path: Path) -> None:
    without = run("ltm-batch", *shot, "-o", tmp_path / "out", block="ray")
    assert_one_line(without, 1, "matting on a cluster needs ray", "[ray]")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("IMAGES -o out", 2, ("no trimap: give TRIMAPS or --mask",)),
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
