"""Resuming a job: whether its results are made with the same settings."""

import json
import os
from pathlib import Path
from typing import Any

from ..errors import InputError, UsageError
from ..files import create_file, replace_file
from ..images.background import is_image
from ..runtime import Matter
from ..runtime.shipped import SHIPPED_ENGINE
from ..schema import decode
from ..sidecar import weights_sha256
from ..specs import JobSpec
from .trimaps import band_of, meaning_of

SETTINGS = ".ltm-infer.json"


def result_settings(matter: Matter, job: JobSpec) -> dict[str, Any]:
    """Return the settings that decide on the results. The device is none of them, so that machines can share a folder.

    Raises `UsageError` where a job is resumed with a server that does not say which weights it has.
    """
    output, path = job.output, job.engine.engine or str(SHIPPED_ENGINE)
    background = output.background
    if background is not None and is_image(background):
        background = os.path.abspath(background)
    # A server says which weights it has; a file is hashed, or its sidecar knows.
    weights = matter.engine.weights_sha256 or ("unknown" if job.engine.is_served else weights_sha256(path))
    if job.resume and weights == "unknown":
        raise UsageError(
            f"{path}: does not say which weights it has, so `resume` might mix two; leave it out, or serve a model "
            "repository that ltm-export wrote",
            parameter="resume",
        )
    height, width = matter.engine.patch_hw
    trimap = job.trimap
    masks = f"{band_of(trimap)} {meaning_of(trimap)}".replace("`", "").strip()
    return {
        "engine": f"{height}x{width} {matter.engine.precision}, weights {weights[:12]}",
        "plan": matter.placement,
        "unknown": None if trimap.kind == "trimap" else masks,
        "format": output.format,
        "background": background,
        "trimap_encoding": trimap.trimap_encoding,
        "adaptive": trimap.adaptive,
        "depth": output.depth,
        "premultiplied": output.premultiplied,
        "exposure": job.exposure,
        "published": job.plan.published,
        # None, not False: what was begun before there were these has neither.
        "keyframes": job.keyframes or None,
        "first_number": job.first_number,
        "steady": job.steady or None,
    }


def keep_settings(folder: Path, now: dict[str, Any], resume: bool) -> int:
    """Note in `folder` the settings of its results, and return since when they hold, as a file's time in nanoseconds.

    A result that is older may have been made with other settings.
    now: the settings by name, of JSON's types.
    resume: the folder's results stay, so the settings must be the same, also as those of a run that began at the same
    moment.

    Raises `UsageError` where they differ, `InputError` where the note cannot be read, and `OutputError`.
    """
    path = folder / SETTINGS
    content = (json.dumps(now, indent=2) + "\n").encode()
    # Of two runs that begin at once only one creates the note; the other compares its settings with it.
    if resume and create_file(path, content):
        return path.stat().st_mtime_ns
    before: dict[str, Any] | None = None
    try:
        before = decode(
            path,
            dict[str, Any],
            name="a note of settings",
            error=InputError,
            remedy="delete it to make all results again",
        )
    except InputError:
        # Without `resume` all results are made again, whatever the note says.
        if resume:
            raise
    if resume and before is not None:
        changed = [name for name in now if before.get(name) != now[name]]
        if changed:
            raise UsageError(
                f"{folder}: was begun with another {', '.join(changed)} "
                f"({before.get(changed[0])!r}, now {now[changed[0]]!r}); resume with that, or leave `resume` out",
                parameter="resume",
            )
    # The time of the note says since when its settings hold: written anew, it would make older results invalid.
    if before != now:
        replace_file(path, content)
    return path.stat().st_mtime_ns
