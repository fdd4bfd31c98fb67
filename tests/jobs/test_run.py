"""The executor of jobs, with steps that do nothing else: order, overlap, memory, and what becomes of failures."""

import itertools
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pytest

from litematting_deploy.errors import DeviceError, InputError, LiteMattingError, NotFiniteError, OutputError
from litematting_deploy.jobs.run import AHEAD, Done, run

NAMES = [str(number) for number in range(8)]


class Recorded:
    """Steps that note what happens, and fail where they are told to, as `load_3`; a result may be an error."""

    def __init__(self, **failures: BaseException) -> None:
        self.failures = failures
        self.loaded: list[str] = []
        self.saved: list[str] = []
        self.most_ahead = 0

    def run(self, items: Iterable[str] = NAMES, **options: Any) -> Generator[Done[str], None, None]:
        return run(items, self.load, self.matte, self.save, **options)

    def fail(self, step: str, name: str) -> None:
        if f"{step}_{name}" in self.failures:
            raise self.failures[f"{step}_{name}"]

    def load(self, name: str) -> str:
        assert threading.current_thread() is not threading.main_thread()
        self.loaded.append(name)
        self.most_ahead = max(self.most_ahead, len(self.loaded) - len(self.saved))
        self.fail("load", name)
        return name

    def matte(self, loaded: Iterable[str]) -> Iterator[str | BaseException]:
        """As a device does it: the next item is taken before the result of the last is given."""
        last = None
        for name in loaded:
            assert threading.current_thread() is threading.main_thread()
            self.fail("matte", name)
            if last is not None:
                yield self.failures.get(f"result_{last}", f"alpha of {last}")
            last = name
        if last is not None:
            yield self.failures.get(f"result_{last}", f"alpha of {last}")

    def save(self, item: str, loaded: str, matted: str | BaseException) -> None:
        if isinstance(matted, LiteMattingError):
            raise matted
        assert (loaded, matted) == (item, f"alpha of {item}")
        self.fail("save", item)
        self.saved.append(item)


def no_thread_is_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith(("take", "read", "write"))]


@pytest.mark.parametrize("options", [{}, {"readers": 1, "on_error": "stop"}])
def test_every_item_is_matted_in_order(options: dict[str, Any]) -> None:
    recorded = Recorded()
    assert list(recorded.run(**options)) == [Done(name) for name in NAMES]
    assert recorded.saved == NAMES
    assert sorted(recorded.loaded) == recorded.saved
    assert recorded.most_ahead <= 2 * AHEAD + 4
    assert not list(recorded.run([], **options))
    assert no_thread_is_left()


@pytest.mark.parametrize("readers", [AHEAD, 4])
def test_items_are_read_beside_each_other(readers: int) -> None:
    recorded, together = Recorded(), threading.Barrier(readers, timeout=60)

    def load(name: str) -> str:
        together.wait()
        return recorded.load(name)

    done = run(NAMES, load, recorded.matte, recorded.save, readers=readers)
    assert list(done) == [Done(name) for name in NAMES]


def test_items_may_be_slow_and_come_in_order() -> None:
    """As a clip that is decoded; nobody but one thread takes them, and it is not the caller's."""
    takers: set[threading.Thread] = set()

    def slow() -> Iterator[str]:
        for name in NAMES:
            takers.add(threading.current_thread())
            yield name

    assert [done.item for done in Recorded().run(slow(), readers=4)] == NAMES
    assert len(takers) == 1
    assert threading.main_thread() not in takers


def test_computing_goes_on_while_others_are_read_and_written() -> None:
    """Each waits for the other: what is done one after the other would wait in vain."""
    recorded, read_on, computed_on = Recorded(), threading.Event(), threading.Event()

    def load(name: str) -> str:
        if name == "1":
            read_on.set()
        return recorded.load(name)

    def matte(loaded: Iterable[str]) -> Iterator[str]:
        for name in loaded:
            if name == "0":
                assert read_on.wait(10), "item 1 is read while item 0 is computed"
            if name == "1":
                computed_on.set()
            yield f"alpha of {name}"

    def save(item: str, loaded: str, matted: str) -> None:
        if item == "0" and not computed_on.wait(10):
            raise InputError("item 1 is not computed while item 0 is written")
        recorded.save(item, loaded, matted)

    assert list(run(NAMES, load, matte, save)) == [Done(name) for name in NAMES]


@pytest.mark.parametrize("options", [{}, {"readers": 1, "on_error": "stop"}])
def test_few_items_live_at_a_time_however_many_there_are(options: dict[str, Any]) -> None:
    class Item:
        def __init__(self, index: int) -> None:
            self.index = index

    living: weakref.WeakSet[Item] = weakref.WeakSet()
    most, saved = 0, []

    def load(index: int) -> Item:
        nonlocal most
        item = Item(index)
        living.add(item)
        most = max(most, len(living))
        return item

    def doubled(items: Iterable[Item]) -> Iterator[int]:
        for item in items:
            index = item.index
            del item
            yield 2 * index

    def save(index: int, _: Item, result: int) -> None:
        saved.append((index, result))

    for _ in run(range(200), load, doubled, save, **options):
        pass
    assert saved == [(index, 2 * index) for index in range(200)]
    assert most <= 3 * AHEAD + 3


def test_items_that_fail_are_named_in_order_and_the_others_continue() -> None:
    recorded = Recorded(
        load_0=InputError("0.png:\ndamaged"),
        load_7=MemoryError(),
        save_3=InputError("no colours"),
        result_4=NotFiniteError("alpha is not finite"),
        load_5=OutputError("5: cannot be made"),
    )
    done = list(recorded.run())
    assert [item.item for item in done] == NAMES
    assert {item.item: item.failure for item in done if item.failure} == {
        "0": "0.png: damaged",
        "3": "no colours",
        "4": "alpha is not finite",
        "5": "5: cannot be made",
        "7": "out of memory; use smaller frames or a smaller `batch`",
    }
    assert recorded.saved == ["1", "2", "6"]


def test_every_item_may_fail() -> None:
    recorded = Recorded(**{f"load_{name}": InputError("damaged") for name in NAMES})
    assert [item.failure for item in recorded.run()] == ["damaged"] * len(NAMES)


@pytest.mark.parametrize(
    ("where", "error"),
    [("save_2", OutputError("disk full")), ("matte_3", DeviceError("lost")), ("load_2", KeyError("a mistake of ours"))],
)
def test_what_no_item_survives_ends_the_job(where: str, error: BaseException) -> None:
    recorded = Recorded(**{where: error})
    with pytest.raises(type(error)):
        list(recorded.run())
    assert "7" not in recorded.saved
    assert recorded.saved[0] == "0"
    assert no_thread_is_left()


@pytest.mark.parametrize("where", ["load_5", "matte_5", "save_5", "result_5", "take_5"])
def test_told_to_stop_an_error_ends_the_job_after_the_items_before_it(where: str) -> None:
    recorded = Recorded(**{where: InputError("5 is damaged")})
    over: list[Done[str]] = []

    def items() -> Iterator[str]:
        for name in NAMES:
            recorded.fail("take", name)
            yield name

    def matte(loaded: Iterable[str]) -> Iterator[str | BaseException]:
        for name in loaded:
            recorded.fail("matte", name)
            yield recorded.failures.get(f"result_{name}", f"alpha of {name}")

    with pytest.raises(InputError, match="5 is damaged"):
        over.extend(run(items(), recorded.load, matte, recorded.save, readers=1, on_error="stop"))
    assert [done.item for done in over] == NAMES[:5]
    assert recorded.saved[:5] == NAMES[:5]
    assert no_thread_is_left()


def test_given_up_in_the_middle() -> None:
    recorded = Recorded()
    job = recorded.run(str(number) for number in itertools.count())
    next(job)
    job.close()
    assert 1 <= len(recorded.saved) < 20
    assert no_thread_is_left()
