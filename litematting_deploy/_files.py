"""Files: what checkpoints are called, writing whole or not at all, hashes."""

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from .errors import OutputError

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")


def check_writable(path: str | Path) -> None:
    """Raise `OutputError` before any work is done when nothing can be written to `path`."""
    target = Path(path)
    try:
        target.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; choose another output") from error
    if target.is_dir():
        raise OutputError(f"{path}: cannot be written: is a folder; give a file name in it")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise OutputError(
            f"{path}: cannot be written: the folder {target.parent} does not exist or is not writable; "
            "make it or choose another output"
        )


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A new name beside `path` to write to; renamed to `path` at the end, removed on any error.

    A crash leaves the old file or the new one. Raises `OutputError` when the system refuses.
    """
    target = Path(path)
    draft = target.with_name(f".{uuid.uuid4().hex}{target.suffix}")  # no longer for a longer target name
    with contextlib.ExitStack() as on_error:
        on_error.callback(_discard, draft)
        try:
            yield draft
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            draft.replace(target)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written: {error.strerror or error}; choose another output or make room"
            ) from error
        on_error.pop_all()


def _discard(draft: Path) -> None:
    with contextlib.suppress(OSError):  # the error that led here is the one to show
        draft.unlink()


def replace_file(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all. Raises `OutputError`."""
    with replacing(path) as draft:
        draft.write_bytes(content)


def cache_folder() -> Path:
    """Where compiled device code is kept between runs: `litematting-deploy` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "litematting-deploy"


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
