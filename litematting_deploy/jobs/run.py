"""The one executor of jobs: reading, matting and writing overlap, with a look-ahead that bounds the memory.

Folders, clips and the actors of a cluster run their frames through it.
"""

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from ..errors import LiteMattingError, OutputError

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")

AHEAD = 2
"""Items read before they are needed, and results that wait to be written: what bounds the memory of a job."""
Outcome: TypeAlias = tuple[Any, str | None]
"""What a step gives, and why its item failed; None where it did not."""
# What `next` gives after the last item; None could be an item.
_END: Any = object()


@dataclass(frozen=True)
class Done(Generic[Item]):
    """An item that is finished.

    failure: in one line, why it has no result; None where it has one.
    """

    item: Item
    failure: str | None = None


def run(
    items: Iterable[Item],
    load: Callable[[Item], Loaded],
    matte: Callable[[Iterable[Loaded]], Iterator[Result]],
    save: Callable[[Item, Loaded, Result], None],
    *,
    readers: int = AHEAD,
    on_error: Literal["continue", "stop"] = "continue",
) -> Generator[Done[Item], None, None]:
    """Matte items, and yield each of them, in order, once it is saved or has failed.

    items: may be slow, as a clip that is decoded: a thread of its own takes them one by one.
    load: reads and checks what an item needs, in `readers` threads; as many items are read ahead, at least `AHEAD`.
    matte: yields a result for each loaded item, in order, in the caller's thread. It may take the next item before it
    yields the result of the last. A result may be an error, for `save` to judge.
    save: writes the result of an item, in one thread. It raises a result that is an error and that it has no use for.
    on_error: with "continue", a `LiteMattingError` or `MemoryError` of `load` or `save` fails its item alone, save for
    an `OutputError` of `save`: the next items could not be written either. With "stop", every error ends the job.

    An error that ends the job is raised when the items before it are saved. After an error, and when the generator is
    closed, the item that is being written is finished, so that each result is there whole or not at all.
    """
    attempt = functools.partial(_attempt, on_error == "stop")
    matting: deque[tuple[Item, Any, str | None]] = deque()  # loaded, or failed to, and without a result so far
    saving: deque[Future[Done[Item]]] = deque()
    # A single thread, so that items are finished in their order.
    writing = ThreadPoolExecutor(1, "write")

    # What failed to load is passed on when its turn comes, so that items are yielded in their order.
    def pass_failed_on() -> None:
        while matting and matting[0][2] is not None:
            item, _, failure = matting.popleft()
            saving.append(writing.submit(Done, item, failure))

    def saved(item: Item, *made: Any) -> Done[Item]:
        return Done(item, attempt((OutputError,), save, item, *made)[1])

    with contextlib.ExitStack() as stack:
        # Results that wait are dropped; the one that is being written is finished, so that no file is left half.
        stack.callback(writing.shutdown, cancel_futures=True)
        ahead = _loaded(items, functools.partial(attempt, (), load), readers, matting)
        # Entered last, so closed first: nothing more is read while the last result is still being written.
        results = matte(stack.enter_context(contextlib.closing(ahead)))
        while True:
            result, error = _next(results)
            pass_failed_on()
            if result is _END:
                break
            item, value, _ = matting.popleft()
            saving.append(writing.submit(saved, item, value, result))
            # Else they would stay in memory while the next item is waited for.
            del item, value, result
            # This waits for the disk where it is slower than the engine, or alphas would pile up.
            while len(saving) > AHEAD or (saving and saving[0].done()):
                yield saving.popleft().result()
        while saving:
            yield saving.popleft().result()
        if error is not None:
            raise error


def _next(results: Iterator[Any]) -> tuple[Any, Exception | None]:
    """Return the next result; `_END` after the last, with the error that has ended the job, if one has."""
    try:
        return next(results, _END), None
    except Exception as error:  # noqa: BLE001  # raised again by `run`, once the items before it are saved
        return _END, error


def _attempt(stop: bool, fatal: tuple[type[Exception], ...], step: Callable[..., Any], *given: Any) -> Outcome:
    """Return what a step gives or, in one line, why its item fails; raise what ends the job."""
    try:
        return step(*given), None
    # Other errors are mistakes in the code, and end the job.
    except (LiteMattingError, MemoryError) as error:
        if stop or isinstance(error, fatal):
            raise
        out_of_memory = "out of memory; use smaller frames or a smaller `batch`"
        return None, out_of_memory if isinstance(error, MemoryError) else " ".join(str(error).split())


def _loaded(
    items: Iterable[Item], load: Callable[[Item], Outcome], readers: int, matting: deque[tuple[Item, Any, str | None]]
) -> Generator[Any, None, None]:
    """Yield what is loaded of each item, some items ahead; add each to `matting`, those that fail to load, too."""
    rest = iter(items)
    # Items are taken by one thread: two must not run a generator, such as a clip that is decoded, at the same time.
    taking, reading = ThreadPoolExecutor(1, "take"), ThreadPoolExecutor(readers, "read")

    def read(taken: Future[Item]) -> Outcome:
        item = taken.result()
        return (None, None) if item is _END else load(item)

    def begun() -> tuple[Future[Item], Future[Outcome]]:
        taken = taking.submit(next, rest, _END)
        return taken, reading.submit(read, taken)

    try:
        waiting = deque(begun() for _ in range(max(readers, AHEAD)))
        while True:
            taken, ready = waiting.popleft()
            item, (value, failure) = taken.result(), ready.result()
            if item is _END:
                return
            # Not before one is handed on: what has been read and waits is never more than that.
            waiting.append(begun())
            matting.append((item, value, failure))
            del item, taken, ready
            if failure is None:
                yield value
            del value  # else one more item would stay in memory while the next is read
    finally:
        for pool in (taking, reading):
            pool.shutdown(cancel_futures=True)
