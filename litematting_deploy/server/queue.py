"""The jobs before one engine: so many at work, so many that wait, and no more; first come, first served."""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..jobs.progress import JobProgress, Report

Made = TypeVar("Made")
_WEIGHT = 0.2
"""How much the last job counts in the mean of their durations."""
_FIRST_GUESS_S = 1.0
_LONGEST_S = 3600


class QueueFullError(Exception):
    """More jobs than may wait. retry_after_s: whole seconds after which there is room, by the pace until now."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class ClientLeftError(Exception):
    """Nobody waits for the result of a job any more."""


class JobQueue:
    """A bounded queue before worker threads. All methods but `close` belong to the thread of the event loop.

    running, taken: jobs at work, and jobs that have a place, as these and those that wait or are being uploaded.
    """

    def __init__(self, workers: int, waiting: int, waited: Callable[[float], object] = lambda _: None) -> None:
        """waited: is called with the seconds that each job has waited for a worker, from any thread."""
        self._pool = ThreadPoolExecutor(workers, "job")
        self._workers, self._most, self._waited = workers, workers + waiting, waited
        self._closing = threading.Event()
        self._mean_s = _FIRST_GUESS_S
        self.running = self.taken = 0
        self._counting = threading.Lock()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Have a place in the queue, from before anything is read until all is answered. Raises `QueueFullError`."""
        if self.taken >= self._most:
            seconds = math.ceil(self._mean_s * self.taken / self._workers)
            raise QueueFullError(min(max(seconds, 1), _LONGEST_S))
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def run(self, work: Callable[[Report], Made], left: Coroutine[Any, Any, None]) -> Made:
        """Run a job in a worker thread and return its result. Raises what it raises, and `ClientLeftError`.

        work: gets what its progress is reported to, which ends it once the client has left. left: ends when the client
        leaves; a job that waits is dropped then, and one at work ends after its present patch.
        """
        gone, asked_s = threading.Event(), time.perf_counter()

        def report(_: JobProgress) -> None:
            if gone.is_set() or self._closing.is_set():
                raise ClientLeftError

        def worked() -> tuple[Made, float]:
            began_s = time.perf_counter()
            self._waited(began_s - asked_s)
            self._count(1)
            try:
                return work(report), time.perf_counter() - began_s
            finally:
                self._count(-1)

        job = self._pool.submit(worked)
        made, leaving = asyncio.wrap_future(job), asyncio.ensure_future(left)
        either: set[asyncio.Future[Any]] = {made, leaving}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not made.done():
                gone.set()
                if job.cancel():
                    raise ClientLeftError
            result, seconds = await made
        finally:
            leaving.cancel()
        self._mean_s += _WEIGHT * (seconds - self._mean_s)
        return result

    def _count(self, more: int) -> None:
        with self._counting:
            self.running += more

    def close(self) -> None:
        """End the jobs that are still at work after their present patch, and the workers."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)
