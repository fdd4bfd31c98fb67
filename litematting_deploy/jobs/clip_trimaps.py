"""The trimaps or masks of a clip: one grey picture per frame, from another clip or from numbered images."""

import contextlib
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.mask import read_mask, read_trimap
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN, decode
from ..segmentation.maker import MaskMaker
from ..specs import Encoding, TrimapSpec
from ..video import is_video
from ..video.reader import Clip, ClipFrame
from .frames import find_sources, is_many
from .trimaps import Read, Trimap, check_together, made_trimap, meaning_of, spread, trimap_of

SURE_BACKGROUND, SURE_FOREGROUND = 32, 223
"""In a clip of trimaps, values up to the one are background, from the other on foreground, and all between unknown:
compression moves grey values, and black and white may be 16 and 235."""
_NEAR_GREY = (96, 161)
_CLEAR_SHARE = 0.5
# The last digits of a name: of tri2.0001.png the number is 1.
_NUMBER = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True, eq=False)
class Pair:
    """A frame of a clip and the picture of its trimap or mask.

    name: of the picture.
    grey: (H, W) uint8, of the frame's size; an error where it cannot be read or has another size; None where a mask is
    made from the frame itself.
    """

    frame: ClipFrame
    name: str
    grey: NDArray[np.uint8] | InputError | None

    def digest(self) -> str:
        """Return a hash of all that the frame's results are made from."""
        grey = self.grey.tobytes() if isinstance(self.grey, np.ndarray) else b""
        return hashlib.blake2b(self.frame.digest() + grey, digest_size=8).hexdigest()


class FrameTrimaps(Protocol):
    """The trimaps of a clip's frames: given, as `ClipTrimaps`, or made from the frames, as `ClipMasks`."""

    def check(self, clip: Clip) -> None:
        """Raise `InputError`, before any work is done, for what no frame could make good."""

    def pairs(self, clip: Clip) -> Iterator[Pair]:
        """Yield all frames of a clip, in order, with what their trimaps are made from. Raises `InputError`."""

    def trimap(self, pair: Pair, network: NDArray[np.uint8]) -> Trimap:
        """Return the trimap of a pair; pairs come in order. network: (H, W, 3) uint8. Raises `InputError`."""


class ClipMasks:
    """Trimaps of masks that are made from the frames of a clip themselves."""

    def __init__(self, spec: TrimapSpec, maker: MaskMaker) -> None:
        self._spec, self._maker = spec, maker

    def check(self, clip: Clip) -> None:
        """Do nothing: each frame shows for itself what is in it."""

    def pairs(self, clip: Clip) -> Iterator[Pair]:
        """Yield all frames of a clip."""
        yield from (Pair(frame, frame.name, None) for frame in clip.frames())

    def trimap(self, pair: Pair, network: NDArray[np.uint8]) -> Trimap:
        """Return the trimap of a frame; an object may leave the picture. Raises `InputError`."""
        # `made_trimap` asks for the soft masks of a clip here, one by one and in the order of its frames.
        return made_trimap(network, self._spec, self._maker, pair.name, alone=False)


class ClipTrimaps:
    """The trimaps or masks of a clip, in the order of its frames."""

    def __init__(self, path: str, spec: TrimapSpec, max_megapixels: float) -> None:
        """Open a clip, or find the images of a folder or pattern.

        Raises `InputError` where there is nothing, a file has no number, or numbers are missing or there twice.
        """
        self.path = path
        self._spec, self._max_megapixels = spec, max_megapixels
        self._meaning = meaning_of(spec)
        self._clip = Clip(path, max_megapixels) if is_video(path) else None
        if self._clip is None and not is_many(path):
            raise InputError(f"{path}: a clip needs a clip, a folder or a pattern here, one picture for each frame")
        self._files = _numbered(path) if self._clip is None else []
        self._count = len(self._files) if self._clip is None else self._clip.count

    def check(self, clip: Clip) -> None:
        """Raise `InputError`, before any work is done, for what no frame could make good.

        That is a count other than the clip's, where both are known, trimaps without any unknown pixels, and masks none
        of which reaches the top of its range.
        """
        # Some containers do not say how many frames they hold; then `pairs` finds out at the end.
        if None not in (clip.count, self._count) and clip.count != self._count:
            raise InputError(
                f"{self.path}: has {self._count} pictures, {clip.path} has {clip.count} frames; make one for each frame"
            )
        check_together(self._spec, self._looks(), self.path)

    def pairs(self, clip: Clip) -> Iterator[Pair]:
        """Yield all frames of a clip with their pictures.

        Raises `InputError` where there are not as many of the one as of the other.
        """
        # Masks of a clip may fade in and out: that one of them is bright was checked before.
        rest = self._greys(self._files, alone=False)
        for frame in clip.frames():
            name, read = next(rest, ("", None))
            if read is None:
                raise InputError(f"{self.path}: ends before {frame.name}; make one picture for each frame")
            yield Pair(frame, name, _sized(name, read, frame, clip.path))
        if next(rest, None) is not None:
            raise InputError(
                f"{self.path}: goes on after the last frame of {clip.path}; make one picture for each frame"
            )

    def trimap(self, pair: Pair, network: NDArray[np.uint8]) -> Trimap:
        """Return the trimap of a pair. Raises `InputError`.

        network: (H, W, 3) uint8 sRGB, the frame as the network sees it.
        """
        if isinstance(pair.grey, InputError):
            raise pair.grey
        assert pair.grey is not None
        known = self._known(pair.grey, pair.name, alone=False)
        if self._spec.kind == "trimap":
            return Trimap(known)
        return Trimap(trimap_of(known, self._spec, pair.name, network))

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


def decode_grey(grey: NDArray[np.uint8], name: str, encoding: Encoding | None, compressed: bool) -> NDArray[np.uint8]:
    """Return a trimap (H, W) of 0 / 128 / 255 from a grey picture.

    compressed: it went through a video codec. Raises `InputError`, also for what is rather a soft matte, or labels.
    """
    if encoding in ("exact", "labels") or not compressed:
        return decode(grey, encoding or "exact", name)
    if encoding is None:
        _check_compressed(grey, name)
    sure = np.where(grey >= SURE_FOREGROUND, np.uint8(FOREGROUND), np.uint8(BACKGROUND))
    return np.where((grey > SURE_BACKGROUND) & (grey < SURE_FOREGROUND), np.uint8(UNKNOWN), sure)


def _check_compressed(grey: NDArray[np.uint8], name: str) -> None:
    """Raise `InputError` for a compressed picture (H, W) that is rather a matte, or labels, than a trimap."""
    counts = np.bincount(grey.ravel(), minlength=256)
    unknown = counts[SURE_BACKGROUND + 1 : SURE_FOREGROUND].sum()
    # A codec moves grey 128 a little; in a matte the values between lie everywhere.
    if unknown and counts[slice(*_NEAR_GREY)].sum() < _CLEAR_SHARE * unknown:
        raise InputError(
            f"{name}: most values between black and white are far from grey 128, as in a matte and not in a trimap; "
            "give it as `mask`, or choose `trimap_encoding=between`"
        )
    # Fewer may be what compression makes of a black frame.
    if counts[3:].sum() == 0 and counts[1:3].sum() > grey.size / 100:
        raise InputError(f"{name}: holds 0, 1 and 2 only; if these are labels, choose `trimap_encoding=labels`")


def _sized(name: str, read: Read, frame: ClipFrame, clip: str) -> NDArray[np.uint8] | InputError:
    """Return the pixels of a picture or, where it cannot be read or is not of its frame's size, the error."""
    try:
        grey = read()
    # As a value: raised here, it would end the clip even where the job goes past frames that fail.
    except InputError as error:
        return error
    if grey.shape == frame.hw:
        return grey
    (height, width), (frame_height, frame_width) = grey.shape, frame.hw
    return InputError(f"{name}: is {width}x{height}, {clip} is {frame_width}x{frame_height}; they must be of one size")


def _numbered(path: str) -> list[Path]:
    """Return the images of a folder or pattern in the order of their numbers."""
    files: dict[int, Path] = {}
    for frame in find_sources(path, path).frames:
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
