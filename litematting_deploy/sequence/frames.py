"""Which frames a job has: folders and numbered patterns, photos and trimaps matched by name or by number."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, UsageError
from ..matting.image_io import looks_like_image

_MOST_NUMBERS = 1_000_000
_PATTERN = re.compile(r"%0?(\d{0,3})d|(#+)")  # no name has more than 255 digits


@dataclass(frozen=True)
class Frame:
    """One photo of a job.

    name: its path below the source without the ending, as in `shot1/frame.0001`. trimap: or the mask to make one from;
    None where none belongs to it. number: of a pattern.
    """

    name: str
    image: Path
    trimap: Path | None
    number: int | None = None


@dataclass(frozen=True)
class _File:
    name: str
    number: int | None
    path: Path


def is_many(source: str | Path) -> bool:
    """Whether `source` stands for several files: a folder, or a pattern as `frame.%04d.exr` or `frame.####.exr`.

    What exists under that very name is no pattern.
    """
    return os.path.isdir(source) or _is_pattern(source)


def find_frames(images: str | Path, trimaps: str | Path, numbers: Iterable[int] | None = None) -> list[Frame]:
    """The frames of `images` in order, each with its trimap from `trimaps`.

    Both are folders, searched with their sub-folders, or patterns. Two patterns belong together by number, so that
    `beauty.%04d.exr` and `trimap.%04d.png` do; everything else by name, whatever the ending. numbers: only these, of
    a pattern. Raises `InputError` where there is nothing or two files have one name, `UsageError` for numbers without a
    pattern.
    """
    wanted = None if numbers is None else set(numbers)
    if wanted is not None and not _is_pattern(images):
        raise UsageError(f"{images}: --frames chooses from a numbered pattern, as frame.%04d.exr; this is a folder")
    photos = [file for file in _files(images) if wanted is None or file.number in wanted]
    if not photos:
        of = f" with a number from {min(wanted)} to {max(wanted)}" if wanted else ""
        raise InputError(f"{images}: no image there{of}; give a folder or a pattern, as frame.%04d.exr")
    by_number = _is_pattern(images) and _is_pattern(trimaps)
    known = {(file.number if by_number else file.name): file.path for file in _unique(_files(trimaps), by_number)}
    return [
        Frame(file.name, file.path, known.get(file.number if by_number else file.name), file.number)
        for file in _unique(photos, by_number)
    ]


def shard(frames: list[Frame], text: str) -> list[Frame]:
    """The part `3/16` of a job: every sixteenth frame, beginning with the third. Raises `UsageError`."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    index, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"--shard {text!r}: wanted PART/PARTS, as in 3/16, with PART from 1 to PARTS")
    return frames[index - 1 :: count]


def parse_numbers(text: str) -> list[int]:
    """`1-100`, `1-100x2` (every second) or `1,5,9-12` as numbers. Raises `UsageError`."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18})(?:x([1-9]\d{0,17}))?)?", part.strip())
        if match is None:
            raise UsageError(f"--frames {text!r}: wanted numbers as in 1-100, 1-100x2 or 1,5,9-12")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"--frames {text!r}: {part.strip()} runs backwards")
        if last - first >= _MOST_NUMBERS:
            raise UsageError(f"--frames {text!r}: {part.strip()} is more than {_MOST_NUMBERS} frames; narrow it")
        found += range(first, last + 1, int(match[3] or 1))
    return found


def say_numbers(numbers: Iterable[int]) -> str:
    """Numbers in short, as `parse_numbers` takes them: 1,5,9-12."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def _is_pattern(source: str | Path) -> bool:
    return _PATTERN.search(Path(source).name) is not None and not os.path.exists(source)


def _files(source: str | Path) -> list[_File]:
    """The images of a folder, by name, or of a pattern, by number."""
    path = Path(source)
    if _is_pattern(source):
        return sorted(_matching(path), key=lambda file: (file.number or 0, file.name))
    if not os.path.isdir(path):
        raise InputError(f"{source}: no such folder; give a folder or a pattern, as frame.%04d.exr")
    return [
        _File(file.relative_to(path).with_suffix("").as_posix(), None, file)
        for file in sorted(path.rglob("*"))
        if looks_like_image(file) and file.is_file() and not _is_hidden(file.relative_to(path))
    ]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _matching(pattern: Path) -> list[_File]:
    match = _PATTERN.search(pattern.name)
    assert match is not None
    width = len(match[2]) if match[2] else int(match[1] or 1)
    before, after = re.escape(pattern.name[: match.start()]), re.escape(pattern.name[match.end() :])
    rule = re.compile(rf"{before}(\d{{{width},}}){after}")
    files = pattern.parent.iterdir() if os.path.isdir(pattern.parent) else ()
    return [_File(file.stem, int(found[1]), file) for file in files if (found := rule.fullmatch(file.name))]


def _unique(files: list[_File], by_number: bool) -> list[_File]:
    seen: dict[int | str | None, Path] = {}
    for file in files:
        key = file.number if by_number else file.name
        if key in seen:
            raise InputError(f"{file.path}: stands for the same frame as {seen[key]}; move one of them away")
        seen[key] = file.path
    return files
