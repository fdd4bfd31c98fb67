"""The frames of a job: folders and numbered patterns of photos and trimaps, matched by name or by number."""

import functools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias

from ..errors import InputError, UsageError, counted
from ..images.suffixes import READ_SUFFIXES, looks_like_image, why_left_out
from ..specs import JobSpec
from .frame_numbers import parse_numbers, shard

_MOST_NAMED = 8
_PATTERN = re.compile(r"%0?(\d{0,3})d|(#+)")  # no name has more than 255 digits


@dataclass(frozen=True)
class Frame:
    """One photo of a job.

    name: its path below the source without the ending, as in `shot1/frame.0001`.
    trimap: its trimap, or the mask to make one from; None where the photo has none.
    number: its number in a pattern; None in a folder.
    """

    name: str
    image: Path
    trimap: Path | None
    number: int | None = None


Key: TypeAlias = Callable[[Frame], int | str | None]
"""From a photo or a trimap to its number or its name."""


@dataclass(frozen=True)
class Sources:
    """The files that were found for a job.

    passed_over: files of its folders that are not read as pictures.
    unmatched: trimaps or masks that belong to no photo. Hidden files are in neither.
    """

    frames: list[Frame]
    passed_over: list[Path] = field(default_factory=list)
    unmatched: list[Path] = field(default_factory=list)

    @property
    def counts(self) -> str:
        """How many files were not used, for the last line of a job; empty where there are none."""
        passed = f", {self._passed_over()} skipped" if self.passed_over else ""
        return passed + (f", {len(self.unmatched)} without a photo" if self.unmatched else "")

    @property
    def notes(self) -> list[str]:
        """One line for the files that were passed over and why, one for trimaps or masks without a photo."""
        notes = []
        if self.passed_over:
            why = [(path.name, why_left_out(path)) for path in self.passed_over]
            why.sort(key=lambda each: each[1] is None)  # pictures first
            names = _listed([f"{name} ({reason or 'not a supported image'})" for name, reason in why])
            notes.append(f"skipped {self._passed_over()}: {names}")
        if self.unmatched:
            names = _listed([path.name for path in self.unmatched])
            notes.append(f"{len(self.unmatched)} without a photo of that name: {names}")
        return notes

    def _passed_over(self) -> str:
        return counted(len(self.passed_over), "file")


def _composed(key: int | str | None) -> int | str | None:
    """Return a name that macOS has decomposed as other systems write it."""
    # macOS stores an accent as a sign of its own: photos from there and trimaps from elsewhere would not match.
    return unicodedata.normalize("NFC", key) if isinstance(key, str) else key


def is_many(source: str | Path) -> bool:
    """Return whether `source` stands for several files: a folder, or a pattern as frame.%04d.exr or frame.####.exr.

    A file that exists under that very name is no pattern.
    """
    return os.path.isdir(source) or _is_pattern(source)


def find_sources(images: str | Path, trimaps: str | Path, numbers: Iterable[int] | None = None) -> Sources:
    """Find the frames of `images` in order, each with its trimap from `trimaps`, and the files that are none of these.

    Both are folders, searched with their sub-folders, or patterns. Two patterns belong together by number, so that
    `beauty.%04d.exr` and `trimap.%04d.png` do; everything else by name, whatever the ending.
    numbers: the frames of a pattern that are wanted; None for all.

    Raises `InputError` where there is nothing, a folder cannot be read or two files are for one frame, and
    `UsageError` for numbers without a pattern.
    """
    wanted = None if numbers is None else set(numbers)
    if wanted is not None and not _is_pattern(images):
        raise UsageError(
            f"{images}: `frames` selects from a numbered pattern, such as frame.%04d.exr, and this is a folder; "
            "give a pattern, or leave `frames` out",
            parameter="frames",
        )
    others: dict[Path, None] = {}
    found = _files(images, others)
    if not found:
        notes = "".join(f"; {note}" for note in Sources([], sorted(others)).notes)
        raise InputError(
            f"{images}: contains no image ({', '.join(READ_SUFFIXES)}); give a folder of images, or a pattern such "
            f"as frame.%04d.exr{notes}"
        )
    photos = [file for file in found if wanted is None or file.number in wanted]
    if wanted is not None and not photos:
        raise InputError(
            f"{images}: no image is numbered {min(wanted)} to {max(wanted)}; the numbers range from "
            f"{found[0].number} to {found[-1].number}"
        )
    # What a photo and its trimap have in common.
    key_of: Key = attrgetter("number" if _is_pattern(images) and _is_pattern(trimaps) else "name")
    photo_by_key = _by_key(photos, key_of)
    wanted_keys = set(map(_composed, photo_by_key))
    offered = _files(trimaps, others)
    known = _by_key((file for file in offered if _composed(key_of(file)) in wanted_keys), key_of)
    # Only where no file has the very name of the photo: a folder may hold both forms.
    composed = {_composed(key): file for key, file in known.items()}
    frames = []
    for key, photo in photo_by_key.items():
        trimap = known.get(key) or composed.get(_composed(key))
        frames.append(photo if trimap is None else replace(photo, trimap=trimap.image))
    unmatched = [file.image for file in offered if _composed(key_of(file)) not in wanted_keys]
    # Of a few chosen frames, the trimaps of the others are no surprise.
    return Sources(frames, sorted(others), unmatched if wanted is None else [])


def chosen_frames(job: JobSpec) -> tuple[list[Frame], list[int], Sources]:
    """Return the frames of a job, the wanted numbers that do not exist, both of its shard, and all that was found.

    Raises as `find_sources`, and `UsageError` for numbers or a shard that cannot be.
    """
    numbers = None if job.frames is None else parse_numbers(job.frames)
    sources = find_sources(job.images, job.source, numbers)
    frames = sources.frames
    missing = sorted(set(numbers or ()) - {frame.number for frame in frames})
    if job.shard is not None:
        frames, missing = shard(frames, job.shard), shard(missing, job.shard)
    return frames, missing, sources


def means(pattern: str | Path, name: str) -> bool:
    """Return whether a file of that name, in the folder of a pattern, would be one of its frames."""
    return _rule(Path(pattern)).fullmatch(name) is not None


def _is_pattern(source: str | Path) -> bool:
    """Return whether a name has a place for a number and is not, as it stands, that of a file or folder."""
    return _PATTERN.search(Path(source).name) is not None and not os.path.exists(source)


def _files(source: str | Path, others: dict[Path, None]) -> list[Frame]:
    """Return the images of a folder, by name, or of a pattern, by number; add other files of the folder to `others`."""
    path = Path(source)
    folder = path.parent if _is_pattern(source) else path
    if not os.path.isdir(folder):
        fix = "it is a single file; give" if os.path.exists(folder) else "no such folder; give"
        raise InputError(f"{folder}: {fix} a folder or a pattern such as frame.%04d.exr")
    if _is_pattern(source):
        # By number, since 10 comes before 9 by name where numbers are not padded; the name decides between 1 and 01.
        return sorted(_matching(path), key=lambda file: (file.number or 0, file.name))
    return [
        Frame(file.relative_to(path).with_suffix("").as_posix(), file, None)
        for file in sorted(_walk(path, frozenset(), others))
    ]


def _walk(folder: Path, above: frozenset[str], others: dict[Path, None]) -> Iterator[Path]:
    """Yield the images below a folder that are not hidden, through links, but not in circles.

    A link that leads nowhere is one of them: its frame fails.
    """
    place = os.path.realpath(folder)
    for entry in _entries(folder):
        if entry.name.startswith("."):
            continue
        path, linked = Path(entry), entry.is_symlink()  # which a system says without another look, as what it is
        if os.path.isdir(path) if linked else entry.is_dir():
            if os.path.realpath(path) not in above | {place}:
                yield from _walk(path, above | {place}, others)
        elif looks_like_image(path) and (linked or entry.is_file()):
            yield path
        elif not looks_like_image(path):
            others[path] = None


def _listed(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return what is in a folder. Raises `InputError` where it cannot be read."""
    try:
        # Unlike those of `iterdir`, its entries know what they are without another look, which a network makes slow.
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}; make it readable, or leave it out") from error


@functools.lru_cache
def _rule(pattern: Path) -> "re.Pattern[str]":
    """Return the expression of a pattern's names; its only group is the number, as wide as it says or wider, signed."""
    match = _PATTERN.search(pattern.name)
    assert match is not None
    # As printf counts: a minus sign takes one of the places.
    width = max(1, len(match[2]) if match[2] else int(match[1] or 1))
    before, after = re.escape(pattern.name[: match.start()]), re.escape(pattern.name[match.end() :])
    return re.compile(rf"{before}(\d{{{width},}}|-(?:\d{{{max(1, width - 1)}}}|[1-9]\d{{{width - 1},}})){after}")


def _matching(pattern: Path) -> list[Frame]:
    """Return the files of a pattern's folder whose names it means, with their numbers."""
    rule = _rule(pattern)
    return [
        Frame(Path(entry).stem, Path(entry), None, int(found[1]))
        for entry in _entries(pattern.parent)
        if (found := rule.fullmatch(entry.name))
    ]


def _by_key(files: Iterable[Frame], key_of: Key) -> dict[int | str | None, Frame]:
    """Return files by their keys. Raises `InputError` where two have the same one."""
    seen: dict[int | str | None, Frame] = {}
    for file in files:
        before = seen.setdefault(key_of(file), file)
        if before is not file:
            raise InputError(f"{file.image}: is the same frame as {before.image}; move one of them away")
    return seen
