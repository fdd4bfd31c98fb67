"""The grey pictures that trimaps of a clip come from: what their values mean, and which files they are in."""

import itertools
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN, decode
from ..specs import Encoding
from ..video.reader import ClipFrame
from .frames import find_sources
from .trimaps import Read

SURE_BACKGROUND, SURE_FOREGROUND = 32, 223
"""In a clip of trimaps, values up to the one are background, from the other on foreground, and all between unknown:
compression moves grey values, and black and white may be 16 and 235."""

_NEAR_GREY = (96, 161)
_CLEAR_SHARE = 0.5
# The last digits of a name: of tri2.0001.png the number is 1.
_NUMBER = re.compile(r"(\d+)\D*$")


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
            f"{name}: most values between black and white are far from grey 128, so this looks like a matte, not a "
            "trimap; give it as `mask`, or set `trimap_encoding=between`"
        )
    # Fewer may be what compression makes of a black frame.
    if counts[3:].sum() == 0 and counts[1:3].sum() > grey.size / 100:
        raise InputError(f"{name}: contains only 0, 1 and 2; if these are labels, set `trimap_encoding=labels`")


def sized(name: str, read: Read, frame: ClipFrame, clip: str) -> NDArray[np.uint8] | InputError:
    """Return the pixels of a picture or, where it cannot be read or is not of its frame's size, the error."""
    try:
        grey = read()
    # As a value: raised here, it would end the clip even where the job goes past frames that fail.
    except InputError as error:
        return error
    if grey.shape == frame.hw:
        return grey
    (height, width), (frame_height, frame_width) = grey.shape, frame.hw
    return InputError(f"{name}: is {width}x{height}, but {clip} is {frame_width}x{frame_height}; the sizes must match")


def numbered(path: str) -> dict[int, Path]:
    """Return the images of a folder or pattern by their numbers, in the order of these. Raises `InputError`."""
    files: dict[int, Path] = {}
    for frame in find_sources(path, path).frames:
        number = frame.number
        if number is None:  # of a folder
            last = _NUMBER.search(frame.image.stem)
            if last is None:
                raise InputError(
                    f"{frame.image}: has no number in its name; number the images for a clip, as in tri.0001.png, "
                    "or move the file away"
                )
            number = int(last[1])
        if number in files:
            raise InputError(f"{frame.image}: has the same number as {files[number]}; move one of them away")
        files[number] = frame.image
    return {number: files[number] for number in sorted(files)}


def check_whole(path: str, numbers: list[int]) -> None:
    """Raise `InputError` where rising numbers leave one out."""
    for before, after in itertools.pairwise(numbers):
        if after > before + 1:
            raise InputError(
                f"{path}: number {before + 1} is missing; provide one image per frame, or set `keyframes` if only "
                "some frames have one"
            )
