"""Ray itself on this machine, with actors that do not matte."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from litematting_deploy.errors import InputError, OutputError, UsageError
from litematting_deploy.jobs.cluster.pipeline import Cluster, connected
from litematting_deploy.jobs.cluster.worker import Answer, Worker
from litematting_deploy.specs import ClusterSpec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.heavy,
    *map(pytest.mark.filterwarnings, ("ignore::DeprecationWarning", "ignore::ResourceWarning")),  # within Ray
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

EACH = ClusterSpec(cpus=1, gpus=0, actors=2, frames_per_task=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with connected("local") as made:
        yield made


def making(act: Callable[[int], Any]) -> Callable[[], Worker]:
    """What Ray can send to its processes without these tests."""

    def make() -> Worker:
        def work(numbers: Sequence[int]) -> list[Answer]:
            return [{"frame": str(number), "said": act(number)} for number in numbers]

        return work

    return make


def test_a_frame_that_ends_its_actors_takes_only_its_batch_along(cluster: Cluster) -> None:
    make = making(lambda number: os._exit(1) if number == 5 else number * 2)
    records = list(cluster.run(range(10), EACH, make))
    assert {record["frame"]: record["said"] for record in records} == {
        str(number): number * 2 for number in range(10) if number not in (4, 5)
    }


def test_our_errors_keep_their_type_and_their_words(cluster: Cluster) -> None:
    def full(number: int) -> None:
        raise OutputError(f"/out/{number}.png: no space left")

    def broken() -> Worker:
        raise InputError("/out: is not the folder")

    with pytest.raises(OutputError, match=rf"on {socket.gethostname()}: /out/\d.png: no space left"):
        list(cluster.run(range(4), EACH, making(full)))
    with pytest.raises(InputError, match=rf"on {socket.gethostname()}: /out: is not the folder"):
        list(cluster.run(range(4), EACH, broken))
    with pytest.raises(InputError, match="/out: is not the folder"):
        cluster.ask(EACH, broken)


def test_actors_fit_into_machines_not_into_their_sum(cluster: Cluster) -> None:
    cores = os.cpu_count() or 1
    assert cluster.fitting(EACH) == cores
    assert cluster.fitting(replace(EACH, cpus=cores)) == 1
    with pytest.raises(
        UsageError, match=rf"an actor holds {cores + 1} CPU, the machines of the cluster have {cores} CPU"
    ):
        cluster.fitting(replace(EACH, cpus=cores + 1))
