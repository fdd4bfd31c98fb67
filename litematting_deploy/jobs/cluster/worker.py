"""An actor of a cluster: an engine that stays open, and the frames that it mattes in batches."""

import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..._optional import require
from ...errors import ArtefactError, DeviceError, InputError, LiteMattingError
from ...runtime import Matter, open_matter
from ...specs import JobSpec
from ..folder import FolderFiles, matte_frames
from ..frames import Frame
from ..outputs import Remarks
from ..progress import ProgressMeter
from ..resume import SETTINGS, result_settings
from ..run import Done
from .manifest import Record, Stamps, stamps

Answer = dict[str, Any]
"""What an actor answers for a frame: its name as `frame`, and whatever else, of JSON's types."""

Worker = Callable[[Sequence[int]], list[Answer]]
"""The work of an actor: matte the frames of these numbers, and answer for each of them."""

ENDS, SAYS = "error", "message"
"""The keys of an answer that ends the job: the type of our error, and its message."""
_DEATHS = 3
"""Of actors, after which a batch is begun again; one that outlives more of them is what kills them."""


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


def make_worker(share: Share) -> Worker:
    """Open an engine that stays open, and return what mattes frames with it, reading and writing beside each other.

    An error of the engine fails the frames that are left of a batch; the next begins with another engine. Raises
    `InputError` where this machine has another folder of the name of the job's output.
    """
    output = share.spec.output.alpha
    if not (Path(output) / SETTINGS).exists():
        raise InputError(
            f"{output}: is not the folder that the job was started with, for it has no {SETTINGS}; put it on a drive "
            "that all machines have under this name"
        )
    files, opened = FolderFiles(share.spec), [share.open_matter()]

    def matte(numbers: Sequence[int]) -> list[Answer]:
        frames = [share.frames[n] for n in numbers]
        sources = {frame.name: stamps(files.sources(frame)) for frame in frames}  # a later change is not in the result
        # The engine of the batch before has failed; a fresh one may work again.
        if not opened:
            opened.append(share.open_matter())
        over: dict[str, Done[Frame]] = {}
        try:
            for done in matte_frames(frames, files, opened[0], ProgressMeter(None)):
                over[done.item.name] = done
        except (ArtefactError, DeviceError) as error:
            opened.pop().close()
            over |= {frame.name: Done(frame, str(error)) for frame in frames if frame.name not in over}
        return [asdict(_record(files, done, sources[name])) for name, done in over.items()]

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


class Attempts:
    """How often each batch was begun: Ray hands one that ends its actors to the next without end."""

    def __init__(self) -> None:
        self._begun: Counter[tuple[int, ...]] = Counter()

    def begin(self, numbers: tuple[int, ...]) -> int:
        """Count one more beginning, and return how many there were."""
        self._begun[numbers] += 1
        return self._begun[numbers]


class Actor:
    """A worker in a process of Ray's. It answers with our own errors, since Ray keeps neither their type nor, of a
    constructor's, their text."""

    def __init__(self, attempts: Any, make: Callable[..., Worker], arguments: tuple[Any, ...]) -> None:
        """attempts: Ray's handle of `Attempts`. make, arguments: what gives the actor its worker, once."""
        self._attempts = attempts
        self._broken: list[Answer] = []
        try:
            self._worker = make(*arguments)
        except LiteMattingError as error:
            self._broken = [_ending(error)]

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Return the answers for the frames of a batch as JSON; none for one that has killed its actors."""
        ray: Any = require("ray", "ray", "an actor")

        numbers = batch["number"].tolist()
        if ray.get(self._attempts.begin.remote(tuple(numbers))) > 1 + _DEATHS:
            return {"answer": []}
        try:
            answers = self._broken or self._worker(numbers)
        except LiteMattingError as error:
            answers = [_ending(error)]
        return {"answer": [json.dumps(answer) for answer in answers]}


def _ending(error: LiteMattingError) -> Answer:
    """Return the answer that ends the job with an error, naming this machine."""
    return {ENDS: type(error).__name__, SAYS: f"on {socket.gethostname()}: {error}"}
