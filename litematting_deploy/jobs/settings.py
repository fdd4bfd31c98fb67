"""What a folder of results is made with: resuming with something else would mix two kinds of results."""

import json
from pathlib import Path
from typing import Any

from ..errors import InputError, UsageError
from ..files import create_file, parse_json, read_small, replace_file

SETTINGS = ".ltm-infer.json"


def keep_settings(folder: Path, now: dict[str, Any], resume: bool) -> int:
    """Note in `folder` what its results are made with; since when that is so, as a file's time in nanoseconds.

    now: by name, of JSON's types. A result that is older may have been made with other settings. Raises `UsageError`
    where `resume` goes on with others, also with those of a run that began at the same moment; `InputError` where what
    is noted cannot be read; `OutputError`.
    """
    path = folder / SETTINGS
    content = (json.dumps(now, indent=2) + "\n").encode()
    if resume and create_file(path, content):
        return path.stat().st_mtime_ns
    before = _noted(path)
    if resume:
        if before is None:
            raise InputError(f"{path}: cannot be read; delete it to make all results again")
        changed = [name for name in now if before.get(name) != now[name]]
        if changed:
            raise UsageError(
                f"{folder}: was begun with another {', '.join(changed)} "
                f"({before.get(changed[0])!r}, now {now[changed[0]]!r}); resume with that, or leave `resume` out"
            )
    if before != now:
        replace_file(path, content)
    return path.stat().st_mtime_ns


def _noted(path: Path) -> dict[str, Any] | None:
    try:
        content = parse_json(read_small(path))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
