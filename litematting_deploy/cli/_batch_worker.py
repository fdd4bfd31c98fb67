"""What each actor of ltm-batch does."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ArtefactError, DeviceError, InputError
from ..jobs.cluster.manifest import stamps
from ..jobs.cluster.pipeline import Record, Worker
from ..jobs.frames import Frame
from ..jobs.run import Done, run
from ..jobs.settings import SETTINGS
from ..runtime import Matter
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
    """An engine that stays open, and what mattes frames with it. Reading and writing overlap within a batch.

    What goes wrong with the engine fails the frames that are left of a batch; the next begins with another engine.
    Raises `InputError` where this machine has another folder of the name of the job's output.
    """
    if not (Path(job.output) / SETTINGS).exists():
        raise InputError(
            f"{job.output}: is not the folder that the job was started with, for it has no {SETTINGS}; put it on a "
            "drive that all machines have under this name"
        )
    files, opened = job.files(), [_opened(job)]

    def matte(numbers: Sequence[int]) -> list[Record]:
        frames = [job.frames[n] for n in numbers]
        sources = {frame.name: stamps(files.sources(frame)) for frame in frames}  # a later change is not in the result
        if not opened:
            opened.append(_opened(job))
        over: dict[str, Done] = {}
        try:
            over |= ((done.frame.name, done) for done in run(frames, folder_steps(files, opened[0])))
        except (ArtefactError, DeviceError) as error:
            opened.pop().close()
            over |= {frame.name: Done(frame, str(error)) for frame in frames if frame.name not in over}
        return [_record(files, done, sources[name]) for name, done in over.items()]

    return matte


def _opened(job: Job) -> Matter:
    return matter_for(open_chosen(job.options, job.threads), job.options)


def _record(files: FolderFiles, done: Done, sources: dict[str, list[int]]) -> Record:
    worked = done.failure is None
    return {
        "frame": done.frame.name,
        "failure": done.failure,
        "files": stamps(files.results(done.frame).files) if worked else {},
        "sources": sources if worked else {},
        "unsure": files.unsure.get(done.frame.name),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
