"""What each actor of ltm-batch does."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..cluster.manifest import stamps
from ..cluster.pipeline import Record, Worker
from ..sequence.frames import Frame
from ..sequence.job import Done, run
from ._engine import open_chosen
from ._folder import folder_steps, result_settings
from ._folder_files import FolderFiles
from ._plan import matter_for


@dataclass(frozen=True)
class Job:
    """All that an actor needs to know; every path is absolute. threads: of ONNX Runtime on the CPU."""

    frames: list[Frame]
    sources: tuple[str, str]
    output: str
    options: dict[str, Any]
    threads: int

    def files(self) -> FolderFiles:
        """The files of the frames."""
        return FolderFiles(self.sources, self.output, self.options)


def examine(job: Job, resume: bool) -> tuple[dict[str, Any], str]:
    """The settings that decide on the results, and the engine in words, as an actor has them."""
    with open_chosen(job.options, job.threads) as engine, matter_for(engine, job.options) as matter:
        return result_settings(matter, job.options, resume), engine.describe()


def worker(job: Job) -> Worker:
    """An engine that stays open, and what mattes frames with it. Reading and writing overlap within a batch."""
    files, matter = job.files(), matter_for(open_chosen(job.options, job.threads), job.options)

    def matte(numbers: Sequence[int]) -> list[Record]:
        return [_record(files, done) for done in run([job.frames[n] for n in numbers], folder_steps(files, matter))]

    return matte


def _record(files: FolderFiles, done: Done) -> Record:
    worked = done.failure is None
    return {
        "frame": done.frame.name,
        "failure": done.failure,
        "files": stamps(files.results(done.frame).files) if worked else {},
        "sources": stamps(files.sources(done.frame)) if worked else {},
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
