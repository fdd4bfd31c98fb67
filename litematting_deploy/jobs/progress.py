"""How far a job is, as one callback is told it, and what became of it in the end."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import NotFiniteError
from ..matting.unknown_band import Widths
from ..parameters import Callback
from ..runtime import Matter
from .outputs import Remarks

WORDS = {
    "patches": "matting",
    "looking": "checking finished frames",
    "foreground colours": "estimating foreground colours",
}
"""What people are told of activities whose names alone do not say enough."""

_MAPPINGS = ("failures", "remarks", "files")


@dataclass(frozen=True)
class JobProgress:
    """The progress of a job at one moment.

    - `what`: the current activity, such as "frames" or "patches".
    - `done`: how much of it is done, including the finished part of the current frame.
    - `total`: how much there is; None if unknown.
    - `eta_s`: estimated seconds left, from the pace so far.
    - `patches`: number of finished patches of the current frame, and of all its patches.
    - `ended`: the name of the frame that has just been written or has failed.
    - `failure`: why it failed.
    - `note`: a message for the user.
    - `detail`: the note is only for users who asked for details.
    """

    what: str
    done: float
    total: int | None
    eta_s: float | None = None
    patches: tuple[int, int] | None = None
    ended: str | None = None
    failure: str | None = None
    note: str | None = None
    detail: bool = False


@dataclass(frozen=True)
class JobResult:
    """The outcome of a job of many frames.

    - `total`: how many frames the job has.
    - `tried`: how many of them were not done before.
    - `seconds`: duration of the whole job.
    - `engine`: in words; empty where nothing was left to do.
    - `failures`: why frames failed, by their names.
    - `missing`: numbers that were asked for and do not exist.
    - `remarks`: what may surprise about frames, by their names.
    - `passed_over`: files of the folders that are not read as pictures.
    - `unmatched`: trimaps and masks without a photo.
    - `left_over`: how many of both, in words.
    - `notes`: what else people should know, in lines.
    - `files`: the results that are there at the end, with the format of a file (png, tiff, exr, jpeg) or the codec of a
      clip.
    - `band_px`: the narrowest and the widest unknown band of the masks of the frames that this job has read, in pixels
      on each side of the edge; None for trimaps, and for a job on a cluster.
    """

    total: int
    tried: int
    seconds: float
    engine: str
    failures: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[int, ...] = ()
    remarks: Mapping[str, Remarks] = field(default_factory=dict)
    passed_over: tuple[Path, ...] = ()
    unmatched: tuple[Path, ...] = ()
    left_over: str = ""
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    band_px: Widths | None = None

    def __post_init__(self) -> None:
        for name in _MAPPINGS:
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        # Mappings that nobody can change cannot be pickled; those that they show can.
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        return partial(JobResult, **state | {name: dict(state[name]) for name in _MAPPINGS}), ()

    @property
    def done(self) -> int:
        """How many frames this job has made."""
        return self.tried - len(self.failures)


Alpha: TypeAlias = NDArray[np.float32] | NotFiniteError
"""The alpha (H, W), 0..1, of a frame, or why there is none."""
Report: TypeAlias = Callable[[JobProgress], None]


class ProgressMeter:
    """Counts what a job does, and reports it.

    failures: the reasons of the frames that failed, by name, in the order of their ends. written: how many frames are
    written, also while their ends are not reported yet.
    """

    def __init__(self, report: Report | None) -> None:
        self.failures: dict[str, str] = {}
        self.written = 0
        self._report = Callback("progress", report)
        self._what = ""
        self._done = 0
        self._total: int | None = None
        self._began_s = time.monotonic()

    @property
    def raised(self) -> BaseException | None:
        """The exception of the caller's own function, which ends the job as it is."""
        return self._report.raised

    def begin(self, what: str, total: int | None) -> None:
        """Begin a stretch of so many steps."""
        # The clock starts anew with each stretch: looking at finished frames says nothing of the pace of matting.
        self._what, self._total, self._done, self._began_s = what, total, 0, time.monotonic()
        self._tell()

    def at(self, done: int, total: int) -> None:
        """Report how many steps of the stretch are done."""
        self._done, self._total = done, total
        self._tell()

    def step(self) -> None:
        """Report that one more step is done; may be called from any thread."""
        self._done += 1
        self._tell()

    def patches(self, done: int, total: int) -> None:
        """Report the patches of the frame that is being matted."""
        self._tell(patches=(done, total), part=done / max(total, 1))

    def alphas(self, matter: Matter, inputs: Iterable[tuple[Any, Any]]) -> Iterator[Alpha]:
        """Yield the alpha of each image and trimap, and count those that have one.

        What trimaps lack is the job's to judge, which sees all of them before.
        """
        for alpha in matter.sequence(inputs, progress=self.patches, go_on=True, allow_no_unknown=True):
            # Frames that have no alpha are counted when they end.
            if not isinstance(alpha, NotFiniteError):
                self.step()
            yield alpha

    def end(self, name: str, failure: str | None = None) -> None:
        """Report that a frame is written or, with a reason, has failed; the failure counts as a step."""
        if failure is not None:
            self.failures[name] = failure
            self._done += 1
        self._tell(ended=name, failure=failure)

    def note(self, text: str, *, detail: bool = False) -> None:
        """Report what people should know."""
        self._tell(note=text, detail=detail)

    def _tell(self, part: float = 0.0, **event: object) -> None:
        """Report the present state. part: of the step that is being done, 0..1. event: fields of `JobProgress`."""
        done = self._done + part
        if self._total is not None:
            # A frame that fails when it is written was counted once before, when its alpha came.
            done = min(done, self._total)
        left = None
        if self._total and done:
            left = (time.monotonic() - self._began_s) * (self._total - done) / done
        self._report(JobProgress(self._what, done, self._total, left, **event))  # type: ignore[arg-type]  # its own fields
