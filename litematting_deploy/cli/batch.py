"""ltm-batch: a folder of photos on the machines of a Ray cluster."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..images.background import is_image
from ..jobs.cluster.manifest import Manifest, stamps
from ..jobs.cluster.pipeline import Cluster, Record, Resources, connected
from ..jobs.folder import JobResult, check_sequence, chosen_frames, say_missing
from ..jobs.folder_files import FolderFiles
from ..jobs.frames import Frame
from ..jobs.progress import ProgressMeter
from ..jobs.remarks import Remarks, notes, say_unsure
from ..jobs.run import unfinished
from ..jobs.settings import keep_settings
from ..runtime.loading import TENSORRT_SUFFIX, is_onnx_on_host
from ..specs import EngineSpec, JobSpec
from ._batch_worker import Job, examine, worker
from .command import command, notice, stdout
from .infer import summary
from .options import (
    engine_options,
    folder_options,
    job_spec,
    max_megapixels_option,
    plan_options,
    result_options,
    trimap_options,
)
from .progress import JobBar


@command("ltm-batch")
@click.argument("images")
@click.argument("trimaps", required=False)
@click.option("-o", "--output", required=True, metavar="OUT", help="The folder of the alphas.")
@trimap_options
@result_options
@engine_options
@plan_options
@folder_options
@click.option("--address", metavar="HOST:PORT", help="Of a Ray cluster.  [default: $RAY_ADDRESS, or this machine]")
@click.option("--actors", type=click.IntRange(min=1), help="Engines at work.  [default: as many as the cluster holds]")
@click.option(
    "--cpus-per-actor",
    "cpus",
    type=click.FloatRange(min=1),
    default=2,
    show_default=True,
    help="Cores an actor holds; so many threads an ONNX on the CPU has.",
)
@click.option(
    "--gpus-per-actor",
    "gpus",
    type=click.FloatRange(min=0),
    help="GPUs an actor holds; 0.5 lets two share one.  [default: 1 with --device cuda or an .engine, else 0]",
)
@click.option(
    "--frames-per-task",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Frames handed to an actor at a time; those of one that dies are begun again.",
)
@click.option("--retries", type=click.IntRange(min=0), default=1, show_default=True, help="Of a frame that fails.")
@max_megapixels_option
def main(images: str, trimaps: str | None, output: str, **options: Any) -> int:
    """Matte the folder or pattern IMAGES as ltm-infer does, on the machines of a Ray cluster.

    All machines need this package, and the same files under the same paths, as on a network drive. OUT/manifest.jsonl
    says what came of each frame and where; --resume goes on with what it leaves. A frame that fails is tried again,
    then told at the end; the exit code is 1 then.
    """
    started = time.perf_counter()
    address, retries = options.pop("address"), options.pop("retries")
    spread = {name: options.pop(name) for name in ("actors", "cpus", "gpus", "frames_per_task")}
    spec = _absolute(job_spec(images, trimaps, output, options), int(spread["cpus"]))
    frames, missing, sources = chosen_frames(spec)
    check_sequence(spec)
    job = Job(spec, frames)
    files = FolderFiles(spec)
    files.check(job.frames)
    if spec.resume:
        files.remove_old_drafts(job.frames)
    with connected(address) as cluster, JobBar("ltm-batch") as bar:
        if missing:
            bar.failures.append(say_missing(images, missing))
        meter = ProgressMeter(bar)
        farm = _Farm(cluster, _resources(spread, spec.engine), spread["actors"], spread["frames_per_task"])
        settings, engine = cluster.ask(farm.each, examine, job)
        since_ns = keep_settings(Path(spec.output.alpha), settings, spec.resume)
        with contextlib.closing(Manifest(Path(spec.output.alpha), since_ns)) as manifest:
            todo = list(range(len(job.frames)))
            if spec.resume:
                meter.begin("looking", len(todo))
                todo = unfinished(todo, lambda n: _is_done(files, manifest, job.frames[n], since_ns), meter.step)
            farm.run(job, todo, retries, manifest, meter)
    for note in (*sources.notes, *notes(farm.remarks)):
        notice(f"ltm-batch: {note}")
    result = JobResult(
        total=len(job.frames),
        tried=len(todo),
        seconds=time.perf_counter() - started,
        engine=engine,
        failures=meter.failures,
        missing=tuple(missing),
        remarks=farm.remarks,
        left_over=sources.counts,
    )
    stdout.print(
        f"{output}: {summary(spec, result)}, {farm.actors} x {engine}{say_unsure(farm.remarks)}",
        markup=False,
        soft_wrap=True,
    )
    return 1 if result.failures or missing else 0


class _Farm:
    """Actors of a cluster, and the frames that they have yet to do."""

    def __init__(self, cluster: Cluster, each: Resources, actors: int | None, at_once: int) -> None:
        fitting = cluster.fitting(each)
        self.each, self.actors = each, min(actors or fitting, fitting)
        self._cluster, self._at_once = cluster, at_once
        self.remarks: dict[str, Remarks] = {}

    def run(self, job: Job, todo: list[int], retries: int, manifest: Manifest, meter: ProgressMeter) -> None:
        """Matte the frames of these numbers; those that fail once more, so many times, and one by one."""
        meter.begin("frames", len(todo))
        at_once = self._at_once
        for left in range(retries, -1, -1):
            again = []
            for number, record in self._records(job, todo, at_once):
                manifest.add(record)
                self.remarks[record["frame"]] = Remarks(**record.get("remarks", {}))
                if record["failure"] is None:
                    meter.step()
                elif left:
                    again.append(number)
                    continue
                meter.end(record["frame"], record["failure"])
            todo, at_once = again, 1

    def _records(self, job: Job, todo: list[int], at_once: int) -> Iterator[tuple[int, Record]]:
        """What came of each of these frames, with its number."""
        numbers = {job.frames[number].name: number for number in todo}
        answered = set()
        if todo:
            for record in self._cluster.run(todo, self.each, self.actors, at_once, worker, job):
                answered.add(record["frame"])
                yield numbers[record["frame"]], record
        for name, number in numbers.items():
            if name not in answered:
                failure = "the actors that were to matte it ended, perhaps out of memory; Ray's logs say more"
                yield number, {"frame": name, "failure": failure, "files": {}, "sources": {}}


def _absolute(spec: JobSpec, threads: int) -> JobSpec:
    """The job with absolute paths, for actors have working directories of their own, and their threads."""
    spec = spec.absolute()
    engine, background = spec.engine, spec.output.background
    if engine.engine is not None and not engine.is_served:
        engine = replace(engine, engine=os.path.abspath(engine.engine))
    if is_onnx_on_host(engine.engine, engine.device):
        engine = replace(engine, threads=threads)
    if background is not None and is_image(background):
        background = os.path.abspath(background)
    return replace(spec, engine=engine, output=replace(spec.output, background=background))


def _resources(spread: dict[str, Any], engine: EngineSpec) -> Resources:
    path, device = engine.engine or "", engine.device
    on_gpu = Path(path).suffix.lower() == TENSORRT_SUFFIX if device is None else device != "cpu"
    return Resources(spread["cpus"], float(on_gpu) if spread["gpus"] is None else spread["gpus"])


def _is_done(files: FolderFiles, manifest: Manifest, frame: Frame, since_ns: int) -> bool:
    """By the manifest, which is quick; else by the files, which a run that was killed left out of it."""
    made, sources = files.results(frame).files, files.sources(frame)
    if manifest.is_done(frame.name, made, sources):
        return True
    if not files.is_done(frame, since_ns):
        return False
    manifest.add({"frame": frame.name, "failure": None, "files": stamps(made), "sources": stamps(sources)})
    return True


if __name__ == "__main__":
    main()
