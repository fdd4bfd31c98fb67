"""An actor of a cluster: an engine that stays open, and the frames that it mattes in batches."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import ArtefactError, DeviceError, InputError, LiteMattingError
from ...runtime import open_matter
from ...specs import JobSpec
from ..folder import matte_frames
from ..folder_files import FolderFiles
from ..frames import Frame
from ..outputs import Remarks
from ..progress import ProgressMeter
from ..resume import SETTINGS, result_settings
from ..run import Done
from ..trimaps import open_masks
from .manifest import Record, Stamps, stamps

Batch: TypeAlias = tuple[Frame, ...]
"""The frames that an actor mattes before it answers."""


def examine(job: JobSpec) -> tuple[dict[str, Any], str]:
    """Return the settings that decide on the results, and the engine in words, as an actor has them."""
    with open_matter(job.engine, job.plan) as matter:
        return result_settings(matter, job), matter.engine.describe()


def make_worker(job: JobSpec) -> Callable[[Batch], list[Record]]:
    """Open an engine that stays open, and return what mattes frames with it, reading and writing beside each other.

    job: with absolute paths. Its frames come with the batches: an actor of a long job would hold them all in vain.

    An error of the engine fails the frames that are left of a batch; the next begins with another engine. Raises
    `InputError` where this machine has another folder of the name of the job's output, and what opening an engine
    raises.
    """
    output = job.output.first
    # The driver writes it before any actor begins.
    if not (Path(output) / SETTINGS).exists():
        raise InputError(
            f"{output}: is not the folder that the job was started with: it has no {SETTINGS}; use a folder on a "
            "drive that all machines mount under this path"
        )
    files, maker = FolderFiles(job), open_masks(job)
    opened = [open_matter(job.engine, job.plan)]

    def matte(frames: Batch) -> list[Record]:
        sources = {frame.name: stamps(files.sources(frame)) for frame in frames}  # a later change is not in the result
        # The engine of the batch before has failed; a fresh one may work again.
        if not opened:
            opened.append(open_matter(job.engine, job.plan))
        over: dict[str, Done[Frame]] = {}
        try:
            for done in matte_frames(frames, files, opened[0], ProgressMeter(None), maker):
                over[done.item.name] = done
        except (ArtefactError, DeviceError) as error:
            opened.pop().close()
            over |= {frame.name: Done(frame, str(error)) for frame in frames if frame.name not in over}
        return [_record(files, done, sources[name]) for name, done in over.items()]

    return matte


def _record(files: FolderFiles, done: Done[Frame], sources: Stamps) -> Record:
    """Return the record of a frame that this process has matted. sources: stamps from before it was read."""
    worked = done.failure is None
    return Record(
        frame=done.item.name,
        failure=done.failure,
        files=stamps(files.results(done.item).files) if worked else {},
        sources=sources if worked else {},
        remarks=files.remarks.get(done.item.name, Remarks()),
        host=socket.gethostname(),
        pid=os.getpid(),
    )


class Actor:
    """A worker in a process of Ray's. Its errors name this machine."""

    def __init__(self, make: Callable[..., Callable[[Any], list[Any]]], given: tuple[Any, ...]) -> None:
        """make, given: what gives the actor its worker."""
        self._make, self._given = make, given

    def open(self) -> None:
        """Make the worker, which opens its engine. Of an error in the constructor Ray would keep the text alone."""
        with _on_this_machine():
            self._worker = self._make(*self._given)

    def work(self, batch: Any) -> list[Any]:
        """Return what the worker answers for a batch."""
        with _on_this_machine():
            return self._worker(batch)


@contextlib.contextmanager
def _on_this_machine() -> Iterator[None]:
    """Raise our errors with the name of this machine before their messages."""
    try:
        yield
    except LiteMattingError as error:
        raise type(error)(f"on {socket.gethostname()}: {error}", parameter=error.parameter) from error
