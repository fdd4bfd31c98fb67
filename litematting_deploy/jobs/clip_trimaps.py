"""The trimaps or masks of a clip: from another clip or from numbered images, one grey picture for each frame or, of
keyframes, for some."""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.mask import read_mask, read_trimap
from ..matting.carrying import LONGEST, PackedTrimap, carried
from ..matting.motion import Grey, grey_of
from ..matting.trimap import FOREGROUND
from ..specs import TrimapSpec
from ..video import is_video
from ..video.reader import Clip, ClipFrame
from .clip_greys import check_whole, decode_grey, numbered, sized
from .frames import is_many
from .keyframes import Span, check_distances, say_carried, say_contested, say_one_sided, span_of, too_far
from .trimaps import Read, Trimap, check_together, meaning_of, spread, trimap_of


@dataclass(frozen=True, eq=False)
class Pair:
    """A frame of a clip and the picture of its trimap or mask.

    name: of the picture.
    grey: (H, W) uint8, of the frame's size; an error where it cannot be read or has another size; of a frame between
    keyframes, the trimaps that are carried to it and its neighbours; of one whose mask is made, these neighbours.
    """

    frame: ClipFrame
    name: str
    grey: "NDArray[np.uint8] | InputError | CarriedTrimaps | Neighbours"

    def digest(self) -> str:
        """Return a hash of all that the frame's results are made from."""
        grey = _bytes(self.grey) if isinstance(self.grey, np.ndarray | InputError) else self.grey.digest
        return hashlib.blake2b(self.frame.digest() + grey, digest_size=8).hexdigest()


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The frames around one whose mask is made.

    before: None where there is none. later: the one after it and, so that their masks are begun, more after that; none
    at the end.
    """

    before: ClipFrame | None
    later: tuple[ClipFrame, ...]

    @property
    def after(self) -> ClipFrame | None:
        """The frame after it; None where there is none."""
        return self.later[0] if self.later else None

    @property
    def digest(self) -> bytes:
        """A hash of the frames before and after it."""
        return b"".join(frame.digest() if frame is not None else b"none" for frame in (self.before, self.after))


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A frame of a clip that has a trimap or mask of its own. network: (H, W, 3) uint8 sRGB, as the network sees it."""

    pair: Pair
    network: NDArray[np.uint8]


class CarriedTrimaps:
    """The trimaps of the frames between two keyframes, carried when the first of them is asked for.

    digest: of the pictures of the keyframes.
    """

    def __init__(
        self, begin: int, greys: list[Grey], ends: tuple[Keyframe | None, Keyframe | None], read: "ClipTrimaps"
    ) -> None:
        """begin: the index of the first frame without a keyframe. greys, ends: as `matting.carrying.carried` takes
        them, but for the trimaps, which `read` makes."""
        self.digest = b"".join(_bytes(end.pair.grey) if end is not None else b"none" for end in ends)
        self._begin, self._greys, self._ends, self._read = begin, greys, ends, read

    @functools.cached_property
    def _trimaps(self) -> list[PackedTrimap]:
        first, last = (None if end is None else self._read.trimap(end.pair, end.network).values for end in self._ends)
        trimaps = carried(self._greys, first, last)
        self._greys = []  # which are what takes memory
        self._read.warn_of(trimaps, self._begin)
        return trimaps

    def trimap(self, index: int) -> NDArray[np.uint8]:
        """Return the trimap (H, W) uint8 of 0 / 128 / 255 of a frame. Raises `InputError`."""
        return self._trimaps[index - self._begin].opened()


class ClipTrimaps:
    """The trimaps or masks of a clip, in the order of its frames."""

    def __init__(
        self,
        path: str,
        spec: TrimapSpec,
        max_megapixels: float,
        first_number: int | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """Open a clip, or find the images of a folder or pattern.

        first_number: the images are keyframes, and this is the number of the clip's first frame.
        warn: is called with what to say of keyframes, from any thread.

        Raises `InputError` where there is nothing, a file has no number, or numbers are missing or there twice.
        """
        self.path = path
        self._spec, self._max_megapixels = spec, max_megapixels
        self._meaning = meaning_of(spec)
        self._first_number, self._warn = first_number, warn
        if first_number is not None and not is_many(path):
            raise InputError(
                f"{path}: keyframes for a clip must be numbered images; give a folder or a pattern of them; for "
                f"the first frame alone, name it keys/{spec.kind}.{first_number:04}.png and give the folder keys"
            )
        self._clip = Clip(path, max_megapixels) if is_video(path) else None
        if self._clip is None and not is_many(path):
            raise InputError(
                f"{path}: for a clip, this must be a clip, a folder or a pattern with one image per frame; if you have "
                f"a {spec.kind} of some frames only, or of one, add `keyframes`"
            )
        files = numbered(path) if self._clip is None else {}
        if first_number is None:
            check_whole(path, list(files))
        self._files = list(files.values())
        # By the indices of their frames.
        self._keys = {number - (first_number or 0): str(file) for number, file in files.items()}
        self._count = len(self._files) if self._clip is None else self._clip.count

    def check(self, clip: Clip) -> None:
        """Raise `InputError`, before any work is done, for what no frame could make good.

        That is a count other than the clip's, where both are known, trimaps without any unknown pixels, and masks none
        of which reaches the top of its range.
        """
        if self._first_number is not None:
            self._check_keyframes(clip)
        # Some containers do not say how many frames they hold; then `pairs` finds out at the end.
        elif None not in (clip.count, self._count) and clip.count != self._count:
            raise InputError(
                f"{self.path}: has {self._count} images, but {clip.path} has {clip.count} frames; provide one image "
                "per frame"
            )
        check_together(self._spec, self._looks(), self.path)

    def notes(self, clip: Clip) -> Iterator[tuple[str, bool]]:
        """Yield what to know of keyframes before the work, each with whether it is for those who asked for details."""
        # Some containers tell only at the end how many frames they hold.
        if self._first_number is not None and clip.count is not None:
            keys, first = list(self._keys), self._first_number
            yield say_carried(keys, clip.count, lambda index: str(index + first)), True
            for line in say_one_sided(keys, clip.count, lambda index: f"frame {index + first}"):
                yield line, False

    def warn_of(self, trimaps: Sequence[PackedTrimap], begin: int) -> None:
        """Warn of keyframes that contradict each other. trimaps: those between, the first of the frame `begin`."""
        first = begin + (self._first_number or 0)
        said = say_contested(trimaps, f"frame {first}", f"frame {first + len(trimaps) - 1}")
        if said is not None and self._warn is not None:
            self._warn(said)

    def pairs(self, clip: Clip) -> Iterator[Pair]:
        """Yield all frames of a clip with their pictures.

        Raises `InputError` where there are not as many of the one as of the other, or keyframes are too far apart.
        """
        if self._first_number is not None:
            yield from self._between(clip)
            return
        # Masks of a clip may fade in and out: that one of them is bright was checked before.
        rest = self._greys(self._files, alone=False)
        for frame in clip.frames():
            name, read = next(rest, ("", None))
            if read is None:
                raise InputError(f"{self.path}: ends before {frame.name}; provide one image per frame")
            yield Pair(frame, name, sized(name, read, frame, clip.path))
        if next(rest, None) is not None:
            raise InputError(f"{self.path}: continues after the last frame of {clip.path}; provide one image per frame")

    def trimap(self, pair: Pair, network: NDArray[np.uint8]) -> Trimap:
        """Return the trimap of a pair. Raises `InputError`.

        network: (H, W, 3) uint8 sRGB, the frame as the network sees it.
        """
        if isinstance(pair.grey, InputError):
            raise pair.grey
        if isinstance(pair.grey, CarriedTrimaps):
            return Trimap(pair.grey.trimap(pair.frame.index))
        assert not isinstance(pair.grey, Neighbours)  # of masks that are made
        known = self._known(pair.grey, pair.name, alone=False)
        if self._spec.kind == "trimap":
            return Trimap(known)
        return trimap_of(known, self._spec, pair.name, network)

    def _check_keyframes(self, clip: Clip) -> None:
        """Raise `InputError` for keyframes that no frame of the clip has, or that are too far apart."""
        first = self._first_number or 0
        for index, file in self._keys.items():
            if index < 0 or (clip.count is not None and index >= clip.count):
                last = "" if clip.count is None else f" to {first + clip.count - 1}"
                raise InputError(
                    f"{file}: the frames of {clip.path} are numbered {first}{last}; name the file after one of "
                    "them, or set `first_number` to the number of the first frame"
                )
        check_distances(list(self._keys), clip.count, lambda index: f"{clip.path}: frame {index + first}")

    def _between(self, clip: Clip) -> Iterator[Pair]:
        """Yield all frames of a clip, of which some are keyframes. A second decoder runs ahead to the next of these."""
        ahead, keys, span, trimaps = _Ahead(clip, self), list(self._keys), None, None
        for frame in clip.frames():
            pair = self.keyframe(frame, clip)
            if pair is None:
                now = span_of(frame.index, keys, clip.count)
                if trimaps is None or now != span:
                    span, trimaps = now, ahead.until(now)
                pair = Pair(frame, self.path, trimaps)
            yield pair

    def keyframe(self, frame: ClipFrame, clip: Clip) -> Pair | None:
        """Return a keyframe with its picture; None for any other frame."""
        file = self._keys.get(frame.index)
        if file is None:
            return None
        return Pair(frame, file, sized(file, partial(self._read, Path(file), False), frame, clip.path))

    def _greys(self, files: Iterable[Path], *, alone: bool) -> Iterator[tuple[str, Read]]:
        """Yield the name of each picture of the clip or, if there is none, of files, and what reads its pixels (H, W).

        alone: masks are read as single ones, which must be clear; see `read_mask`.
        """
        if self._clip is None:
            yield from ((str(file), partial(self._read, file, alone)) for file in files)
        else:
            yield from ((frame.name, frame.grey) for frame in self._clip.frames())

    def _looks(self) -> Iterator[Read]:
        """Yield what reads each trimap or mask as a single one, files in an order that soon comes to an object."""

        def look(name: str, read: Read) -> NDArray[np.uint8]:
            return self._known(read(), name, alone=True)

        with contextlib.suppress(InputError):  # the job itself meets the error, after the frames before it
            for name, read in self._greys(spread(self._files), alone=True):
                yield partial(look, name, read)

    def _read(self, file: Path, alone: bool) -> NDArray[np.uint8]:
        """Return the grey values (H, W) of a trimap or mask in a file."""
        if self._spec.kind == "trimap":
            return read_trimap(file, self._max_megapixels)
        return read_mask(file, self._max_megapixels, meaning=self._meaning, alone=alone)

    def _known(self, grey: NDArray[np.uint8], name: str, *, alone: bool) -> NDArray[np.uint8]:
        """Return the trimap of 0 / 128 / 255, or the mask, that a picture (H, W) means. Raises `InputError`."""
        if self._spec.kind == "trimap":
            return decode_grey(grey, name, self._spec.trimap_encoding, self._clip is not None)
        if self._clip is None:  # `read_mask` has looked at it
            return grey
        chosen = self._meaning.applied(grey, FOREGROUND, name, alone)
        return grey if chosen is None else chosen


class _Ahead:
    """A second decoder of a clip, which collects what carrying needs of the frames up to the next keyframe."""

    def __init__(self, clip: Clip, trimaps: ClipTrimaps) -> None:
        self._clip, self._trimaps = clip, trimaps
        self._frames = clip.frames()
        # The last keyframe, which begins the next span.
        self._last: tuple[Keyframe, Grey] | None = None

    def until(self, span: Span) -> CarriedTrimaps:
        """Return the trimaps of a span. Raises `InputError` where it turns out to be too long."""
        greys: list[Grey] = []
        ends: list[Keyframe | None] = [None, None]
        begin = span.first + span.has_first
        if span.has_first and self._last is not None and self._last[0].pair.frame.index == span.first:
            ends[0] = self._last[0]
            greys.append(self._last[1])
        for frame in self._frames:
            if frame.index < span.first:
                continue
            network = frame.colours.network(frame.signal())
            grey, pair = grey_of(network), self._trimaps.keyframe(frame, self._clip)
            greys.append(grey)
            if pair is not None:
                self._last = Keyframe(pair, network), grey
                ends[frame.index >= begin] = self._last[0]
            elif frame.index - begin >= LONGEST:
                number = begin + self._clip.first_number
                raise too_far(frame.index - begin + 1, f"{self._clip.path}: frame {number}")
            if frame.index == span.last:
                break
        return CarriedTrimaps(begin, greys, (ends[0], ends[1]), self._trimaps)


def _bytes(grey: object) -> bytes:
    """Return what is hashed of a picture (H, W); nothing of an error."""
    return grey.tobytes() if isinstance(grey, np.ndarray) else b""
