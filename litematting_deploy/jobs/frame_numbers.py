"""Numbers of frames: which are wanted, in words, and the share of one machine."""

import re
from collections.abc import Iterable
from typing import TypeVar

from ..errors import UsageError

Item = TypeVar("Item")
_MOST_NUMBERS = 1_000_000


def shard(frames: list[Item], text: str) -> list[Item]:
    """Return the part `3/16` of a job: every sixteenth frame, beginning with the third. Raises `UsageError`."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    index, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"`shard` must be PART/PARTS, such as 3/16, with PART from 1 to PARTS; got {text!r}")
    return frames[index - 1 :: count]


def parse_numbers(text: str) -> list[int]:
    """Return the numbers of a text as 1-100, 1-100x2 (every second) or 1,5,9-12. Raises `UsageError`."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(-?\d{1,18})(?:-(-?\d{1,18})(?:x([1-9]\d{0,17}))?)?", part.strip())
        if match is None:
            raise UsageError(f"`frames` must be numbers such as 1-100, 1-100x2 or 1,5,9-12; got {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"`frames` must be in ascending order, unlike {part.strip()}; got {text!r}")
        # They are held in memory, and a number with a digit too many would fill it.
        if last - first >= _MOST_NUMBERS:
            raise UsageError(
                f"`frames` must be at most {_MOST_NUMBERS} numbers, and {part.strip()} is more; choose fewer"
            )
        found += range(first, last + 1, int(match[3] or 1))
    return found


def say_numbers(numbers: Iterable[int]) -> str:
    """Return numbers as a short text that `parse_numbers` reads: 1,5,9-12."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)
