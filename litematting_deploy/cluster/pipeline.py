"""A job as a Ray Data pipeline: numbers of frames go in, files come out where the actors write them."""

import contextlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .._optional import require
from ..errors import DeviceError, LiteMattingError, UsageError, first_line

Record = dict[str, Any]
"""What an actor says of a frame: `frame`, its name, and whatever else, of JSON's types."""

Worker = Callable[[Sequence[int]], list[Record]]
"""What an actor does: matte the frames of these numbers and say what came of each."""


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
        """How many actors the cluster has room for now. Raises `UsageError` for none."""
        total = self._ray.cluster_resources()
        wanted = {name: amount for name, amount in (("CPU", each.cpus), ("GPU", each.gpus)) if amount > 0}
        count = min(int(total.get(name, 0) / amount) for name, amount in wanted.items())
        if count < 1:
            has = ", ".join(f"{total.get(name, 0):g} {name}" for name in wanted)
            needs = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
            raise UsageError(
                f"an actor holds {needs}, the cluster has {has}; give --cpus-per-actor and --gpus-per-actor that fit, "
                "or --address of a larger cluster"
            )
        return count

    def ask(self, each: Resources, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function says on one of the machines, with an actor's resources; raises what it raises."""
        remote = self._ray.remote(num_cpus=each.cpus, num_gpus=each.gpus, max_retries=1)(function)
        with self._unwrapped():
            return self._ray.get(remote.remote(*arguments))

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
        actor that dies are handed to another. Raises what a worker raises, or `DeviceError` where Ray itself fails.
        """
        data = self._ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        rows = data.from_items([{"number": n} for n in numbers], override_num_blocks=math.ceil(len(numbers) / batch))
        records = rows.map_batches(
            _Actor,
            fn_constructor_args=(make, arguments),
            batch_size=None,
            compute=data.ActorPoolStrategy(size=min(actors, math.ceil(len(numbers) / batch))),
            num_cpus=each.cpus,
            num_gpus=each.gpus,
        )
        with self._unwrapped():
            for block in records.iter_batches(batch_size=None, prefetch_batches=0):
                yield from map(json.loads, block["record"])

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


class _Actor:
    def __init__(self, make: Callable[..., Worker], arguments: tuple[Any, ...]) -> None:
        self._worker = make(*arguments)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        return {"record": [json.dumps(record) for record in self._worker(batch["number"].tolist())]}


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """A cluster: at `address`, else where RAY_ADDRESS says or one that runs on this machine, else one made here and
    ended at the end. Nothing is told to Ray's makers, and little to
    the terminal. Raises `DeviceError`, `DependencyError`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = require("ray", "ray", "ltm-batch")
    require("ray.data", "ray", "ltm-batch")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "here"
        raise DeviceError(f"no Ray cluster {where}: {first_line(error)}; start one with: ray start --head") from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()
