"""A job as a Ray Data pipeline: numbers of frames go in, and the actors of a cluster write the files."""

import contextlib
import json
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import errors
from ..._optional import require
from ...errors import DeviceError, LiteMattingError, UsageError
from ...images.background import is_image
from ...runtime.loading import resolved, runs_on_gpu, takes_threads
from ...schema import convert
from ...specs import ClusterSpec, JobSpec
from ..folder import FolderFiles, FolderJob
from ..frames import Frame
from ..outputs import Remarks
from ..progress import JobResult, ProgressMeter, Report
from ..resume import keep_settings
from .manifest import Manifest, Record, stamps
from .worker import ENDS, SAYS, Actor, Answer, Attempts, Share, Worker, examine, make_worker

_WAIT_S = 30.0


def matte_on_cluster(job: JobSpec, cluster: ClusterSpec = ClusterSpec(), report: Report | None = None) -> JobResult:
    """Matte the photos of a folder or pattern on the machines of a Ray cluster, as `matte_folder` does on this one.

    All machines need this package, and the same files under the same paths. A manifest beside the alphas says what
    came of each frame. A frame that fails is tried again; if it fails again, the error is reported.
    report: is called with the progress of the job.

    Raises `UsageError`, `InputError`, `OutputError`, `DependencyError` without Ray, `DeviceError` where Ray fails, and
    what opening an engine raises.
    """
    job = _for_actors(job, int(cluster.cpus))
    if cluster.gpus is None:
        cluster = replace(cluster, gpus=float(runs_on_gpu(job.engine)))
    folder = FolderJob(job, report)
    share = Share(job, folder.frames)
    with connected(cluster.address) as ray:
        fitting = ray.fitting(cluster)
        cluster = replace(cluster, actors=min(cluster.actors or fitting, fitting))
        settings, engine = ray.ask(cluster, examine, share)
        since_ns = keep_settings(Path(job.output.alpha), settings, job.resume)
        with contextlib.closing(Manifest(Path(job.output.alpha), since_ns)) as manifest:
            todo = folder.unfinished(lambda frame: _is_done(frame, folder.files, manifest, since_ns))
            remarks = _matte(todo, share, ray, cluster, manifest, folder.meter)
    return folder.result(len(todo), f"{cluster.actors} x {engine}", remarks)


def _matte(
    todo: list[Frame], share: Share, ray: "Cluster", cluster: ClusterSpec, manifest: Manifest, meter: ProgressMeter
) -> dict[str, Remarks]:
    """Matte frames; those that fail once more, `retries` times, one by one. Return the remarks on each."""
    numbers = {frame.name: number for number, frame in enumerate(share.frames)}
    names, remarks = [frame.name for frame in todo], {}
    for left in range(cluster.retries, -1, -1):
        again = []
        for record in _outcomes({name: numbers[name] for name in names}, share, ray, cluster):
            manifest.add(record)
            remarks[record.frame] = record.remarks
            if record.failure is not None and left:
                again.append(record.frame)
                continue
            if record.failure is None:
                meter.step()
            meter.end(record.frame, record.failure)
        names, cluster = again, replace(cluster, frames_per_task=1)
    return remarks


def _outcomes(numbers: dict[str, int], share: Share, ray: "Cluster", cluster: ClusterSpec) -> Iterator[Record]:
    """Yield the outcome of each of these frames."""
    unanswered = dict.fromkeys(numbers)
    if numbers:
        for answer in ray.run(list(numbers.values()), cluster, make_worker, share):
            record = convert(answer, Record, name="a record", place="the answer of an actor", error=DeviceError)
            del unanswered[record.frame]
            yield record
    for name in unanswered:
        failure = "the actors that were to matte it ended, perhaps out of memory; Ray's logs say more"
        yield Record(name, failure, files={}, sources={})


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
        engine = replace(engine, threads=threads)
    paths = {name: os.path.abspath(path) for name, path in output.named.items()}
    if output.background is not None and is_image(output.background):
        paths["background"] = os.path.abspath(output.background)
    return replace(
        job,
        images=os.path.abspath(job.images),
        source=os.path.abspath(job.source),
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
        count = sum(min(int(one.get(name, 0) / amount) for name, amount in wanted.items()) for one in machines)
        if count < 1:
            has = "; ".join(sorted({", ".join(f"{one.get(name, 0):g} {name}" for name in wanted) for one in machines}))
            needs = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
            raise UsageError(
                f"an actor holds {needs}, the machines of the cluster have {has}; give `cpus` and `gpus` that one of "
                "them has, or the `address` of a larger cluster",
                parameter="cpus",
            )
        return count

    def ask(self, each: ClusterSpec, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns on one of the machines, with an actor's resources; raise what it raises."""
        remote = self._ray.remote(num_cpus=each.cpus, num_gpus=each.gpus, max_retries=1)(function)
        with self._unwrapped():
            answer = remote.remote(*arguments)
            if not self._ray.wait([answer], timeout=_WAIT_S)[0]:
                warnings.warn(f"no answer for {_WAIT_S:g} s: the cluster may have no room yet; waiting", stacklevel=2)
            return self._ray.get(answer)

    def run(
        self, numbers: Sequence[int], each: ClusterSpec, make: Callable[..., Worker], *arguments: Any
    ) -> Iterator[Answer]:
        """Yield what the actors answer for each frame, as they finish it.

        Nothing is answered for frames that kill one actor after another.
        numbers: of the frames; `frames_per_task` of them are handed to an actor at a time, and those of an actor that
        dies to another.
        make, arguments: what gives an actor its worker, once.

        Raises what `make` or a worker raises, if that is ours, or `DeviceError` where Ray itself fails.
        """
        data = self._ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = -1  # a batch of large photos may take longer than any limit
        attempts = self._ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Attempts).remote()
        batches = math.ceil(len(numbers) / each.frames_per_task)
        answers = data.from_items([{"number": n} for n in numbers], override_num_blocks=batches).map_batches(
            Actor,
            fn_constructor_args=(attempts, make, arguments),
            batch_size=None,
            compute=data.ActorPoolStrategy(  # one task each: those that wait for an actor die with it
                size=min(each.actors or 1, batches), max_tasks_in_flight_per_actor=1
            ),
            num_cpus=each.cpus,
            num_gpus=each.gpus,
        )
        with self._unwrapped():
            for block in answers.iter_batches(batch_size=None, prefetch_batches=0):
                for answer in map(json.loads, block["answer"]):
                    if ENDS in answer:
                        raise getattr(errors, answer[ENDS])(answer[SAYS])
                    yield answer

    @contextlib.contextmanager
    def _unwrapped(self) -> Iterator[None]:
        """Raise our own errors as the actors raised them, and Ray's in one line without its own text."""
        ray_error = self._ray.exceptions.RayError
        try:
            yield
        except ray_error as error:
            # Ray wraps an error in others, under `cause` or `__cause__`.
            cause: BaseException | None = error
            while cause is not None and (isinstance(cause, ray_error) or not isinstance(cause, LiteMattingError)):
                cause = getattr(cause, "cause", None) or cause.__cause__  # an error of ours is inside of Ray's twins
            if cause is not None:
                raise cause from None
            raise DeviceError(
                f"Ray could not go on ({type(error).__name__}), as its logs say; what is done is kept: mend that, and "
                "go on with `resume`"
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
    require("ray.data", "ray", "matting on a cluster")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it says of a task, we say of its frames
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "here"
        raise DeviceError(
            f"no Ray cluster {where} that this process can join ({type(error).__name__}); start its head with the "
            "command ray start, with the same versions of Ray and Python as here, or leave `address` out"
        ) from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()
