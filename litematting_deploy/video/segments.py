"""Segments: results in the making, some frames each, in a folder beside the output, whole or not there."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import LOCK, held, rename, replace_file
from ..schema import decode, encode
from ..specs import DEFAULT_SEGMENT, DEFAULT_SEGMENT_S
from .codecs import Codec, Content
from .reader import Clip, ClipFrame
from .writer import VideoFile

_DRAFT = "draft"
_MOST_BYTES = 1 << 24
"""Of a segment's JSON, which takes some 30 a frame."""


@dataclass(frozen=True)
class Result:
    """The place of a result, and its encoding."""

    path: str
    codec: Codec
    content: Content


@dataclass
class Segment:
    """What a segment holds.

    first: index of its first frame.
    pts: time of each frame, in the clip's time base.
    sources: hash of what each frame was made from.
    end: time at which the last frame ends.
    failed: which frames hold no more than known pixels, and why.
    """

    first: int
    pts: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    end: int = 0
    failed: list[str] = field(default_factory=list)


class Segments:
    """The folder of the segments of a job, and the segment that is being written.

    A segment is there when its JSON is, which is written last.
    """

    def __init__(self, output: str, results: Sequence[Result], clip: Clip, length: int | None) -> None:
        """Begin at the first frame; nothing is written yet.

        output: the file beside which the folder lies. results: what is made of each frame.
        length: how many frames a segment has; None for at most `DEFAULT_SEGMENT`, and fewer where they take longer than
        `DEFAULT_SEGMENT_S`, which bounds what is lost if the machine goes down.
        """
        self.folder = Path(output).with_name(f".{Path(output).name}.parts")
        self.results, self._clip, self._length = results, clip, length
        self._files: list[VideoFile] = []
        self._open = Segment(0)
        self._began_s = time.monotonic()

    @contextlib.contextmanager
    def locked(self, resume: bool, keep: bool = True) -> Iterator[None]:
        """Make the folder, empty unless `resume`, and keep it from other runs for a while.

        keep: leave the folder there at the end.

        Raises `UsageError` where another run writes there, and `OutputError`.
        """
        taken = False
        try:
            with held(self.folder, "another ltm-infer is writing there; wait for it, or stop it"):
                taken = True
                for path in self.folder.iterdir():
                    if path.name != LOCK and (not resume or path.stem.startswith(_DRAFT)):
                        path.unlink()
                try:
                    yield
                finally:
                    self._give_up()
        finally:
            if taken and not keep:  # only now, as Windows removes no file that is open
                self.remove()

    def whole(self, first: int = 0) -> list[Segment]:
        """Return what is done, from a frame on without a gap. Raises `InputError` for what cannot be read."""
        found: list[Segment] = []
        while (path := self._json(first)).exists():
            remedy = "delete it, and its frames will be rendered again"
            segment = decode(
                path, Segment, name="a segment of a clip", error=InputError, remedy=remedy, most_bytes=_MOST_BYTES
            )
            times = [*segment.pts, segment.end]
            if segment.first != first or not len(segment.pts) == len(segment.sources) > 0:
                raise InputError(f"{path}: not a segment of a clip: it lacks frames from {first} on; {remedy}")
            if times != sorted(times) or not -(2**63) <= times[0] <= times[-1] < 2**63:
                raise InputError(f"{path}: not a segment of a clip: its timestamps do not increase; {remedy}")
            found.append(segment)
            first += len(segment.pts)
        return found

    def files(self, index: int, segments: Sequence[Segment]) -> list[Path]:
        """Return the files of a result, by its index."""
        return [self._file(f"{segment.first:08}", index) for segment in segments]

    def add(
        self, frame: ClipFrame, source: str, pictures: Sequence[NDArray[np.float32]], failure: str | None = None
    ) -> None:
        """Encode a picture of a frame for each result; see `codes_of`. Raises `OutputError`.

        source: hash of what they are made from. failure: why they hold known pixels alone.
        """
        if not self._open.pts:
            self._open = Segment(frame.index)
        if not self._files:
            for index, result in enumerate(self.results):
                self._files.append(VideoFile(self._file(_DRAFT, index), result.codec, result.content, self._clip))
        if frame.index != self._open.first + len(self._open.pts):
            raise AssertionError(f"frame {frame.index} is out of order")
        for file, pixels in zip(self._files, pictures, strict=True):
            file.write(pixels, frame.pts)
        self._open.pts.append(frame.pts)
        self._open.sources.append(source)
        if failure is not None:
            self._open.failed.append(failure)
        self._open.end = frame.pts + frame.duration
        # By the index of the frame, so that a clip that is resumed has its segments end where they would have.
        is_last = (frame.index + 1) % (self._length or DEFAULT_SEGMENT) == 0
        if is_last or (self._length is None and time.monotonic() - self._began_s >= DEFAULT_SEGMENT_S):
            self.close()

    def close(self) -> None:
        """End the segment that is being written. Raises `OutputError`."""
        if not self._open.pts:
            return
        files, segment = self._files, self._open
        self._files, self._open, self._began_s = [], Segment(0), time.monotonic()
        for file in files:
            file.close()
        for index, file in enumerate(files):
            # A segment whose JSON is there must be whole, even if the power fails.
            with file.path.open("rb+") as written:
                os.fsync(written.fileno())
            rename(file.path, self._file(f"{segment.first:08}", index))
        replace_file(self._json(segment.first), encode(segment, indent=None))

    def keep_what_is_whole(self) -> None:
        """End the segment after a failure that is not of writing, unless its length is asked for and it matters.

        Frames of a codec that predicts them from each other depend on where segments end.
        """
        if self._length is None or all(result.codec.intra for result in self.results):
            self.close()

    def remove(self) -> None:
        """Remove the folder, at the end."""
        shutil.rmtree(self.folder)

    def _give_up(self) -> None:
        """Close and remove the files of a segment that did not come to its end."""
        for file in self._files:
            with contextlib.suppress(OSError):  # av.FFmpegError is one, and another error is being shown
                file.give_up()
            file.path.unlink(missing_ok=True)
        self._files = []

    def _file(self, stem: str, index: int) -> Path:
        """Return the file of a segment for the result of an index; its ending says the container."""
        return self.folder / f"{stem}.{index}{Path(self.results[index].path).suffix.lower()}"

    def _json(self, first: int) -> Path:
        """Return the JSON of the segment that begins with the frame `first`."""
        return self.folder / f"{first:08}.json"
