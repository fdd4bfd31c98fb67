"""How far a build is, and stopping it: TensorRT's nested phases as one fraction, Ctrl-C at the next step."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Progress = Callable[[float, str], None]
"""Called with the part done, 0..1 and never falling, and the name of the innermost phase."""


@dataclass
class _Phase:
    """A phase of a build, with the steps it has and those done."""

    parent: str | None
    steps: int
    done: int = 0


class Meter:
    """One fraction from phases that nest: a phase within another one counts for a part of one step of it."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._highest = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase of `steps` steps inside another one, or inside none."""
        self._phases[name] = _Phase(parent, max(steps, 1))

    def step(self, name: str, step: int) -> None:
        """Count `step`, from 0 on, of a phase as done."""
        if name in self._phases:
            self._phases[name].done = step + 1

    def finish(self, name: str) -> None:
        """End a phase."""
        self._phases.pop(name, None)

    @property
    def innermost(self) -> str:
        """The phase begun last that has not ended."""
        return next(reversed(self._phases), "")

    @property
    def fraction(self) -> float:
        """The part of all work that is done, 0..1, the highest so far."""
        roots = [self._part(name) for name, phase in self._phases.items() if phase.parent not in self._phases]
        self._highest = max([self._highest, *roots])
        return self._highest

    def _part(self, name: str) -> float:
        """Return the part of a phase that is done, 0..1, with what is done of its innermost phases."""
        inner = max((self._part(child) for child, phase in self._phases.items() if phase.parent == name), default=0.0)
        phase = self._phases[name]
        return min(1.0, (phase.done + inner) / phase.steps)


def monitor(module: Any, progress: Progress | None, interrupted: Callable[[], bool]) -> Any:
    """Return an `IProgressMonitor` that reports to `progress` and cancels the build once `interrupted`."""
    meter = Meter()

    def report() -> None:
        if progress is not None:
            progress(meter.fraction, meter.innermost)

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]  # the module is known at run time only
        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            meter.start(name, parent, steps)
            report()

        def step_complete(self, name: str, step: int) -> bool:
            meter.step(name, step)
            report()
            return not interrupted()

        def phase_finish(self, name: str) -> None:
            meter.finish(name)
            report()

    return Monitor()


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C while TensorRT works, whose callbacks cannot raise, and yield the function that says whether it came.

    Off the main thread, where Python delivers no signals, and where Ctrl-C is ignored, nothing changes.
    """
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True

    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or previous in (signal.SIG_IGN, None):
        yield lambda: False
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)
