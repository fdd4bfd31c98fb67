"""What is done of a job, one line of JSON for each frame, beside its results."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import InputError, OutputError
from ...files import parse_json

NAME = "manifest.jsonl"


def stamps(paths: Iterable[str | Path]) -> dict[str, list[int]]:
    """Size in bytes and time in nanoseconds of each file, as a record keeps them."""
    found = {str(path): os.stat(path) for path in paths}
    return {path: [status.st_size, status.st_mtime_ns] for path, status in found.items()}


class Manifest:
    """Records by frame; the last of a frame counts. A line that a crash cut off says nothing.

    Nothing is taken out of it: jobs of other frames or shards may write to it, too.
    """

    def __init__(self, folder: Path, since_ns: int) -> None:
        """since_ns: results that are older are not done. Raises `OutputError`, and `InputError` for what is no file."""
        self.path, self._since_ns = folder / NAME, since_ns
        self._records: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            self._records = _records(self.path)
        try:
            self._file = self.path.open("a")
            if self.path.stat().st_size:
                self._file.write("\n")  # ends what a crash cut off
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}; choose another output") from error

    def add(self, record: dict[str, Any]) -> None:
        """Write down what came of a frame. Raises `OutputError`."""
        self._records[record["frame"]] = record
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}; make room, --resume") from error

    def is_done(self, name: str, files: Iterable[str], sources: Iterable[str]) -> bool:
        """Whether a frame was made from these sources into these files, and neither have changed since."""
        record = self._records.get(name)
        if record is None or record["failure"] is not None:
            return False
        try:
            made = stamps(files)
            newer = all(time_ns >= self._since_ns for _, time_ns in made.values())
            return bool(newer and record["files"] == made and record["sources"] == stamps(sources))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """No records come any more."""
        self._file.close()


def _records(path: Path) -> dict[str, dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; delete it to make all results again") from error
    return {record["frame"]: record for record in map(_parsed, lines) if record is not None}


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = parse_json(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and {"frame", "failure", "files", "sources"} <= set(record)
    return record if whole and isinstance(record["frame"], str) else None
