"""Ray itself on this machine, with actors that do not matte."""

import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from litematting_deploy.errors import DeviceError, InputError, OutputError, UsageError
from litematting_deploy.jobs.cluster.ray_cluster import Cluster, connected
from litematting_deploy.specs import ClusterSpec
from tests.ray_nodes import PATIENT, TRIES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.heavy,
    *map(pytest.mark.filterwarnings, ("ignore::DeprecationWarning", "ignore::ResourceWarning")),  # within Ray
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Batch: TypeAlias = tuple[int, ...]
EACH = ClusterSpec(cpus=1, gpus=0, actors=2, frames_per_task=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        for left in reversed(range(TRIES)):
            try:
                made = stack.enter_context(connected("local"))
                break
            except DeviceError:
                if not left:
                    raise
        yield made


def batches(numbers: Sequence[int]) -> deque[Batch]:
    """Pairs of numbers, as `frames_per_task` says."""
    return deque(zip(numbers[::2], numbers[1::2], strict=True))


def making(act: Callable[[int], Any]) -> Callable[[], Callable[[Batch], list[Any]]]:
    """What Ray can send to its processes without these tests."""
    return lambda: lambda batch: [act(number) for number in batch]


def test_a_frame_that_ends_its_actors_takes_only_its_batch_along(cluster: Cluster) -> None:
    make = making(lambda number: os._exit(1) if number == 5 else number * 2)
    assert dict(cluster.run(batches(range(10)), EACH, make)) == {
        (0, 1): [0, 2], (2, 3): [4, 6], (4, 5): None, (6, 7): [12, 14], (8, 9): [16, 18]
    }  # fmt: skip


def test_batches_that_are_added_late_are_done(cluster: Cluster) -> None:
    todo, done = batches(range(2)), []
    for batch, _ in cluster.run(todo, EACH, making(abs)):
        done.append(batch)
        if len(done) < 3:
            todo.append((len(done),))
    assert done == [(0, 1), (1,), (2,)]


def test_our_errors_keep_their_type_and_their_words(cluster: Cluster) -> None:
    def full(number: int) -> None:
        raise OutputError(f"/out/{number}.png: no space left")

    def broken() -> Callable[[Batch], list[Any]]:
        raise InputError("/out: is not the folder")

    with pytest.raises(OutputError, match=rf"on {socket.gethostname()}: /out/\d.png: no space left"):
        list(cluster.run(batches(range(4)), EACH, making(full)))
    with pytest.raises(InputError, match=rf"on {socket.gethostname()}: /out: is not the folder"):
        list(cluster.run(batches(range(4)), EACH, broken))
    with pytest.raises(InputError, match="/out: is not the folder"):
        cluster.ask(EACH, broken)


def test_actors_that_end_before_they_are_open_end_the_job(cluster: Cluster) -> None:
    def ends() -> Callable[[Batch], list[Any]]:
        os._exit(1)

    with pytest.raises(DeviceError, match=r"Ray could not continue \(ActorDiedError\); see its logs"):
        list(cluster.run(batches(range(4)), EACH, ends))


def test_actors_fit_into_machines_not_into_their_sum(cluster: Cluster) -> None:
    cores = os.cpu_count() or 1
    assert cluster._room(replace(EACH, actors=None)) == cores
    assert cluster._room(replace(EACH, actors=None, cpus=cores)) == 1
    assert cluster._room(replace(EACH, actors=1)) == 1
    cluster.check_fits(replace(EACH, cpus=cores))
    with pytest.raises(
        UsageError, match=rf"an actor needs {cores + 1} CPU, but the machines of the cluster have {cores} CPU"
    ):
        cluster.check_fits(replace(EACH, cpus=cores + 1))
