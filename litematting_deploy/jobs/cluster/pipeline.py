"""A job as a Ray Data pipeline: numbers of frames go in, files come out where the actors write them."""

import contextlib
import json
import logging
import math
import os
import socket
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ... import errors
from ..._optional import require
from ...errors import DeviceError, LiteMattingError, UsageError, first_line

Record = dict[str, Any]
"""What an actor says of a frame: `frame`, its name, and whatever else, of JSON's types."""

Worker = Callable[[Sequence[int]], list[Record]]
"""What an actor does: matte the frames of these numbers and say what came of each."""

_DEATHS = 3
"""Of actors, after which a batch is begun again; one that outlives more of them is what kills them."""
_WAIT_S = 30.0
_ENDS, _SAYS = "error", "message"  # of a record that ends the job


@dataclass(frozen=True)
class Resources:
    """Of each actor: how many CPU cores and GPUs of the cluster it holds. A part of a GPU shares it."""

    cpus: float
    gpus: float


class Cluster:
    """A Ray cluster that this process is connected to; made by `connected`."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def fitting(self, each: Resources) -> int:
        """How many actors the machines of the cluster have room for. Raises `UsageError` for none."""
        wanted = {name: amount for name, amount in (("CPU", each.cpus), ("GPU", each.gpus)) if amount > 0}
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        count = sum(min(int(one.get(name, 0) / amount) for name, amount in wanted.items()) for one in machines)
        if count < 1:
            has = "; ".join(sorted({", ".join(f"{one.get(name, 0):g} {name}" for name in wanted) for one in machines}))
            needs = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
            raise UsageError(
                f"an actor holds {needs}, the machines of the cluster have {has}; give --cpus-per-actor and "
                "--gpus-per-actor that one of them has, or --address of a larger cluster"
            )
        return count

    def ask(self, each: Resources, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function says on one of the machines, with an actor's resources; raises what it raises."""
        remote = self._ray.remote(num_cpus=each.cpus, num_gpus=each.gpus, max_retries=1)(function)
        with self._unwrapped():
            answer = remote.remote(*arguments)
            if not self._ray.wait([answer], timeout=_WAIT_S)[0]:
                warnings.warn(f"no answer for {_WAIT_S:g} s: the cluster may have no room yet; waiting", stacklevel=2)
            return self._ray.get(answer)

    def run(
        self,
        numbers: Sequence[int],
        each: Resources,
        actors: int,
        batch: int,
        make: Callable[..., Worker],
        *arguments: Any,
    ) -> Iterator[Record]:
        """What the actors say of each frame, as they are done with it.

        make, arguments: what gives an actor its worker, once. batch: frames handed to an actor at a time; those of an
        actor that dies are handed to another. Nothing is said of frames that kill one actor after another. Raises what
        `make` or a worker raises, if that is ours, or `DeviceError` where Ray itself fails.
        """
        data = self._ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = -1  # a batch of large photos may take longer than any limit
        attempts = self._ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Attempts).remote()
        rows = data.from_items([{"number": n} for n in numbers], override_num_blocks=math.ceil(len(numbers) / batch))
        records = rows.map_batches(
            _Actor,
            fn_constructor_args=(attempts, make, arguments),
            batch_size=None,
            compute=data.ActorPoolStrategy(  # one task each: those that wait for an actor die with it
                size=min(actors, math.ceil(len(numbers) / batch)), max_tasks_in_flight_per_actor=1
            ),
            num_cpus=each.cpus,
            num_gpus=each.gpus,
        )
        with self._unwrapped():
            for block in records.iter_batches(batch_size=None, prefetch_batches=0):
                for record in map(json.loads, block["record"]):
                    if _ENDS in record:
                        raise getattr(errors, record[_ENDS])(record[_SAYS])
                    yield record

    @contextlib.contextmanager
    def _unwrapped(self) -> Iterator[None]:
        """Our own errors as the actors raised them, Ray's in one line."""
        ray_error = self._ray.exceptions.RayError
        try:
            yield
        except ray_error as error:
            cause: BaseException | None = error
            while cause is not None and (isinstance(cause, ray_error) or not isinstance(cause, LiteMattingError)):
                cause = getattr(cause, "cause", None) or cause.__cause__  # an error of ours is inside of Ray's twins
            if cause is not None:
                raise cause from None
            raise DeviceError(f"Ray could not go on: {first_line(error)}; what is done is kept, --resume") from error


class _Attempts:
    """How often each batch was begun: Ray hands one that ends its actors to the next without end."""

    def __init__(self) -> None:
        self._begun: Counter[tuple[int, ...]] = Counter()

    def begin(self, numbers: tuple[int, ...]) -> int:
        self._begun[numbers] += 1
        return self._begun[numbers]


class _Actor:
    """Our own errors come back as records: Ray keeps neither their type nor, of a constructor's, their text."""

    def __init__(self, attempts: Any, make: Callable[..., Worker], arguments: tuple[Any, ...]) -> None:
        self._attempts = attempts
        self._broken: list[Record] = []
        try:
            self._worker = make(*arguments)
        except LiteMattingError as error:
            self._broken = [_ending(error)]

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        ray: Any = require("ray", "ray", "an actor")

        numbers = batch["number"].tolist()
        if ray.get(self._attempts.begin.remote(tuple(numbers))) > 1 + _DEATHS:
            return {"record": []}
        try:
            records = self._broken or self._worker(numbers)
        except LiteMattingError as error:
            records = [_ending(error)]
        return {"record": [json.dumps(record) for record in records]}


def _ending(error: LiteMattingError) -> Record:
    return {_ENDS: type(error).__name__, _SAYS: f"on {socket.gethostname()}: {error}"}


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """A cluster: at `address`, else where RAY_ADDRESS says or one that runs on this machine, else one made here and
    ended at the end. Nothing is told to Ray's makers, and little to
    the terminal. Raises `DeviceError`, `DependencyError`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = require("ray", "ray", "ltm-batch")
    require("ray.data", "ray", "ltm-batch")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it says of a task, we say of its frames
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "here"
        raise DeviceError(f"no Ray cluster {where}: {first_line(error)}; start one with: ray start --head") from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()
