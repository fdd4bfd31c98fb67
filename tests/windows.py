"""The rules of Windows for files, kept on this system: what is open is neither replaced nor removed, nor are names
that Windows has no files of.

An audit hook refuses what Python does against them below one folder, with the error of Windows. What libraries in C do
is not seen, and neither are handles that a library keeps open beside a file's descriptor.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_SHARING_VIOLATION = 32
_folder: str | None = None
_hooked = False


@contextmanager
def windows_rules(folder: Path) -> Iterator[None]:
    """Refuse in this process what Windows refuses, for files below a folder."""
    global _folder, _hooked
    if not _hooked:  # a hook stays until the process ends
        sys.addaudithook(_check)
        _hooked = True
    _folder = os.path.realpath(folder)
    try:
        yield
    finally:
        _folder = None


def _check(event: str, arguments: tuple[Any, ...]) -> None:
    if _folder is None:
        return
    if event == "os.rename":
        source, target, source_folder, target_folder = arguments
        _check_closed(_absolute(source, source_folder))
        _check_closed(_absolute(target, target_folder))
        _check_name(_absolute(target, target_folder))
    elif event == "os.remove":
        _check_closed(_absolute(*arguments))
    elif event == "os.mkdir":
        _check_name(_absolute(arguments[0], arguments[2]))
    elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        _check_name(_absolute(arguments[0], -1))


def _absolute(path: Any, folder: int) -> str:
    """Return a path as the system knows it; `folder` is what it is relative to, as a descriptor, or -1."""
    base = os.getcwd() if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")
    parent, name = os.path.split(os.path.join(base, os.fsdecode(path)))
    return os.path.join(os.path.realpath(parent), name)


def _is_ours(path: str) -> bool:
    return _folder is not None and path.startswith(f"{_folder}/")


def _check_closed(path: str) -> None:
    if not _is_ours(path):
        return
    opened = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            opened.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # that of the listing itself
            continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        opened |= {line.split(maxsplit=5)[-1].strip() for line in maps if line.count("/")}
    if path in opened and os.path.isfile(path):
        error = PermissionError(13, "The process cannot access the file because it is being used by another process")
        error.winerror = _SHARING_VIOLATION  # type: ignore[attr-defined]  # as there
        raise error


def _check_name(path: str) -> None:
    name = os.path.basename(path)
    if _is_ours(path) and (_DEVICE.fullmatch(name) or re.search(r'[<>:"|?*\x00-\x1f\\]|[ .]$', name)):
        raise OSError(22, f"The filename, directory name, or volume label syntax is incorrect: {name!r}")
