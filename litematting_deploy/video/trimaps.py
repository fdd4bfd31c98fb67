"""The trimaps or masks of a clip: one grey picture per frame, from another clip or from numbered images."""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.mask import MaskMeaning, read_mask, read_trimap
from ..jobs.frames import find_frames, is_many
from ..jobs.known import Read, check_some_sure, check_some_unknown, spread
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN, decode
from ..specs import Encoding
from . import is_video
from .reader import Clip, ClipFrame

SURE_BACKGROUND, SURE_FOREGROUND = 32, 223
"""Of a clip of trimaps: up to the one is background, from the other on foreground, all between unknown. Compression
moves grey values, and black and white may be 16 and 235."""
_NEAR_GREY = (96, 161)
_CLEAR_SHARE = 0.5
_NUMBER = re.compile(r"(\d+)\D*$")

Grey = tuple[str, NDArray[np.uint8] | InputError]
"""The name of a picture and its pixels (H, W), or why it has none: its frame alone fails."""


class GreyClip:
    """count: of pictures, where that is known."""

    def __init__(self, path: str, max_megapixels: float) -> None:
        self.path = path
        self._clip = Clip(path, max_megapixels)
        self.count = self._clip.count

    def greys(self) -> Iterator[Grey]:
        """Name and pixels (H, W) of each picture."""
        for frame in self._clip.frames():
            yield frame.name, _or_error(frame.grey)

    def check_some_unknown(self, encoding: Encoding | None) -> None:
        """Raise `InputError` where no trimap has unknown pixels. One that cannot be read says nothing."""
        check_some_unknown(
            self._reads(lambda grey, name: decode_grey(grey, name, encoding, compressed=True)), self.path
        )

    def check_some_sure(self) -> None:
        """Raise `DimMaskError` where no mask reaches white. One that cannot be read says nothing."""
        check_some_sure(self._reads(lambda grey, name: as_mask(grey, name, MaskMeaning(), alone=True)), self.path)

    def _reads(self, decoded: Callable[[NDArray[np.uint8], str], NDArray[np.uint8]]) -> Iterator[Read]:
        try:
            for frame in self._clip.frames():
                yield lambda frame=frame: decoded(frame.grey(), frame.name)  # type: ignore[misc]
        except InputError:
            return  # which the job itself meets, after the frames before it


class GreyFiles:
    """Numbered images, in the order of their numbers, the first belonging to the first frame."""

    def __init__(self, path: str, max_megapixels: float, meaning: MaskMeaning | None) -> None:
        """Raises `InputError` where there is nothing, a file has no number, or numbers are missing or twice there."""
        self.path = path
        self._files = _numbered(path)
        self._meaning = meaning
        self._max_megapixels = max_megapixels
        self.count: int | None = len(self._files)

    def greys(self) -> Iterator[Grey]:
        """Name and pixels (H, W) of each picture."""
        for file in self._files:
            yield str(file), _or_error(partial(self._read, file))

    def check_some_unknown(self, encoding: Encoding | None) -> None:
        """Raise `InputError` where no trimap has unknown pixels. One that cannot be read says nothing."""
        trimaps = spread(self._files, lambda file: decode(self._read(file), encoding or "exact"))
        check_some_unknown(trimaps, self.path)

    def check_some_sure(self) -> None:
        """Raise `DimMaskError` where no mask reaches the top of its range. One that cannot be read says nothing."""
        check_some_sure(spread(self._files, lambda file: read_mask(file, self._max_megapixels)), self.path)

    def _read(self, file: Path) -> NDArray[np.uint8]:
        if self._meaning is None:
            return read_trimap(file, self._max_megapixels)
        return read_mask(file, self._max_megapixels, meaning=self._meaning, alone=False)


def _or_error(read: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8] | InputError:
    try:
        return read()
    except InputError as error:
        return error


def open_greys(path: str, max_megapixels: float, meaning: MaskMeaning | None) -> GreyClip | GreyFiles:
    """A clip, or a folder or pattern of images. meaning: of masks; None of trimaps. Raises `InputError`."""
    if is_video(path):
        return GreyClip(path, max_megapixels)
    if not is_many(path):
        raise InputError(f"{path}: a clip needs a clip, a folder or a pattern here, one picture for each frame")
    return GreyFiles(path, max_megapixels, meaning)


def decode_compressed(grey: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """A trimap (H, W) of 0 / 128 / 255 from one that went through a video codec.

    Raises `InputError` for what is rather a soft matte, or labels of 0, 1 and 2.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    unknown = counts[SURE_BACKGROUND + 1 : SURE_FOREGROUND].sum()
    if unknown and counts[slice(*_NEAR_GREY)].sum() < _CLEAR_SHARE * unknown:
        raise InputError(
            f"{name}: most values between black and white are far from grey 128, as in a matte and not in a trimap: "
            "give it as --mask, or say --trimap-encoding between"
        )
    if counts[3:].sum() == 0 and counts[1:3].sum() > grey.size / 100:
        raise InputError(f"{name}: holds 0, 1 and 2 only; if these are labels, say --trimap-encoding labels")
    return between(grey)


def decode_grey(grey: NDArray[np.uint8], name: str, encoding: Encoding | None, compressed: bool) -> NDArray[np.uint8]:
    """A trimap (H, W) of 0 / 128 / 255 from a grey picture. compressed: it comes from a clip. Raises `InputError`."""
    if encoding in ("exact", "labels") or not compressed:
        return decode(grey, encoding or "exact", name)
    return between(grey) if encoding else decode_compressed(grey, name)


def as_mask(grey: NDArray[np.uint8], name: str, meaning: MaskMeaning, alone: bool) -> NDArray[np.uint8]:
    """A mask (H, W) uint8 from a grey picture of a clip, as `read_mask` gives those of files. Raises `InputError`."""
    chosen = meaning.applied(grey, FOREGROUND, name, alone)
    return grey if chosen is None else chosen


def between(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same without looking at what it may be."""
    sure = np.where(grey >= SURE_FOREGROUND, np.uint8(FOREGROUND), np.uint8(BACKGROUND))
    return np.where((grey > SURE_BACKGROUND) & (grey < SURE_FOREGROUND), np.uint8(UNKNOWN), sure)


def _numbered(path: str) -> list[Path]:
    files: dict[int, Path] = {}
    for frame in find_frames(path, path):
        number = frame.number
        if number is None:  # of a folder
            last = _NUMBER.search(frame.image.stem)
            if last is None:
                raise InputError(
                    f"{frame.image}: has no number; name the pictures of a clip as tri.0001.png, or move it"
                )
            number = int(last[1])
        if number in files:
            raise InputError(f"{frame.image}: has the number of {files[number]}; move one of them away")
        files[number] = frame.image
    numbers = sorted(files)
    for before, after in itertools.pairwise(numbers):
        if after > before + 1:
            raise InputError(f"{path}: number {before + 1} is missing; a clip needs a picture for each frame")
    return [files[number] for number in numbers]


@dataclass(frozen=True, eq=False)
class Pair:
    """A frame and its trimap or mask.

    grey: (H, W) uint8, of the frame's size, or why there is none. compressed: it comes from a clip.
    """

    frame: ClipFrame
    name: str
    grey: NDArray[np.uint8] | InputError
    compressed: bool

    def digest(self) -> str:
        """Of all that its results are made from."""
        grey = b"" if isinstance(self.grey, InputError) else self.grey.tobytes()
        return hashlib.blake2b(self.frame.digest() + grey, digest_size=8).hexdigest()


def pairs(clip: Clip, greys: GreyClip | GreyFiles) -> Iterator[Pair]:
    """All frames with theirs; one of another size is an error in its place. Raises `InputError` where there are not as
    many of the one as of the other."""
    rest = greys.greys()
    for frame in clip.frames():
        name, grey = next(rest, ("", None))
        if grey is None:
            raise InputError(f"{greys.path}: ends before {frame.name}; make one picture for each frame")
        if not isinstance(grey, InputError) and grey.shape != frame.hw:
            (height, width), (frame_height, frame_width) = grey.shape, frame.hw
            grey = InputError(
                f"{name}: is {width}x{height}, {clip.path} is {frame_width}x{frame_height}; they must be of one size"
            )
        yield Pair(frame, name, grey, isinstance(greys, GreyClip))
    if next(rest, None) is not None:
        raise InputError(f"{greys.path}: goes on after the last frame of {clip.path}; make one picture for each frame")


def check_counts(clip: Clip, greys: GreyClip | GreyFiles) -> None:
    """Raise `InputError` before any work is done where the counts are known to differ."""
    if None not in (clip.count, greys.count) and clip.count != greys.count:
        raise InputError(
            f"{greys.path}: has {greys.count} pictures, {clip.path} has {clip.count} frames; make one for each frame"
        )
