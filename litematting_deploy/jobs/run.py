"""Matting many frames: reading, computing and writing overlap; a frame that fails is told, and the job goes on."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import LiteMattingError, OutputError
from .frames import Frame

Loaded = TypeVar("Loaded")
Matted = TypeVar("Matted")
Item = TypeVar("Item")

AHEAD = 2
"""Frames read before they are needed, and results that wait to be written: what bounds the memory of a job."""


@dataclass(frozen=True)
class Done:
    """A frame that is over. failure: in one line, why it has no result; None where it has one."""

    frame: Frame
    failure: str | None = None


@dataclass(frozen=True)
class Steps(Generic[Loaded, Matted]):
    """What happens to a frame. `load` and `save` run in threads of their own.

    load: read and check all that the frame needs. matte: the results of what it is given, in order; it may take the
    next one before it gives the last. A `LiteMattingError` among the results fails its frame alone; what is raised ends
    the job. save: write a result. `LiteMattingError` and `MemoryError` of load and save fail the frame alone; but
    `OutputError` ends the job, for the next frames could not be written either.
    """

    load: Callable[[Frame], Loaded]
    matte: Callable[[Iterable[Loaded]], Iterator[Matted | LiteMattingError]]
    save: Callable[[Frame, Loaded, Matted], None]


def run(frames: Iterable[Frame], steps: Steps[Any, Any]) -> Iterator[Done]:
    """Matte the frames; each comes back when it is over, in order but for those that cannot be read.

    `AHEAD` threads read, one writes. When this is left by an exception or given up, the frame being written is
    finished and the others left alone, so that a result is there whole or not at all.
    """
    reading, writing = ThreadPoolExecutor(AHEAD, "read"), ThreadPoolExecutor(1, "write")
    failed: deque[Done] = deque()
    matting: deque[tuple[Frame, Any]] = deque()
    saving: deque[tuple[Frame, Future[None]]] = deque()

    def loaded() -> Iterator[Any]:
        for frame, future in _ahead(reading, frames, steps.load):
            failure = _failure(future)
            if failure is None:
                matting.append((frame, future.result()))
                yield future.result()
            else:
                failed.append(Done(frame, failure))

    try:
        for result in steps.matte(loaded()):
            frame, source = matting.popleft()
            if isinstance(result, LiteMattingError):
                failed.append(Done(frame, _in_one_line(result)))
            else:
                saving.append((frame, writing.submit(steps.save, frame, source, result)))
            while failed:
                yield failed.popleft()
            while len(saving) > AHEAD or (saving and saving[0][1].done()):
                yield _saved(*saving.popleft())
        yield from failed
        while saving:
            yield _saved(*saving.popleft())
    finally:
        for pool in (reading, writing):
            pool.shutdown(cancel_futures=True)


def unfinished(frames: Sequence[Item], is_done: Callable[[Item], bool], looked_at: Callable[[], None]) -> list[Item]:
    """The frames that are not done, in order. looked_at: called after each, from any thread as `is_done` is."""

    def look(frame: Item) -> bool:
        done = is_done(frame)
        looked_at()
        return not done

    pool = ThreadPoolExecutor(AHEAD, "look")
    try:
        return list(itertools.compress(frames, pool.map(look, frames)))
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(
    pool: ThreadPoolExecutor, frames: Iterable[Frame], load: Callable[[Frame], Any]
) -> Iterator[tuple[Frame, "Future[Any]"]]:
    """Each frame with its reading, which began `AHEAD` frames before."""
    waiting: deque[tuple[Frame, Future[Any]]] = deque()
    for frame in frames:
        waiting.append((frame, pool.submit(load, frame)))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _saved(frame: Frame, future: "Future[None]") -> Done:
    if isinstance(future.exception(), OutputError):
        future.result()
    return Done(frame, _failure(future))


def _failure(future: "Future[Any]") -> str | None:
    """Why a step failed; what is not the frame's own fault is raised."""
    error = future.exception()
    if error is None:
        return None
    if isinstance(error, MemoryError):
        return "out of memory; use smaller frames or a smaller `batch`"
    if isinstance(error, LiteMattingError):
        return _in_one_line(error)
    raise error


def _in_one_line(error: LiteMattingError) -> str:
    return " ".join(str(error).split())
