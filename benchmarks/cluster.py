"""What a job of many frames costs the machine that hands them out, and the manifest, whatever the engines take.

python -m benchmarks.cluster [--frames 100000] [--parts writing reading] [--json benchmarks/results/NAME.json]

The photos are empty files. In the place of engines two stand-ins write empty results, so that all that is left is
what `ltm-batch` does itself: finding frames, handing them out, writing them down, and finding what is done on a resume.
Each part runs in a process of its own.
"""

import argparse
import contextlib
import importlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import psutil

from litematting_deploy.benchmarks import environment
from litematting_deploy.files import make_folder
from litematting_deploy.jobs.cluster import pipeline
from litematting_deploy.jobs.cluster.manifest import NAME, Manifest, Record, stamps
from litematting_deploy.jobs.folder import FolderJob
from litematting_deploy.jobs.folder_files import FolderFiles
from litematting_deploy.jobs.frames import Frame
from litematting_deploy.jobs.progress import JobProgress
from litematting_deploy.specs import ClusterSpec, JobSpec, OutputSpec, PlanSpec

SHOT = 1000
ACTORS = 2
MB = 1e6

Figures: TypeAlias = dict[str, float]
Part: TypeAlias = Callable[[str, int], Figures]


def job_in(folder: str, *, resume: bool = False) -> JobSpec:
    output, plan = OutputSpec(alpha=f"{folder}/mattes"), PlanSpec(refine=False)
    return JobSpec(images=f"{folder}/photos", source=f"{folder}/trimaps", output=output, plan=plan, resume=resume)


def make_sources(folder: str, count: int) -> None:
    """Make empty photos and trimaps, a thousand to a sub-folder."""
    for index in range(count):
        for kind in ("photos", "trimaps"):
            path = Path(folder, kind, f"shot{index // SHOT:04d}", f"frame.{index % SHOT:04d}.png")
            if index % SHOT == 0:
                path.parent.mkdir(parents=True)
            path.touch()


class Meter:
    """Measures what this process takes from when it is made."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before_bytes = self._process.memory_info().rss
        self._began_s, self._cpu_s = time.perf_counter(), time.process_time()

    def figures(self) -> Figures:
        """Return wall and processor seconds, and by how many MB this process has grown."""
        return {
            "wall_s": time.perf_counter() - self._began_s,
            "cpu_s": time.process_time() - self._cpu_s,
            "mb": (self._process.memory_info().rss - self._before_bytes) / MB,
        }


def record_of(frame: Frame, files: FolderFiles) -> Record:
    """Write the results of a frame, empty, and return its record."""
    results = files.results(frame)
    for path in results.files:
        make_folder(Path(path).parent)
        Path(path).touch()
    return Record(frame.name, None, stamps(results.files), stamps(files.sources(frame)), host="a-machine", pid=12345)


def writing(folder: str, count: int) -> Figures:
    """Write records of made-up frames, one after another."""
    stamp = (1_000_000, time.time_ns())
    records = [
        Record(
            name := f"shot{index // SHOT:04d}/frame.{index % SHOT:04d}",
            None,
            files={f"{folder}/mattes/{name}.png": stamp},
            sources={f"{folder}/photos/{name}.png": stamp, f"{folder}/trimaps/{name}.png": stamp},
            host="machine-0001",
            pid=12345,
        )
        for index in range(count)
    ]
    with contextlib.closing(Manifest(Path(folder), 0)) as manifest:
        meter = Meter()
        for record in records:
            manifest.add(record)
        return {**meter.figures(), "file_mb": manifest.path.stat().st_size / MB}


def reading(folder: str, _: int) -> Figures:
    """Read what `writing` has written, as a job that is resumed does."""
    meter = Meter()
    with contextlib.closing(Manifest(Path(folder), 0)):
        return meter.figures()


def finding(folder: str, count: int) -> Figures:
    make_sources(folder, count)
    meter = Meter()
    job = FolderJob(job_in(folder), None)
    found = meter.figures()
    with contextlib.closing(Manifest(Path(folder, "mattes"), 0)) as manifest:
        for frame in job.frames:
            manifest.add(record_of(frame, job.files))
    return found


def resuming(folder: str, _: int) -> Figures:
    """Find that all frames are done that `finding` has found and made."""
    meter = Meter()
    job = FolderJob(job_in(folder, resume=True), None)
    with contextlib.closing(Manifest(Path(folder, "mattes"), 0)) as manifest:
        todo = job.unfinished(lambda frame: pipeline._is_done(frame, job.files, manifest, 0))
        assert not todo, f"{len(todo)} of {len(job.frames)} frames are not found done"
        return meter.figures()


def stand_in(job: JobSpec) -> Callable[[tuple[Frame, ...]], list[Record]]:
    """In the place of `worker.make_worker`."""
    files = FolderFiles(job)
    return lambda frames: [record_of(frame, files) for frame in frames]


def examined(_: JobSpec) -> tuple[dict[str, Any], str]:
    """In the place of `worker.examine`."""
    return {}, "stand-in"


def rays() -> dict[str, Figures]:
    """Return what Ray's own processes have taken: the table of the cluster, and the node's."""
    found = {}
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            name, times = one.name(), one.cpu_times()
            if name in ("gcs_server", "raylet"):
                found[name] = {"cpu_s": times.user + times.system, "mb": one.memory_info().rss / MB}
    return found


def handing_out(folder: str, _: int) -> Figures:
    """Run the job, and tell apart what happens before the first frame is done and from then on."""
    Path(folder, "mattes", NAME).unlink()
    meters: list[Meter] = []
    seen: dict[str, Any] = {}  # figures of the job, and Ray's before and after

    def report(progress: JobProgress) -> None:
        if progress.ended is not None and not meters:
            meters.append(Meter())
            seen["before"] = rays()
        if progress.ended is not None and progress.done == progress.total:
            seen["job"], seen["after"] = meters[0].figures(), rays()

    with mock.patch.multiple(pipeline, examine=examined, make_worker=stand_in):
        result = pipeline.matte_on_cluster(job_in(folder), ClusterSpec(actors=ACTORS, cpus=1, gpus=0), report)
    assert not result.failures
    before, after = seen["before"], seen["after"]
    grown = {f"{name}_{key}": value - before[name][key] for name in after for key, value in after[name].items()}
    return {**seen["job"], **grown}


def measured(part: Part, folder: str, count: int) -> Figures:
    """Return what a part takes in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part, folder, count).result()


PARTS: dict[str, Part] = {part.__name__: part for part in (writing, reading, finding, resuming, handing_out)}
"""In this order: `reading` reads what `writing` wrote, and the last two go on with what `finding` has made."""


def main() -> None:
    parser = argparse.ArgumentParser(description="What a job of many frames costs beside its engines.")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    described = environment.describe()
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.parts:
            found[name] = measured(PARTS[name], folder, given.frames)
            figures = ", ".join(f"{key} {value:.1f}" for key, value in found[name].items())
            print(f"{given.frames} frames, {name}: {figures}", flush=True)
    if given.json is not None:
        content = {"environment": described, "frames": given.frames, "parts": found}
        given.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    # Ray's workers import the stand-ins by this module's name; `__main__` is another one there.
    importlib.import_module("benchmarks.cluster").main()
