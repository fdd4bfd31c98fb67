"""A job on a Ray cluster: batches of frames go to its actors, which write the files and answer with records."""

import contextlib
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..._optional import require
from ...errors import DeviceError, LiteMattingError, UsageError, first_line
from ...images.background import is_image
from ...runtime.loading import resolved, runs_on_gpu, takes_threads
from ...specs import ClusterSpec, JobSpec
from ..folder import FolderFiles, FolderJob
from ..frames import Frame
from ..outputs import Remarks
from ..progress import JobResult, ProgressMeter, Report
from ..resume import as_begun, keep_settings
from .manifest import Manifest, Record, stamps
from .worker import Actor, Batch, Share, examine, make_worker

Answer = TypeVar("Answer")

_WAIT_S = 30.0
_DEATHS = 3
"""Actors that may end while they work on a batch before it is left alone: what ends more of them is the batch itself,
as a photo that is too large for their memory is."""


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
    job = _for_actors(as_begun(job, Path(job.output.alpha)), int(cluster.cpus))
    if cluster.gpus is None:
        cluster = replace(cluster, gpus=float(runs_on_gpu(job.engine)))
    folder = FolderJob(job, report)
    share = Share(job, folder.frames)
    with connected(cluster.address) as ray:
        fitting = ray.fitting(cluster)
        cluster = replace(cluster, actors=min(cluster.actors or fitting, fitting))
        # An actor's machine is asked: this one may lack the GPU, or the library of the engine.
        settings, engine = ray.ask(cluster, examine, share)
        since_ns = keep_settings(Path(job.output.alpha), settings, job.joins)
        with contextlib.closing(Manifest(Path(job.output.alpha), since_ns)) as manifest:
            todo = folder.unfinished(lambda frame: _is_done(frame, folder.files, manifest, since_ns))
            remarks = _matte(todo, share, ray, cluster, manifest, folder.meter)
    return folder.result(len(todo), f"{cluster.actors} x {engine}", remarks)


def _matte(
    todo: list[Frame], share: Share, ray: "Cluster", cluster: ClusterSpec, manifest: Manifest, meter: ProgressMeter
) -> dict[str, Remarks]:
    """Matte frames; each that fails is tried again by itself, `retries` times. Return the remarks on each."""
    numbers = {frame.name: number for number, frame in enumerate(share.frames)}
    wanted, size = [numbers[frame.name] for frame in todo], cluster.frames_per_task
    batches = deque(tuple(wanted[start : start + size]) for start in range(0, len(wanted), size))
    tries: Counter[str] = Counter()
    remarks = {}
    for batch, records in ray.run(batches, cluster, make_worker, share):
        for record in records or [_left_alone(share.frames[number]) for number in batch]:
            manifest.add(record)
            remarks[record.frame] = record.remarks
            tries[record.frame] += 1
            if record.failure is not None and tries[record.frame] <= cluster.retries:
                batches.append((numbers[record.frame],))
                continue
            if record.failure is None:
                meter.step()
            meter.end(record.frame, record.failure)
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


class Cluster:
    """A Ray cluster that this process is connected to; made by `connected`. Its specs have a number of GPUs."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def fitting(self, each: ClusterSpec) -> int:
        """Return how many actors the machines of the cluster have room for. Raises `UsageError` for none."""
        wanted = {name: amount for name, amount in (("CPU", each.cpus), ("GPU", each.gpus or 0)) if amount > 0}
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        # By machine, since no actor can hold cores of two.
        count = sum(min(int(one.get(name, 0) / amount) for name, amount in wanted.items()) for one in machines)
        if count < 1:
            has = "; ".join(sorted({", ".join(f"{one.get(name, 0):g} {name}" for name in wanted) for one in machines}))
            needs = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
            # Ray would wait for such a machine for ever, since one may join.
            raise UsageError(
                f"an actor needs {needs}, but the machines of the cluster have {has}; choose `cpus` and `gpus` that "
                "one of them has, or the `address` of a larger cluster",
                parameter="cpus",
            )
        return count

    def ask(self, each: ClusterSpec, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns on one of the machines, with an actor's resources; raise what it raises."""
        remote = self._ray.remote(num_cpus=each.cpus, num_gpus=each.gpus, max_retries=1)(function)
        with self._unwrapped():
            answer = remote.remote(*arguments)
            if not self._ray.wait([answer], timeout=_WAIT_S)[0]:
                warnings.warn(f"no answer for {_WAIT_S:g} s; the cluster may be busy: still waiting", stacklevel=2)
            return self._ray.get(answer)

    def run(
        self, todo: deque[Batch], each: ClusterSpec, make: Callable[..., Callable[[Batch], list[Answer]]], *given: Any
    ) -> Iterator[tuple[Batch, list[Answer] | None]]:
        """Yield the answers of the actors for each batch, as they finish it; None for one that has ended its actors.

        todo: the batches, which are taken from it; more may be added while this is iterated. One whose actor dies, or
        whose machine does, goes to another.
        make, given: what gives an actor its worker, once.

        Raises what `make` or a worker raises, if that is ours, or `DeviceError` where Ray itself fails.
        """
        ray, errors = self._ray, self._ray.exceptions
        new_actor = ray.remote(num_cpus=each.cpus, num_gpus=each.gpus)(Actor).remote
        # Stored once: the list of a long job's frames is large, and each new actor would take a copy of it along.
        stored = ray.put(given)
        idle: list[Any] = []
        # What actors have not answered yet, with their batches; None of those that open their engines.
        waited: dict[Any, tuple[Any, Batch | None]] = {}
        deaths: Counter[Batch | None] = Counter()
        with self._unwrapped():
            while True:
                while todo and idle:
                    actor, taken = idle.pop(), todo.popleft()
                    waited[actor.work.remote(taken)] = actor, taken
                opening = sum(batch is None for _, batch in waited.values())
                # An actor takes no batch before it is open: on a cluster that has shrunk it may wait for room forever.
                for _ in range(min(len(todo) - opening, (each.actors or 1) - len(waited))):
                    actor = new_actor(make, stored)
                    waited[actor.open.remote()] = actor, None
                if not todo and len(waited) == opening:
                    return
                (done,), _ = ray.wait(list(waited))
                actor, batch = waited.pop(done)
                try:
                    answers = ray.get(done)
                except errors.RayTaskError:  # raised by our code, not by Ray
                    raise
                except errors.RayError:
                    deaths[batch] += 1
                    # A machine may fail or be taken away; only what ends one actor after another is to blame itself.
                    if deaths[batch] <= _DEATHS:
                        todo.extend([batch] if batch is not None else [])
                        continue
                    if batch is None:
                        raise
                    answers = None
                else:
                    idle.append(actor)
                del deaths[batch]
                if batch is not None:
                    yield batch, answers

    @contextlib.contextmanager
    def _unwrapped(self) -> Iterator[None]:
        """Raise our own errors as the actors raised them, and Ray's in one line without its own text."""
        try:
            yield
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, LiteMattingError):
                raise cause from None
            raise DeviceError(
                f"Ray could not continue ({type(error).__name__}); see its logs. Finished frames are kept: fix this "
                "and continue with `resume`"
            ) from error


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """Connect to a cluster for a while.

    That is the one at `address`, else where RAY_ADDRESS says or one that runs on this machine, else one that is started
    here and ended at the end. Ray usage reporting is disabled, and Ray's log on the terminal reduced. Raises
    `DeviceError`, `DependencyError`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = require("ray", "ray", "matting on a cluster")
    try:
        # Otherwise whatever libraries print in any actor would come to this terminal.
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # no narrower: Ray itself raises it where a machine does not start in time
        where = f"at {address}" if address else "here"
        raise DeviceError(
            f"no Ray cluster {where} that this process can join or start ({first_line(error)}); start its head node "
            "with the command ray start, using the same versions of Ray and Python as here, or leave `address` out"
        ) from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()
