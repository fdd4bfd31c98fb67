"""What each actor of ltm-batch does."""

import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ArtefactError, DeviceError, InputError
from ..jobs.cluster.manifest import stamps
from ..jobs.cluster.pipeline import Record, Worker
from ..jobs.folder import folder_steps, result_settings
from ..jobs.folder_files import FolderFiles
from ..jobs.frames import Frame
from ..jobs.progress import ProgressMeter
from ..jobs.remarks import Remarks
from ..jobs.run import Done, run
from ..jobs.settings import SETTINGS
from ..runtime import Matter, open_matter
from ..specs import JobSpec


@dataclass(frozen=True)
class Job:
    """All that an actor needs to know; every path is absolute."""

    spec: JobSpec
    frames: list[Frame]


def examine(job: Job) -> tuple[dict[str, Any], str]:
    """The settings that decide on the results, and the engine in words, as an actor has them."""
    with _opened(job) as matter:
        return result_settings(matter, job.spec), matter.engine.describe()


def worker(job: Job) -> Worker:
    """An engine that stays open, and what mattes frames with it. Reading and writing overlap within a batch.

    What goes wrong with the engine fails the frames that are left of a batch; the next begins with another engine.
    Raises `InputError` where this machine has another folder of the name of the job's output.
    """
    if not (Path(job.spec.output.alpha) / SETTINGS).exists():
        raise InputError(
            f"{job.spec.output.alpha}: is not the folder that the job was started with, for it has no {SETTINGS}; "
            "put it on a drive that all machines have under this name"
        )
    files, opened = FolderFiles(job.spec), [_opened(job)]

    def matte(numbers: Sequence[int]) -> list[Record]:
        frames = [job.frames[n] for n in numbers]
        sources = {frame.name: stamps(files.sources(frame)) for frame in frames}  # a later change is not in the result
        if not opened:
            opened.append(_opened(job))
        over: dict[str, Done] = {}
        try:
            over |= (
                (done.frame.name, done) for done in run(frames, folder_steps(files, opened[0], ProgressMeter(None)))
            )
        except (ArtefactError, DeviceError) as error:
            opened.pop().close()
            over |= {frame.name: Done(frame, str(error)) for frame in frames if frame.name not in over}
        return [_record(files, done, sources[name]) for name, done in over.items()]

    return matte


def _opened(job: Job) -> Matter:
    return open_matter(job.spec.engine, job.spec.plan)


def _record(files: FolderFiles, done: Done, sources: dict[str, list[int]]) -> Record:
    worked = done.failure is None
    return {
        "frame": done.frame.name,
        "failure": done.failure,
        "files": stamps(files.results(done.frame).files) if worked else {},
        "sources": sources if worked else {},
        "remarks": asdict(files.remarks.get(done.frame.name, Remarks())),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
