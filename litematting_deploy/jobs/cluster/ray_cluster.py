"""A Ray cluster: actors, and batches of items that go to them."""

import contextlib
import math
import os
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

from ..._optional import require
from ...errors import DeviceError, LiteMattingError, UsageError, first_line
from ...specs import ClusterSpec
from .worker import Actor

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Make: TypeAlias = Callable[..., Callable[[tuple[Item, ...]], list[Answer]]]
"""Gives an actor its worker, which answers for the items of a batch."""

_WAIT_S = 30.0
_LOOK_S = 5.0
"""How often is looked for machines that have joined the cluster or left it."""

_DEATHS = 3
"""Actors that may end while they work on a batch before it is left alone: what ends more of them is the batch itself,
as a photo that is too large for their memory is."""


class Cluster:
    """A Ray cluster that this process is connected to; made by `connected`. Its specs have a number of GPUs.

    most: how many actors have been open at once.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self.most = 0

    def check_fits(self, each: ClusterSpec) -> None:
        """Raise `UsageError` where no machine of the cluster has room for an actor."""
        if self._room(each) < 1:
            wanted = _resources(each)
            machines = self._machines()
            has = "; ".join(sorted({", ".join(f"{one.get(name, 0):g} {name}" for name in wanted) for one in machines}))
            needs = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
            # Ray would wait for such a machine for ever, since one may join.
            raise UsageError(
                f"an actor needs {needs}, but the machines of the cluster have {has}; choose `cpus` and `gpus` that "
                "one of them has, or the `address` of a larger cluster",
                parameter="cpus",
            )

    def _machines(self) -> list[dict[str, float]]:
        """Return the resources of each machine that is in the cluster now."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _room(self, each: ClusterSpec) -> int:
        """Return how many actors the machines that are in the cluster now have room for; others' jobs aside."""
        wanted = _resources(each).items()
        # By machine, since no actor can hold cores of two.
        room = sum(min(int(one.get(name, 0) / amount) for name, amount in wanted) for one in self._machines())
        return min(room, each.actors or room)

    def ask(self, each: ClusterSpec, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns on one of the machines, with an actor's resources; raise what it raises."""
        remote = self._ray.remote(num_cpus=each.cpus, num_gpus=each.gpus, max_retries=1)(function)
        with self._unwrapped():
            answer = remote.remote(*arguments)
            if not self._ray.wait([answer], timeout=_WAIT_S)[0]:
                warnings.warn(f"no answer for {_WAIT_S:g} s; the cluster may be busy: still waiting", stacklevel=2)
            return self._ray.get(answer)

    def run(
        self, todo: deque[tuple[Item, ...]], each: ClusterSpec, make: Make[Item, Answer], *given: Any
    ) -> Iterator[tuple[tuple[Item, ...], list[Answer] | None]]:
        """Yield the answers of the actors for each batch, as they finish it; None for one that has ended its actors.

        Machines that join meanwhile get actors, too, and a batch whose actor dies, or whose machine does, goes to
        another.
        todo: the batches, which are taken from it; more may be added while this is iterated.
        make, given: what gives an actor its worker, once.

        Raises what `make` or a worker raises, if that is ours, or `DeviceError` where Ray itself fails.
        """
        ray, errors = self._ray, self._ray.exceptions
        new_actor = ray.remote(num_cpus=each.cpus, num_gpus=each.gpus)(Actor).remote
        idle: list[Any] = []
        # What actors have not answered yet, with their batches; None of those that open their engines.
        waited: dict[Any, tuple[Any, tuple[Item, ...] | None]] = {}
        deaths: Counter[tuple[Item, ...] | None] = Counter()
        room, looked_s = 0, -math.inf
        with self._unwrapped():
            while True:
                while todo and idle:
                    actor, taken = idle.pop(), todo.popleft()
                    waited[actor.work.remote(taken)] = actor, taken
                opening = sum(batch is None for _, batch in waited.values())
                self.most = max(self.most, len(idle) + len(waited) - opening)
                if time.monotonic() - looked_s >= _LOOK_S:
                    # Where all machines have left, an actor waits for one that joins.
                    room, looked_s = max(1, self._room(each)), time.monotonic()
                # An actor takes no batch before it is open: on a cluster that has shrunk it may wait for room forever.
                for _ in range(min(len(todo) - opening, room - len(waited))):
                    actor = new_actor(make, given)
                    waited[actor.open.remote()] = actor, None
                if not todo and len(waited) == opening:
                    return
                over, _ = ray.wait(list(waited), timeout=_LOOK_S)
                for done in over:
                    actor, batch = waited.pop(done)
                    try:
                        answers = ray.get(done)
                    except errors.RayTaskError:  # raised by our code, not by Ray
                        raise
                    except errors.RayError:
                        deaths[batch] += 1
                        # A machine may fail or be taken away; only what ends one actor after another is to blame.
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


def _resources(each: ClusterSpec) -> dict[str, float]:
    """Return what an actor holds of its machine, in Ray's words."""
    return {name: amount for name, amount in (("CPU", each.cpus), ("GPU", each.gpus or 0)) if amount > 0}


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
            "with the command ray start, using the same versions of Ray and Python as here; if it requires tokens, set "
            "RAY_AUTH_MODE=token and give this machine the token; or leave `address` out"
        ) from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()
