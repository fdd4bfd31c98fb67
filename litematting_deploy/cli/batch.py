"""ltm-batch: a folder of photos on the machines of a Ray cluster."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..engines.triton import is_url
from ..images.background import is_image
from ..jobs.cluster.manifest import Manifest, stamps
from ..jobs.cluster.pipeline import Cluster, Record, Resources, connected
from ..jobs.frames import Frame, Sources
from ..jobs.run import Done, unfinished
from ..jobs.settings import keep_settings
from ..runtime.loading import TENSORRT_SUFFIX
from ._batch_worker import Job, examine, worker
from ._engine import engine_options
from ._folder import chosen_frames, folder_options, say_count, say_missing, say_unsure
from ._folder_files import FolderFiles
from ._folder_progress import FolderProgress, folder_progress
from ._plan import plan_options
from ._results import result_options
from ._trimap import check_some_unknown, trimap_options, trimap_source
from .command import command, max_megapixels_option, notice, stdout


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
    source = trimap_source(trimaps, options)
    address, resume, retries = (options.pop(name) for name in ("address", "resume", "retries"))
    spread = {name: options.pop(name) for name in ("actors", "cpus", "gpus", "frames_per_task")}
    check_some_unknown(images, source, options)
    job, missing, sources = _job(images, source, output, options, int(spread["cpus"]))
    files = job.files()
    files.check(job.frames)
    if resume:
        files.remove_old_drafts(job.frames)
    with connected(address) as cluster, folder_progress("ltm-batch", say_missing(images, missing)) as progress:
        farm = _Farm(cluster, _resources(spread, options), spread["actors"], spread["frames_per_task"])
        settings, engine = cluster.ask(farm.each, examine, job, resume)
        since_ns = keep_settings(Path(job.output), settings, resume)
        with contextlib.closing(Manifest(Path(job.output), since_ns)) as manifest:
            todo = list(range(len(job.frames)))
            if resume:
                looked_at = progress.begin("looking", len(todo))
                todo = unfinished(todo, lambda n: _is_done(files, manifest, job.frames[n], since_ns), looked_at)
            farm.run(job, todo, retries, manifest, progress)
    failed, seconds = len(progress.failures), time.perf_counter() - started
    skipped = f", {len(job.frames) - len(todo)} were done" if resume else ""
    for note in sources.notes:
        notice(f"ltm-batch: {note}")
    stdout.print(
        f"{output}: {len(todo) - failed} of {len(job.frames)} frames in {seconds:.1f} s{skipped}, "
        f"{failed} failed{say_count(missing)}{sources.counts}, {farm.actors} x {engine}{say_unsure(farm.unsure)}",
        markup=False,
        soft_wrap=True,
    )
    return 1 if failed or missing else 0


class _Farm:
    """Actors of a cluster, and the frames that they have yet to do."""

    def __init__(self, cluster: Cluster, each: Resources, actors: int | None, at_once: int) -> None:
        fitting = cluster.fitting(each)
        self.each, self.actors = each, min(actors or fitting, fitting)
        self._cluster, self._at_once = cluster, at_once
        self.unsure: dict[str, str] = {}

    def run(self, job: Job, todo: list[int], retries: int, manifest: Manifest, progress: FolderProgress) -> None:
        """Matte the frames of these numbers; those that fail once more, so many times, and one by one."""
        progress.begin("frames", len(todo))
        at_once = self._at_once
        for left in range(retries, -1, -1):
            again = []
            for number, record in self._records(job, todo, at_once):
                manifest.add(record)
                if record.get("unsure"):
                    self.unsure[record["frame"]] = record["unsure"]
                if record["failure"] is None:
                    progress.matted()
                elif left:
                    again.append(number)
                    continue
                progress.over(Done(job.frames[number], record["failure"]))
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


def _job(
    images: str, source: str, output: str, options: dict[str, Any], threads: int
) -> tuple[Job, list[int], Sources]:
    """The job with absolute paths, for actors have working directories of their own; which frames are missing; and all
    that was found."""
    images, source, output = map(os.path.abspath, (images, source, output))
    frames, missing, sources = chosen_frames(images, source, options)
    for name in ("cutout", "foreground", "preview", "engine", "background"):
        value = options[name]
        if value is not None and not is_url(value) and (name != "background" or is_image(value)):
            options[name] = os.path.abspath(value)
    return Job(frames, (images, source), output, options, threads), missing, sources


def _resources(spread: dict[str, Any], options: dict[str, Any]) -> Resources:
    engine, device = options["engine"] or "", options["device"]
    on_gpu = Path(engine).suffix.lower() == TENSORRT_SUFFIX if device is None else device != "cpu"
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
