"""An actor of a cluster: an engine that stays open, and the frames that it mattes in batches."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import ArtefactError, DeviceError, InputError, LiteMattingError
from ...runtime import Matter, open_matter
from ...specs import JobSpec
from ..folder import FolderFiles, matte_frames
from ..frames import Frame
from ..outputs import Remarks
from ..progress import ProgressMeter
from ..resume import SETTINGS, result_settings
from ..run import Done
from ..trimaps import open_masks
from .manifest import Record, Stamps, stamps

Batch: TypeAlias = tuple[int, ...]
"""The numbers of frames that an actor mattes before it answers."""


@dataclass(frozen=True)
class Share:
    """All that an actor needs to know: the job, whose paths are absolute, and its frames."""

    spec: JobSpec
    frames: list[Frame]

    def open_matter(self) -> Matter:
        """Open the engine of the job. Raises what `runtime.open_matter` raises."""
        return open_matter(self.spec.engine, self.spec.plan)


def examine(share: Share) -> tuple[dict[str, Any], str]:
    """Return the settings that decide on the results, and the engine in words, as an actor has them."""
    with share.open_matter() as matter:
        return result_settings(matter, share.spec), matter.engine.describe()


def make_worker(share: Share) -> Callable[[Batch], list[Record]]:
    """Open an engine that stays open, and return what mattes frames with it, reading and writing beside each other.

    An error of the engine fails the frames that are left of a batch; the next begins with another engine. Raises
    `InputError` where this machine has another folder of the name of the job's output.
    """
    output = share.spec.output.alpha
    # The driver writes it before any actor begins.
    if not (Path(output) / SETTINGS).exists():
        raise InputError(
            f"{output}: is not the folder that the job was started with: it has no {SETTINGS}; use a folder on a "
            "drive that all machines mount under this path"
        )
    files, maker = FolderFiles(share.spec), open_masks(share.spec)
    opened = [share.open_matter()]

    def matte(batch: Batch) -> list[Record]:
        frames = [share.frames[number] for number in batch]
        sources = {frame.name: stamps(files.sources(frame)) for frame in frames}  # a later change is not in the result
        # The engine of the batch before has failed; a fresh one may work again.
        if not opened:
            opened.append(share.open_matter())
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

    def __init__(self, make: Callable[..., Callable[[Batch], list[Any]]], given: tuple[Any, ...]) -> None:
        """make, given: what gives the actor its worker."""
        self._make, self._given = make, given

    def open(self) -> None:
        """Make the worker, which opens its engine. Of an error in the constructor Ray would keep the text alone."""
        with _on_this_machine():
            self._worker = self._make(*self._given)

    def work(self, batch: Batch) -> list[Any]:
        """Return what the worker answers for the frames of a batch."""
        with _on_this_machine():
            return self._worker(batch)


@contextlib.contextmanager
def _on_this_machine() -> Iterator[None]:
    """Raise our errors with the name of this machine before their messages."""
    try:
        yield
    except LiteMattingError as error:
        raise type(error)(f"on {socket.gethostname()}: {error}", parameter=error.parameter) from error
