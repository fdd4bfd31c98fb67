"""Resuming a job, or sharing it with others: whether all of its results are made with the same settings."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..errors import DependencyError, DeviceError, InputError, UsageError
from ..files import create_file, replace_file, sha256
from ..images.background import is_image
from ..runtime import Matter, open_matter
from ..runtime.shipped import SHIPPED_ENGINE
from ..schema import decode
from ..sidecar import weights_sha256
from ..specs import AUTO, DEFAULT_UNKNOWN_WIDTH, WAYS, EngineSpec, JobSpec, Joining, OutputSpec, PlanSpec, TrimapSpec
from .trimaps import band_of, meaning_of

SETTINGS = ".ltm-infer.json"
_OF_ITS_WAY = "of its way"
_SERVER = "server"
"""Noted in place of a device where a server ran the network."""
_FILES = ("plate", "segmenter", "sure_foreground", "sure_background")
"""Options of masks whose files are recorded by their contents."""
_OF_MASKS = (*WAYS, "doubt", "largest", "key_tolerance", "key_softness", "sure_foreground", "sure_background")


def begin(job: JobSpec, folder: Path) -> tuple[Matter, int]:
    """Open the engine of a job whose results lie in `folder`, and note its settings there.

    Returns the matter, and since when the settings hold, see `keep_settings`. Raises what these and `open_begun` raise.
    """
    for is_last in (False, True):
        begun = as_begun(job, folder)
        with contextlib.ExitStack() as on_error:
            matter = on_error.enter_context(open_begun(job, folder))
            try:
                since_ns = keep_settings(folder, result_settings(matter, job), job.joins)
            except UsageError:
                # While this engine opened, another machine's shard may have noted the device that `auto` is there.
                if is_last or as_begun(job, folder) == begun:
                    raise
                continue
            on_error.pop_all()
            return matter, since_ns
    raise AssertionError("the second time, the error is raised")


def open_begun(job: JobSpec, folder: Path) -> Matter:
    """Open the engine of a job; where results in `folder` stay, `auto` is the device that they were begun with.

    Raises what `open_matter` and `as_begun` raise.
    """
    begun = as_begun(job, folder)
    try:
        return open_matter(begun.engine, begun.plan)
    except (DependencyError, DeviceError) as error:
        if begun == job:
            raise
        raise type(error)(
            f"{folder}: was started with `device={begun.engine.device}`, which does not work here: {error}",
            parameter=error.parameter,
        ) from error


def as_begun(job: JobSpec, folder: Path) -> JobSpec:
    """Return the job with the device in the place of `auto` that `folder` was begun with, where its results stay.

    A server has no device that could be used here, so `auto` stays after one.

    Raises `InputError` where the note of it cannot be read.
    """
    automatic = job.engine.device == AUTO and not job.engine.is_served
    if job.joins is None or not automatic or not (folder / SETTINGS).exists():
        return job
    device = _noted(folder).get("device")
    if not isinstance(device, str) or device == _SERVER:
        return job
    return replace(job, engine=replace(job.engine, device=device))


def result_settings(matter: Matter, job: JobSpec) -> dict[str, Any]:
    """Return the settings that decide on the results. Of several GPUs it does not matter which, nor on which server.

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
            f"{path}: does not report its weights, so `resume` might mix two sets; leave it out, or serve a model "
            "repository that ltm-export wrote",
            parameter="resume",
        )
    height, width = matter.engine.patch_hw
    trimap = job.trimap
    masks = f"{band_of(trimap)} {meaning_of(trimap)}".replace("`", "").strip()
    unknown = {"trimap": None, "mask": masks, "photo": str(trimap.unknown_width or _OF_ITS_WAY)}
    return {
        "engine": f"{matter.engine.name} {height}x{width}, weights {weights[:12]}",
        "device": _SERVER if job.engine.is_served else re.sub(r":\d+$", "", matter.engine.device),
        "precision": matter.engine.precision,
        "plan": matter.placement,
        "unknown": unknown[trimap.kind],
        "masks": _made(trimap),
        "format": output.format,
        "background": background,
        "background_fit": output.background_fit,
        "trimap_encoding": trimap.trimap_encoding,
        "adaptive": trimap.adaptive,
        "depth": output.depth,
        "premultiplied": output.premultiplied,
        "exposure": job.exposure,
        "layer": job.layer,
        "input_space": job.input_space,
        "published": job.plan.published,
        # None, not False: what was begun before there were these has neither.
        "keyframes": job.keyframes or None,
        "first_number": job.first_number,
        "steady": job.steady or None,
    }


def _made(trimap: TrimapSpec) -> dict[str, Any] | None:
    """Return how masks are made or cleaned, files by their contents; None where nothing is said of that."""
    settings: dict[str, Any] = {name: getattr(trimap, name) for name in trimap.differing(*_OF_MASKS)}
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return {name: sha256(value)[:12] if value in trimap.files else value for name, value in settings.items()} or None


def _differences(before: dict[str, Any], now: dict[str, Any], changed: list[str]) -> Iterator[str]:
    """Yield each option that differs: as it was, and as it is now."""
    for setting in changed:
        was, wanted = _options(setting, before.get(setting)), _options(setting, now[setting])
        for name in was | wanted:
            earlier, today = _said(name, was.get(name)), _said(name, wanted.get(name))
            if earlier != today:  # a default that follows from another setting differs with it; nobody has given it
                yield f"{earlier}, now {today}"


def _options(setting: str, value: Any) -> dict[str, Any]:
    """Return the options that a setting stands for, by their names."""
    if setting == "masks":
        return dict(value or {})
    if setting == "plan" and value is not None:  # as `Matter.placement` says it
        placed, _, quality = str(value).partition(", quality ")
        plan = placed.removesuffix(", refined")
        return {"plan": plan, "quality": quality or None, "refine": bool(quality) or plan != placed}
    return {setting: value}


_DEFAULTS = {
    each.name: each.default for spec in (EngineSpec, OutputSpec, TrimapSpec, PlanSpec, JobSpec) for each in fields(spec)
}


def _said(name: str, value: Any) -> str:
    """Return the value of an option as people give it, or that it was left out."""
    if name == "unknown":
        return _said_of_band(value)
    if name == "results":  # of a clip, with their codecs
        return f"results {', '.join(value or ())}"
    if value is None and name in ("engine", "device", "precision", "plan"):  # which every version records today
        return f"`{name}` not recorded"
    if value is None or (value is False and _DEFAULTS[name] is False):
        return f"without `{name}`"
    if name == "plan":
        plan, _, part = str(value).partition(", ")
        return f"`plan={plan}`" + (f" `{part.replace(' ', '=')}`" if part else "")
    if name in ("engine", *_FILES):
        return f"`{name}` ({value})"
    if (name, value) == ("device", _SERVER):  # which is no option
        return "on a server"
    if name == "precision":  # which an artefact decides on, too
        return f"an engine in {value}"
    shown = ",".join(map(str, value)) if isinstance(value, list) else value
    return f"`{name}`" if value is True else f"`{name}={shown}`"


def _said_of_band(value: Any) -> str:
    """Return the setting of the unknown band and of the values of masks as people have given it."""
    if value in (None, _OF_ITS_WAY):
        return "trimaps" if value is None else "without `unknown_width`"
    width, *meaning = str(value).split()
    default = " (the default)" if width == DEFAULT_UNKNOWN_WIDTH else ""
    return " ".join([f"`unknown_width={width}`{default}", *(f"`{each}`" for each in meaning)])


def keep_settings(folder: Path, now: dict[str, Any], joins: Joining | None) -> int:
    """Note in `folder` the settings of its results, and return since when they hold, as a file's time in nanoseconds.

    A result that is older may have been made with other settings.
    now: the settings by name, of JSON's types.
    joins: why results in the folder stay (`JobSpec.joins`), so that the settings must be the same, also as those of a
    run that began at the same moment.

    Raises `UsageError` where they differ, `InputError` where the note cannot be read, and `OutputError`.
    """
    path = folder / SETTINGS
    content = (json.dumps(now, indent=2) + "\n").encode()
    # Of two runs that begin at once only one creates the note; the other compares its settings with it.
    if joins is not None and create_file(path, content):
        return path.stat().st_mtime_ns
    before: dict[str, Any] | None = None
    try:
        before = _noted(folder)
    except InputError:
        # Where nothing stays, all results are made again, whatever the note says.
        if joins is not None:
            raise
    changed = [] if before is None else _changed(before, now)
    if joins is not None and before is not None and changed:
        differences = "; ".join(_differences(before, now, changed))
        raise UsageError(
            f"{folder}: was started with other settings: {differences}; {_REMEDIES[joins]}", parameter=joins
        )
    # The time of the note says since when its settings hold: written anew, it would make older results invalid.
    if before is None or changed:
        replace_file(path, content)
    return path.stat().st_mtime_ns


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return which settings of `now` the results made with `before` do not have."""
    was, wanted = _effective(before), _effective(now)
    return [name for name in now if was.get(name) != wanted.get(name)]


def _effective(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the default in the place of an option that was left out, where no photo decides on it."""
    of_files = {"exr": True, "png": False, "tiff": False}.get(settings.get("format") or "")
    defaults = {"exposure": 0, "first_number": 0, "premultiplied": False if "results" in settings else of_files}
    return settings | {name: value for name, value in defaults.items() if settings.get(name) is None}


_REMEDIES: dict[Joining, str] = {
    "resume": "give the earlier options to continue, or leave `resume` out to make all results again",
    "shard": f"give all shards the same options, or delete {SETTINGS} there to make all results again",
}


def _noted(folder: Path) -> dict[str, Any]:
    """Return the settings that are noted in a folder. Raises `InputError`."""
    remedy = "delete it to make all results again"
    name = "a note of settings"
    return decode(folder / SETTINGS, dict[str, Any], name=name, error=InputError, remedy=remedy)
