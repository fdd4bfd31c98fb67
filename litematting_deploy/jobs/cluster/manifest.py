"""A manifest of what is done of a job: one line of JSON for each frame, beside its results."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError, OutputError
from ...schema import decode, encode
from ..outputs import Remarks

NAME = "manifest.jsonl"

Stamps = dict[str, tuple[int, int]]
"""Size in bytes and time in nanoseconds of files, by their paths."""


@dataclass(frozen=True)
class Record:
    """The outcome of a frame.

    frame: its name.
    failure: in one line, why it has no result; None where it has one.
    files, sources: of its results, and of what they are made from; empty for one that failed.
    remarks: what may surprise about it.
    host, pid: the machine and process that matted it; None where no process did.
    """

    frame: str
    failure: str | None
    files: Stamps
    sources: Stamps
    remarks: Remarks = field(default_factory=Remarks)
    host: str | None = None
    pid: int | None = None


def stamps(paths: Iterable[str | Path]) -> Stamps:
    """Return the size and the time of each file, as a record keeps them."""
    found = {str(path): os.stat(path) for path in paths}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found.items()}


class Manifest:
    """The records of a job by frame; the last of a frame counts. A line that a crash cut off is skipped.

    Nothing is taken out of it: jobs of other frames or shards may write to it, too.
    """

    def __init__(self, folder: Path, since_ns: int) -> None:
        """Open the manifest of a folder. Raises `InputError` where it is no file, and `OutputError`.

        since_ns: results that are older are not done.
        """
        self.path, self._since_ns = folder / NAME, since_ns
        self._records = _records(self.path) if self.path.exists() else {}
        try:
            self._file = self.path.open("ab")
            if self.path.stat().st_size:
                self._file.write(b"\n")  # ends what a crash cut off
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}; choose another output") from error

    def add(self, record: Record) -> None:
        """Write down the outcome of a frame, which no more than the file keeps. Raises `OutputError`."""
        try:
            self._file.write(encode(record, indent=None))
            self._file.flush()  # a run that is killed leaves the lines of all frames that are done
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written: {error.strerror}; free some space and continue with `resume`"
            ) from error

    def is_done(self, name: str, files: Iterable[str], sources: Iterable[str]) -> bool:
        """Return whether a frame, by what was written down before this was opened, was made from these sources into
        these files, and neither have changed since."""
        record = self._records.get(name)
        if record is None or record.failure is not None:
            return False
        try:
            made = stamps(files)
            newer = all(time_ns >= self._since_ns for _, time_ns in made.values())
            return newer and record.files == made and record.sources == stamps(sources)
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file: no records come any more."""
        self._file.close()


def _records(path: Path) -> dict[str, Record]:
    """Return the last whole record of each frame in a file. Raises `InputError` where it cannot be read."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; delete it to make all results again") from error
    records = {}
    for line in lines:
        with contextlib.suppress(InputError):
            record = decode(line, Record, name="a record", error=InputError)
            records[record.frame] = record
    return records
