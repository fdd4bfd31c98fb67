"""Processes that draw, on all cores. Apart from `drawing`, whose code is part of what a library is named by."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, Protocol, Self, TypeVar

import cv2

Given = ParamSpec("Given")
Made = TypeVar("Made")


class _End(Protocol):
    """The reading end of a pipe, whose class differs between systems."""

    def recv(self) -> object: ...


class Drawers:
    """Processes that draw; they end at once when this process does.

    workers: how many. As a context it is closed at the end, or ended where anything was raised.
    """

    def __init__(self, workers: int) -> None:
        # Forking a process that has started CUDA or threads is unsafe.
        context = get_context("spawn")
        # Nothing is ever sent: the workers see that this end is closed, however that comes about.
        theirs, self._alive = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(theirs,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        if raised is None:
            self.close()
        else:
            self.end()

    def submit(self, work: Callable[Given, Made], *given: Given.args, **named: Given.kwargs) -> "Future[Made]":
        """Have a process do something, and return its future, as an executor does."""
        return self._pool.submit(work, *given, **named)

    def close(self) -> None:
        """Let the processes finish what they are drawing, and nothing else."""
        self._pool.shutdown(cancel_futures=True)
        self._alive.close()

    def end(self) -> None:
        """End the processes at once, whatever they are drawing.

        Only where they return little: the pool waits for the rest of a long result that a process was sending.
        """
        self._alive.close()
        self._pool.shutdown(cancel_futures=True)


def _start_worker(alive: _End) -> None:
    """One thread each; Ctrl-C is the parent's affair, and its end is the worker's too."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()


def _end_with(alive: _End) -> None:
    """End this process when the other end of a connection is closed: nobody would take what it draws."""
    with contextlib.suppress(EOFError, OSError):  # the second on Windows
        alive.recv()
    os._exit(1)  # from a thread, which cannot end the process in another way
