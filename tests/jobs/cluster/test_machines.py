"""Which actors work on a cluster whose machines come and go: on a Ray of the tests' own, in this process.

Ray itself is asked the same by `test_a_machine_joins_and_one_is_killed` in tests/cli/test_batch.py, which is heavy.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from litematting_deploy.jobs.cluster import ray_cluster
from litematting_deploy.jobs.cluster.ray_cluster import Cluster
from litematting_deploy.specs import ClusterSpec

Batch: TypeAlias = tuple[int, ...]
EACH = ClusterSpec(cpus=1, gpus=0)
TODO = [(number,) for number in range(20)]


class Machine:
    """One of the cluster. actors: those that it has room for."""

    def __init__(self, cores: int) -> None:
        self.cores, self.alive, self.actors = cores, True, list["Handle"]()


class Handle:
    """An actor, on a machine once one has room for it, and what it answers when it is asked."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self.machine: Machine | None = None
        self.open, self.work = (SimpleNamespace(remote=self._asking(name)) for name in ("open", "work"))

    def _asking(self, name: str) -> Callable[..., "tuple[Handle, Callable[[], Any]]"]:
        return lambda *given: (self, lambda: getattr(self._made, name)(*given))


class RayError(Exception): ...


class RayTaskError(RayError): ...


class Ray:
    """What `Cluster` asks of Ray. Each look takes a second; `events` happen once so many batches are done."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, *machines: Machine) -> None:
        self.machines = list(machines)
        self.events: dict[int, Callable[[], None]] = {}
        self.now_s, self.worked, self.waiting = 0.0, Counter[Batch](), list[Handle]()

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": one.alive, "Resources": {"CPU": float(one.cores)}} for one in self.machines]

    def remote(self, **_: float) -> Callable[[type], SimpleNamespace]:
        return lambda kind: SimpleNamespace(remote=lambda *given: self._new(kind(*given)))

    def _new(self, made: Any) -> Handle:
        self.waiting.append(Handle(made))
        return self.waiting[-1]

    def wait(self, asked: Sequence[tuple[Handle, Any]], timeout: float) -> tuple[list[Any], list[Any]]:
        for one in (one for one in self.machines if one.alive):
            while self.waiting and len(one.actors) < one.cores:
                one.actors.append(self.waiting.pop(0))
                one.actors[-1].machine = one
        ready = [each for each in asked if each[0].machine is not None]
        self.now_s += 1 if ready else timeout
        return ready[:1], ready[1:]

    def get(self, asked: tuple[Handle, Callable[[], Any]]) -> Any:
        handle, answer = asked
        assert handle.machine is not None
        if not handle.machine.alive:
            raise RayError("the actor died")
        return answer()

    def after(self, done: int, event: Callable[[], None]) -> None:
        self.events[done] = event

    def run(self, each: ClusterSpec, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[Batch]]:
        """Return how many actors were open at once, and the batches in the order in which they were done."""
        monkeypatch.setattr(ray_cluster, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        cluster, done = Cluster(self), list[Batch]()

        def make() -> Callable[[Batch], list[int]]:
            def work(batch: Batch) -> list[int]:
                self.worked[batch] += 1
                return list(batch)

            return work

        for batch, answers in cluster.run(deque(TODO), each, make):
            assert answers == list(batch)
            done.append(batch)
            self.events.pop(len(done), lambda: None)()
        assert not self.events, "everything has happened"
        return cluster.most, done


def test_a_machine_that_joins_gets_actors(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, late = Ray(Machine(1)), Machine(2)
    ray.after(2, lambda: ray.machines.append(late))
    most, done = ray.run(EACH, monkeypatch)
    assert most == 3
    assert len(late.actors) == 2
    assert sorted(done) == TODO
    assert set(ray.worked.values()) == {1}


def test_no_more_actors_than_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(Machine(1))
    ray.after(2, lambda: ray.machines.append(Machine(4)))
    assert ray.run(ClusterSpec(cpus=1, gpus=0, actors=2), monkeypatch)[0] == 2


def test_the_batches_of_a_machine_that_dies_go_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no actor takes the place of those that are lost, where nothing has room for one."""
    ray, fails = Ray(Machine(1), Machine(2)), Machine(1)
    ray.machines.append(fails)
    ray.after(6, lambda: setattr(fails, "alive", False))
    most, done = ray.run(EACH, monkeypatch)
    assert most == 4
    assert sorted(done) == TODO
    assert set(ray.worked.values()) == {1}, "the machine that died had not finished what it had"
    assert len(ray.waiting) <= 1


def test_where_all_machines_are_gone_the_next_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Machine(2)
    ray = Ray(only)

    def replaced() -> None:
        only.alive = False
        ray.machines.append(Machine(1))

    ray.after(3, replaced)
    assert sorted(ray.run(EACH, monkeypatch)[1]) == TODO
