"""The time and memory of a job by stages: functions say which stage they are, and are timed while somebody records."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from .system import peak_memory_bytes, since_start_s

START_UP, OTHER = "start-up", "other"


@dataclass
class Stage:
    """A part of a job.

    name: as in `stage`. began_s: of its first call, since the process started. peak_memory_mb: of the process, from its
    start to the end of the last call of the stage.
    """

    name: str
    began_s: float
    seconds: float = 0.0
    calls: int = 0
    peak_memory_mb: float = 0.0


@dataclass
class Record:
    """The stages of a job, by name, and facts about it (`note`); the first stage is what came before the recording."""

    stages: dict[str, Stage] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    peak_memory_mb: float = 0.0  # the kernel's own is a little less at times than it was before
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, began_s: float, ended_s: float) -> None:
        """Add a call, which may come from any thread."""
        with self._lock:
            stage = self.stages.setdefault(name, Stage(name, began_s))
            stage.began_s = min(stage.began_s, began_s)
            stage.seconds += ended_s - began_s
            stage.calls += 1
            stage.peak_memory_mb = self.peak_so_far_mb()

    def peak_so_far_mb(self) -> float:
        """Return the most memory that this process ever held, in 10⁶ bytes; 0 where the system does not say."""
        self.peak_memory_mb = max(self.peak_memory_mb, (peak_memory_bytes() or 0) / 1e6)
        return self.peak_memory_mb

    def summary(self) -> dict[str, Any]:
        """Return all of it for JSON, with what no stage took as the last one."""
        seconds, peak = since_start_s(), self.peak_so_far_mb()
        stages = sorted(self.stages.values(), key=lambda stage: stage.began_s)
        other = Stage(OTHER, 0.0, seconds - sum(stage.seconds for stage in stages), 0, peak)
        return {
            **self.facts,
            "seconds": seconds,
            "peak_memory_mb": peak,
            "stages": [asdict(stage) for stage in (*stages, other)],
        }


_record: Record | None = None


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Time what is inside as a part of `name`; as a decorator, every call of a function. Stages do not nest."""
    if _record is None:
        yield
        return
    began_s = since_start_s()
    try:
        yield
    finally:
        _record.add(name, began_s, since_start_s())


def note(**facts: Any) -> None:
    """Keep facts of the job beside its stages, as how many patches ran."""
    if _record is not None:
        _record.facts |= facts


@contextlib.contextmanager
def recording() -> Iterator[Record]:
    """Record all stages of this process until left; what it did before is one stage."""
    global _record
    _record = record = Record()
    record.add(START_UP, 0.0, since_start_s())
    try:
        yield record
    finally:
        _record = None
