"""Matting the frames of a clip in order: reading, computing and writing beside each other."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Loaded = TypeVar("Loaded")
Matted = TypeVar("Matted")

AHEAD = 2
"""Frames read before they are needed, and results that wait to be written: what bounds the memory of a job."""


def run(
    load: Callable[[], Loaded | None],
    matte: Callable[[Iterable[Loaded]], Iterator[Matted]],
    save: Callable[[Loaded, Matted], None],
) -> Iterator[Loaded]:
    """Each frame comes back when it is saved, in order; any error ends the job after the frames before it.

    load: the next frame, None at the end. matte: results of what it is given, in order; it may take the next one before
    it gives the last. load and save each run in a thread of their own.
    """
    reading, writing = ThreadPoolExecutor(1, "read"), ThreadPoolExecutor(1, "write")
    matting: deque[Any] = deque()
    saving: deque[tuple[Any, Future[None]]] = deque()

    def loaded() -> Iterator[Loaded]:
        waiting = deque(reading.submit(load) for _ in range(AHEAD))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(reading.submit(load))
            matting.append(item)
            yield item
            del item

    def saved() -> Any:
        item, future = saving.popleft()
        future.result()
        return item

    try:
        failure: Exception | None = None
        results = matte(loaded())
        while failure is None:
            try:
                result = next(results)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001  # raised again below, after what is before it
                failure = error
                break
            item = matting.popleft()
            saving.append((item, writing.submit(save, item, result)))
            del item, result
            while len(saving) > AHEAD or (saving and saving[0][1].done()):
                yield saved()
        while saving:
            yield saved()
        if failure is not None:
            raise failure
    finally:
        for pool in (reading, writing):
            pool.shutdown(cancel_futures=True)
