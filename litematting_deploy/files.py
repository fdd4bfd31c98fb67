"""Files: what checkpoints are called, those that the package ships, writing whole or not at all, hashes; TOML and JSON
that nobody vouches for."""

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import time
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import OutputError, UsageError
from .system import is_held, user_cache, why_no_name

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
ONNX_SUFFIX, ENGINE_SUFFIX = ".onnx", ".engine"
LOCK = ".lock"
"""The file by which a process keeps others from a folder."""
_DRAFT_S = 24 * 3600  # more than the clocks of two machines differ by
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # of file systems as FAT; the last on Windows
_ROOM = "free some space, or choose another output"
_HELD_S = (0.05, 0.1, 0.2, 0.4, 0.8)  # pauses, together longer than a scanner takes for a photo
# Written by hand. `tomllib` takes time and memory by the square of a key's parts, which lie on one line.
_TOML_BYTES, _TOML_LINE, _TOML_DEPTH = 1 << 16, 1000, 6
_ASSETS = Path(__file__).with_name("assets")


def asset(name: str) -> Path:
    """Return the path of a file that the package ships."""
    return _ASSETS / name


def has_suffix(path: str | Path, suffix: str) -> bool:
    """Return whether a file has the ending `suffix`, such as `ONNX_SUFFIX`, in capital letters or small ones."""
    return Path(path).suffix.lower() == suffix


def check_writable(path: str | Path) -> None:
    """Raise `OutputError` before any work is done when nothing can be written to `path`."""
    target = Path(path)
    if why := why_no_name(target.name):
        raise OutputError(f"{path}: cannot be written: {why}; choose another output")
    # This finds names that are too long, and folders that cannot be entered, too.
    try:
        target.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; choose another output") from error
    if target.is_dir():
        raise OutputError(f"{path}: cannot be written: it is a folder; give the name of a file")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise OutputError(
            f"{path}: cannot be written: the folder {target.parent} does not exist or is not writable; create it or "
            "choose another output"
        )


def make_folder(path: Path) -> None:
    """Make a folder, and those that it lies in. Raises `OutputError` where it cannot be made or written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be created: {error.strerror}; choose another folder") from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path}: cannot be written: the folder is read-only; choose another folder")


@contextlib.contextmanager
def held(folder: Path, busy: str) -> Iterator[None]:
    """Make a folder, and keep it from other processes for a while, by the file `.lock` in it.

    busy: ends the `UsageError` where another process has it. Raises `OutputError`.
    """
    from filelock import FileLock, Timeout  # of the extras train and video

    make_folder(folder)
    try:
        lock = FileLock(folder / LOCK, thread_local=False).acquire(blocking=False)
    except Timeout:
        raise UsageError(f"{folder}: {busy}") from None
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}; choose another folder") from error
    with lock:
        yield


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a new name beside `path` to write to; it is renamed to `path` at the end, and removed on any error.

    A crash leaves the old file or the new one. Raises `OutputError` when the system refuses.
    """
    target = Path(path)
    draft = target.with_name(f".ltm-{uuid.uuid4().hex}{target.suffix}")  # no longer for a longer target name
    with contextlib.ExitStack() as on_error:
        on_error.callback(_discard, draft)
        try:
            yield draft
            # Before the rename: after a power failure the name could stand for an empty file.
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            rename(draft, target)
        except OSError as error:
            fix = "close the program that has it open, or choose another output" if is_held(error) else _ROOM
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}; {fix}") from error
        on_error.pop_all()


def rename(draft: Path, target: Path) -> None:
    """Rename a file, also onto another; where a program has it open, as virus scanners do on Windows, try for a while.

    Raises `OSError`.
    """
    for pause_s in _HELD_S:
        try:
            draft.replace(target)
            return
        except OSError as error:
            if not is_held(error):
                raise
            time.sleep(pause_s)
    draft.replace(target)


def _discard(draft: Path) -> None:
    with contextlib.suppress(OSError):  # the error that led here is the one to show
        draft.unlink()


def remove_old_drafts(folder: str | Path) -> None:
    """Remove what `replacing` has left in a folder where it was killed; of the last day it may still be written."""
    for path in Path(folder).glob(".ltm-*"):
        if re.fullmatch(r"\.ltm-[0-9a-f]{32}(\..*)?", path.name):
            with contextlib.suppress(OSError):  # another run may have removed it, or own it
                if time.time() - path.stat().st_mtime > _DRAFT_S:
                    path.unlink()


def create_file(path: str | Path, content: bytes) -> bool:
    """Write `content` to `path`, whole, if nothing has that name; else, also where another process is quicker, return
    False. Raises `OutputError`.
    """
    if os.path.exists(path):
        return False
    draft = Path(path).with_name(f".ltm-{uuid.uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, this replaces nothing
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            reason = f"cannot be written: {error.strerror}"
            raise OutputError(f"{path}: {reason}; {_ROOM}") from error
        if os.path.exists(path):
            return False
        rename(draft, Path(path))
    finally:
        _discard(draft)
    return True


def replace_file(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all. Raises `OutputError`."""
    with replacing(path) as draft:
        draft.write_bytes(content)


def write_json(path: str | Path, content: Any) -> None:
    """Write plain values as JSON that people can read, whole or not at all. Raises `OutputError`."""
    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())


def cache_folder() -> Path:
    """Return where compiled device code is kept between runs: `litematting-deploy` in the user's cache folder."""
    return user_cache() / "litematting-deploy"


def read_cached(name: str) -> bytes:
    """Return what `keep_cached` has kept under a name; nothing where it is not there or cannot be read."""
    with contextlib.suppress(OSError):
        return (cache_folder() / name).read_bytes()
    return b""


def keep_cached(name: str, content: bytes) -> None:
    """Keep content in the cache folder; where that cannot be written, the next start has to make it again."""
    path = cache_folder() / name
    with contextlib.suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)


def sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_small(path: str | Path, limit: int = 1 << 20) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises `OSError`, and `ValueError` for a longer one and for what a name may also stand for: a pipe, which would be
    waited for, or a device that never ends.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("not a regular file")
    with Path(path).open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"larger than {limit} bytes")
    return content


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Return the content of a TOML file; `what` it is, as in `a recipe`.

    Raises `UsageError` naming the file and what is wrong, also for one that is larger or nested deeper than anybody
    would write, and for numbers beyond 64 bits, which TOML does not have.
    """
    try:
        content = read_small(path, _TOML_BYTES)
        if any(len(line) > _TOML_LINE for line in content.splitlines()):
            raise ValueError(f"a line is longer than {_TOML_LINE} bytes")
        table = tomllib.loads(content.decode())
        _check_plain(table, 0)
    except RecursionError:
        raise UsageError(f"{path}: cannot be read as {what}: nested too deeply; flatten it") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(f"{path}: cannot be read as {what}: {reason}") from error
    return table


def _check_plain(value: Any, depth: int) -> None:
    """Raise `ValueError` for what nobody writes by hand: deep tables, and integers of more than 64 bits."""
    if depth > _TOML_DEPTH:
        raise ValueError(f"nested deeper than {_TOML_DEPTH} levels")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("contains an integer of more than 64 bits")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, depth + 1)


def below(file: Path, key: str, name: str) -> Path:
    """Return the path that `name`, the value of `key` in a TOML file, means: in the file's own folder or further down,
    links followed.

    So who runs a recipe of somebody else has nothing overwritten elsewhere. Raises `UsageError`.
    """
    leads_out = not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts
    if leads_out or not Path(os.path.realpath(file.parent / name)).is_relative_to(os.path.realpath(file.parent)):
        raise UsageError(
            f"{file}: {key} is {name!r}, expected a file in the folder of {file.name} or below; give any other "
            "place on the command line"
        )
    return file.parent / name
