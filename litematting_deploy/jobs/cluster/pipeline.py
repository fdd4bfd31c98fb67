"""A job on a Ray cluster: batches of frames go to its actors, which write the files and answer with records."""

import contextlib
import os
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path

from ...errors import UsageError
from ...images.background import is_image
from ...runtime.loading import resolved, runs_on_gpu, takes_threads
from ...specs import ClusterSpec, JobSpec
from ..folder import FolderJob
from ..folder_files import FolderFiles
from ..frames import Frame
from ..outputs import Remarks
from ..progress import JobResult, ProgressMeter, Report
from ..resume import as_begun, keep_settings
from .manifest import Manifest, Record, stamps
from .ray_cluster import Cluster, connected
from .worker import examine, make_worker


def matte_on_cluster(job: JobSpec, cluster: ClusterSpec = ClusterSpec(), report: Report | None = None) -> JobResult:
    """Matte the photos of a folder or pattern on the machines of a Ray cluster, as `matte_folder` does on this one.

    All machines need this package, and the same files under the same paths. A manifest beside the alphas says what
    came of each frame. A frame that fails is tried again; if it fails again, the error is reported.
    report: is called with the progress of the job.

    Raises `UsageError`, `InputError`, `OutputError`, `DependencyError` without Ray, `DeviceError` where Ray fails, and
    what opening an engine raises.
    """
    for name in job.differing("keyframes", "steady"):
        raise UsageError(
            f"`{name}` needs the frames in order, but a cluster distributes them one by one; process the folder on "
            f"one machine, or leave `{name}` out"
        )
    if job.output.alpha is None:
        raise UsageError(
            "`alpha` must be given to a cluster; previews alone are made on one machine", parameter="alpha"
        )
    job = _for_actors(as_begun(job, Path(job.output.first)), int(cluster.cpus))
    if cluster.gpus is None:
        cluster = replace(cluster, gpus=float(runs_on_gpu(job.engine)))
    folder = FolderJob(job, report)
    with connected(cluster.address) as ray:
        ray.check_fits(cluster)
        # An actor's machine is asked: this one may lack the GPU, or the library of the engine.
        settings, engine = ray.ask(cluster, examine, job)
        since_ns = keep_settings(Path(job.output.first), settings, job.joins)
        with contextlib.closing(Manifest(Path(job.output.first), since_ns)) as manifest:
            todo = folder.unfinished(lambda frame: _is_done(frame, folder.files, manifest, since_ns))
            with folder.saying_what_is_kept():
                remarks = _matte(todo, job, ray, cluster, manifest, folder.meter)
    return folder.result(len(todo), f"{ray.most} x {engine}" if ray.most else engine, remarks)


def _matte(
    todo: list[Frame], job: JobSpec, ray: "Cluster", cluster: ClusterSpec, manifest: Manifest, meter: ProgressMeter
) -> dict[str, Remarks]:
    """Matte frames; each that fails is tried again by itself, `retries` times. Return the remarks on each."""
    size = cluster.frames_per_task
    batches = deque(tuple(todo[start : start + size]) for start in range(0, len(todo), size))
    tries: Counter[str] = Counter()
    remarks: dict[str, Remarks] = {}
    for batch, answers in ray.run(batches, cluster, make_worker, job):
        records = {record.frame: record for record in answers or map(_left_alone, batch)}
        for frame in batch:
            record = records[frame.name]
            manifest.add(record)
            if record.remarks:
                remarks[frame.name] = record.remarks
            tries[frame.name] += 1
            if record.failure is not None and tries[frame.name] <= cluster.retries:
                batches.append((frame,))
                continue
            if record.failure is None:
                meter.written += 1
                meter.step()
            meter.end(frame.name, record.failure)
    return remarks


def _left_alone(frame: Frame) -> Record:
    """Return the record of a frame for which no actor could answer."""
    failure = "its actors died, perhaps because memory ran out; see Ray's logs"
    return Record(frame.name, failure, files={}, sources={})


def _is_done(frame: Frame, files: FolderFiles, manifest: Manifest, since_ns: int) -> bool:
    """Return whether a frame is done: by the manifest, which is quick, else by the files, which a run that was killed
    left out of it."""
    made, sources = files.results(frame).files, files.sources(frame)
    if manifest.is_done(frame.name, made, sources):
        return True
    if not files.is_done(frame, since_ns):
        return False
    manifest.add(Record(frame.name, None, stamps(made), stamps(sources)))
    return True


def _for_actors(job: JobSpec, threads: int) -> JobSpec:
    """Return the job for processes that have working directories of their own, and so many threads each."""
    engine, output = resolved(job.engine), job.output  # once for all actors, so that all frames are alike
    if engine.engine is not None and not engine.is_served:
        engine = replace(engine, engine=os.path.abspath(engine.engine))
    if takes_threads(engine):
        # Ray counts cores and binds nobody to them: ONNX Runtime would take all of the machine's in each actor.
        engine = replace(engine, threads=engine.threads or threads)
    paths = {name: os.path.abspath(path) for name, path in output.named.items()}
    if output.background is not None and is_image(output.background):
        paths["background"] = os.path.abspath(output.background)
    return replace(
        job,
        images=os.path.abspath(job.images),
        source=os.path.abspath(job.source),
        trimap=job.trimap.anywhere(),
        engine=engine,
        output=replace(output, **paths),  # type: ignore[arg-type]  # its own fields
    )
