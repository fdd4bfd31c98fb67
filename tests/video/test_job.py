"""What bounds the memory of a job, and what becomes of frames when something fails."""

import itertools
import weakref
from collections.abc import Iterable, Iterator

import pytest

from litematting_deploy.errors import InputError, OutputError
from litematting_deploy.video.job import AHEAD, run


class Item:
    def __init__(self, index: int) -> None:
        self.index = index


def doubled(items: Iterable[Item]) -> Iterator[int]:
    for item in items:
        index = item.index
        del item
        yield 2 * index


def test_few_frames_live_at_a_time_however_many_there_are() -> None:
    living: weakref.WeakSet[Item] = weakref.WeakSet()
    numbers, most, saved = iter(range(200)), 0, []

    def load() -> Item | None:
        nonlocal most
        index = next(numbers, None)
        if index is None:
            return None
        item = Item(index)
        living.add(item)
        most = max(most, len(living))
        return item

    for _ in run(load, doubled, lambda item, result: saved.append((item.index, result))):
        pass
    assert saved == [(index, 2 * index) for index in range(200)]
    assert most <= 3 * AHEAD + 3


def test_what_is_before_a_failure_is_saved() -> None:
    numbers, saved = itertools.count(), []

    def load() -> Item:
        if (index := next(numbers)) == 7:
            raise InputError("frame 7 is damaged")
        return Item(index)

    with pytest.raises(InputError, match="frame 7"):
        list(run(load, doubled, lambda item, _: saved.append(item.index)))
    assert saved == list(range(7))


def test_a_failure_to_save_ends_the_job() -> None:
    numbers, saved = itertools.count(), []

    def save(item: Item, _: int) -> None:
        if item.index == 3:
            raise OutputError("no room")
        saved.append(item.index)

    with pytest.raises(OutputError, match="no room"):
        list(run(lambda: Item(next(numbers)), doubled, save))
    assert saved[:3] == [0, 1, 2]
