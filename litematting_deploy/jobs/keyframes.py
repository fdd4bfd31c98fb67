"""Trimaps or masks for some frames only: between which keyframes a frame lies, and its trimap carried from these."""

import bisect
import itertools
import re
import statistics
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, counted
from ..matting.carrying import LONGEST, PackedTrimap, carried
from ..matting.motion import Grey, grey_of
from ..specs import JobSpec
from .frames import Frame
from .trimaps import photo_of, trimap_for

_SPANS_KEPT = 2
"""Two readers may be on both sides of a keyframe."""
_NUMBERED = re.compile(r"(\D*)(\d*)")
_FIX = "draw a keyframe between them"
_MOST_NOTES = 4
_CONTESTED = 0.1
"""The share of the subject about which keyframes contradict each other that is said: with right ones, none is."""


@dataclass(frozen=True)
class Span:
    """Frames between two keyframes, by their indices.

    first, last: the frames at the ends, which are keyframes where `has_first` and `has_last` say so; only at the ends
    of a sequence one of them is none. last: None where nobody knows how long the sequence is.
    """

    first: int
    last: int | None
    has_first: bool
    has_last: bool


def span_of(index: int, keyframes: Sequence[int], count: int | None) -> Span:
    """Return the span of a frame that is no keyframe.

    keyframes: the indices of all, of which there is at least one, rising. count: of the frames, where it is known.
    """
    place = bisect.bisect(keyframes, index)
    before = keyframes[place - 1] if place else None
    after = keyframes[place] if place < len(keyframes) else None
    last = after if after is not None else None if count is None else count - 1
    return Span(before or 0, last, before is not None, after is not None)


def check_distances(keyframes: Sequence[int], count: int | None, name: Callable[[int], str]) -> None:
    """Raise `InputError` where more than `LONGEST` frames on end have no keyframe. name: of a frame, for the error."""
    ends = [-1, *keyframes, *([] if count is None else [count])]
    for before, after in itertools.pairwise(ends):
        if after - before - 1 > LONGEST:
            raise too_far(after - before - 1, name(before + 1))


def too_far(count: int, name: str) -> InputError:
    """Return the error for so many frames without a keyframe, from `name` on."""
    return InputError(
        f"{name}: the next {count} frames have no keyframe, and trimaps are carried over at most {LONGEST} frames; "
        f"{_FIX}"
    )


def say_carried(keyframes: Sequence[int], count: int, number: Callable[[int], str]) -> str:
    """Return which frames of a sequence are keyframes, and how many have carried trimaps. number: of a frame."""
    keys = ", ".join(map(number, keyframes))
    return f"{counted(len(keyframes), 'keyframe')} ({keys}), carried to {counted(count - len(keyframes), 'frame')}"


def say_one_sided(keyframes: Sequence[int], count: int, name: Callable[[int], str]) -> list[str]:
    """Return what to say of the frames before the first and after the last keyframe, whose trimaps come from one side.

    name: of a frame.
    """
    ends = ((0, keyframes[0] - 1, "before the first", 0), (keyframes[-1] + 1, count - 1, "after the last", count - 1))
    return [
        f"{name(first)}{f' to {name(last)}' if last > first else ''}: {where} keyframe, trimaps are carried from one "
        "side only, and what the subject uncovers stays unknown, more with every frame; draw a keyframe for "
        f"{name(key)}"
        for first, last, where, key in ends
        if first <= last
    ]


def say_contested(trimaps: Sequence[PackedTrimap], first: str, last: str) -> str | None:
    """Return what to say of two keyframes that contradict each other in most of the frames between; None where they
    agree.

    first, last: the names of the first and the last of these frames.
    """
    share = statistics.median(trimap.contested for trimap in trimaps) if trimaps else 0
    if share < _CONTESTED:
        return None
    return (
        f"{first}{f' to {last}' if last != first else ''}: the keyframes before and after contradict each other about "
        f"{share:.0%} of the subject, which is unknown in these frames; check both keyframes, or {_FIX}"
    )


class FolderKeyframes:
    """The trimaps of a folder's or pattern's frames that have none of their own, carried from its keyframes.

    Every sub-folder is a sequence of its own.
    """

    def __init__(self, job: JobSpec, frames: Iterable[Frame], warn: Callable[[str], None]) -> None:
        """frames: all of the job's, in order, whichever are matted. warn: is called with what to say of keyframes, from
        any thread.

        Raises `InputError` for a sequence without a keyframe, and where keyframes are too far apart.
        """
        self._job, self._warn = job, warn
        self._sequences = sequences(frames)
        self._places = {
            frame.name: index for sequence in self._sequences.values() for index, frame in enumerate(sequence)
        }
        self._keys = {
            name: [index for index, frame in enumerate(sequence) if frame.trimap is not None]
            for name, sequence in self._sequences.items()
        }
        for name, sequence in self._sequences.items():
            if not self._keys[name]:
                raise InputError(
                    f"{sequence[0].image.parent}: none of its frames has a {job.trimap.kind} in {job.source}; draw "
                    "at least one, named or numbered like its frame"
                )
            names = [str(frame.image) for frame in sequence]
            check_distances(self._keys[name], len(sequence), names.__getitem__)
        self._lock = threading.Lock()
        self._spans: OrderedDict[tuple[str, Span], _Carried] = OrderedDict()

    def notes(self) -> Iterator[tuple[str, bool]]:
        """Yield what to know before the work, in lines, each with whether it is for those who asked for details."""
        one_sided = []
        for name, sequence in self._sequences.items():
            names = [frame.name for frame in sequence]
            keys = self._keys[name]
            yield say_carried(keys, len(names), names.__getitem__), True
            one_sided += say_one_sided(keys, len(names), names.__getitem__)
        yield from ((line, False) for line in one_sided[:_MOST_NOTES])
        if len(one_sided) > _MOST_NOTES:
            yield f"the same is true of {len(one_sided) - _MOST_NOTES} more parts of the folder", False

    def keyframes(self, frame: Frame) -> tuple[Path, ...]:
        """Return the trimaps or masks that a frame's trimap is carried from; none for a keyframe."""
        if frame.trimap is not None:
            return ()
        sequence, span = self._span(frame)
        ends = ((span.first, span.has_first), (span.last, span.has_last))
        files = (sequence[index].trimap for index, is_key in ends if is_key and index is not None)
        return tuple(file for file in files if file is not None)

    def trimap(self, frame: Frame) -> NDArray[np.uint8]:
        """Return the trimap (H, W) uint8 of 0 / 128 / 255 of a frame that is no keyframe.

        The first frame of a span waits until all of it is carried. Any thread may call. Raises `InputError`.
        """
        sequence, span = self._span(frame)
        key = _sequence(frame), span
        with self._lock:
            found = self._spans.setdefault(key, _Carried())
            while len(self._spans) > _SPANS_KEPT:
                self._spans.popitem(last=False)
        with found.lock:
            if found.failure is None and not found.trimaps:
                try:
                    found.trimaps = self._carry(sequence, span)
                except InputError as error:
                    found.failure = str(error)
            if found.failure is not None:
                raise InputError(found.failure)
            if frame.name not in found.trimaps:
                raise InputError(f"{frame.image}: cannot be read; repair or replace it")
            return found.trimaps[frame.name].opened()

    def _span(self, frame: Frame) -> tuple[list[Frame], Span]:
        sequence = self._sequences[_sequence(frame)]
        return sequence, span_of(self._places[frame.name], self._keys[_sequence(frame)], len(sequence))

    def _carry(self, sequence: list[Frame], span: Span) -> dict[str, PackedTrimap]:
        """Return the trimaps of a span by their frames' names. Frames that cannot be read are gone past."""
        assert span.last is not None  # the length of a folder is known
        job, ends = self._job, {}
        greys: list[Grey] = []
        names: list[str] = []
        for index in range(span.first, span.last + 1):
            frame = sequence[index]
            is_end = frame.trimap is not None
            try:
                photo = photo_of(frame.image, job)
            except InputError:
                # It fails when its turn comes; its neighbours are told apart by flow all the same.
                if is_end:
                    raise
                continue
            if is_end:
                ends[index] = trimap_for(photo, str(frame.trimap), job.trimap, job.max_megapixels, alone=False).values
            grey = grey_of(photo.network)
            if greys and grey.shape != greys[0].shape:
                raise InputError(
                    f"{frame.image}: differs in size from the frames before it; trimaps are carried only between "
                    "frames of the same size"
                )
            greys.append(grey)
            if not is_end:
                names.append(frame.name)
        first = ends.get(span.first) if span.has_first else None
        last = ends.get(span.last) if span.has_last else None
        trimaps = carried(greys, first, last)
        if names and (said := say_contested(trimaps, names[0], names[-1])):
            self._warn(said)
        return dict(zip(names, trimaps, strict=True))


@dataclass(eq=False)
class _Carried:
    """The trimaps of a span by their frames' names, or why there are none."""

    trimaps: dict[str, PackedTrimap] = field(default_factory=dict)
    failure: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def sequences(frames: Iterable[Frame]) -> dict[str, list[Frame]]:
    """Return the sequences that frames make, by the folders they lie in, each in the order of time.

    Numbers in names count as numbers: frame_10 comes after frame_9.
    """
    found: dict[str, list[Frame]] = {}
    for frame in frames:
        found.setdefault(_sequence(frame), []).append(frame)
    for sequence in found.values():
        sequence.sort(key=lambda frame: _in_time(frame.name) if frame.number is None else [("", frame.number)])
    return found


def _in_time(name: str) -> list[tuple[str, int]]:
    """Return what names are compared by: texts, each with the number after it."""
    return [(text, int(number or 0)) for text, number in _NUMBERED.findall(name)]


def _sequence(frame: Frame) -> str:
    """Return the name of the sequence that a frame belongs to: its folder."""
    return frame.name.rpartition("/")[0]
