"""The folder of a run: what it was begun with, so that it can go on after anything."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError, UsageError
from ..files import held, make_folder, read_small, replace_file, replacing
from ..model.checkpoint import read_state_dict
from ..schema import decode, encode
from .recipe import Recipe

BEGUN = "run.json"
CHECKPOINT = "last.ckpt"
WEIGHTS = "weights.safetensors"
ENCODED = "encoded.safetensors"
"""The weights a run begins with where an ImageNet encoder was carried over."""
START = "start.ckpt"
"""The checkpoint of a run that is continued, until there is one of the run's own."""
_FROZEN = b'"freeze_guidance"'
"""What `guidance_every` was when it was a yes or no."""
_COMPUTED = CHECKPOINT, ENCODED
_OF_A_RUN = (
    *("pytorch-lightning_version", "epoch", "global_step", "loops", "callbacks", "optimizer_states", "lr_schedulers"),
    *("current_model_state", "averaging_state"),
)
"""What Lightning takes from a checkpoint, beside the weights."""


@dataclass(frozen=True)
class Begun:
    """What a run was begun with, as `run.json` keeps it; paths are absolute.

    recipe: with the steps that were fitted, if any.
    libraries: None for the run's own folder. fit_minutes: None once the recipe's steps have been fitted.
    follows: the folder of the run that it continues. encoder: a file of MobileNetV2, regressed for encoder_minutes.
    """

    recipe: Recipe
    photos: str
    foregrounds: str | None = None
    init: str | None = None
    libraries: str | None = None
    fit_minutes: float | None = None
    strands: str | None = None
    cutouts: str | None = None
    follows: str | None = None
    encoder: str | None = None
    encoder_minutes: float = 30.0


def begin(run: Path, begun: Begun) -> None:
    """Write what a new run is begun with into its folder. Raises as `check_free` does, and `OutputError`."""
    check_free(run)
    if begun.libraries:
        make_folder(Path(begun.libraries))
    if begun.follows:
        # That run may train on: what this one begins with is what is there now.
        with replacing(run / START) as draft:
            shutil.copyfile(Path(begun.follows) / CHECKPOINT, draft)
    keep(run, begun)


def check_free(run: Path) -> None:
    """Raise `UsageError` if a folder holds a run that has computed anything: drawn alphas, which are used again, do not
    count."""
    for name in _COMPUTED:
        if (run / name).exists():
            raise UsageError(
                f"{run}: already contains a run ({name}); continue it with `resume`, or choose another folder"
            )


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Make a run's folder, and keep it from other processes for a while, but those of the run's other devices.

    Raises `UsageError` where another process trains there, and `OutputError`.
    """
    if is_follower():
        yield
        return
    with held(run, "another ltm-train is training there; wait until it ends, or stop it"):
        yield


def keep(run: Path, begun: Begun) -> None:
    """Write what the run was begun with into its folder. Raises `OutputError`."""
    replace_file(run / BEGUN, encode(begun, indent=1))


def reopen(run: Path, by: str = "resume") -> Begun:
    """Return what the run in a folder was begun with. by: the parameter that asks for it.

    Raises `UsageError` if there is none, or if its libraries are not there: who says where may be somebody else, so
    nothing is made outside `run`. Raises `CheckpointError` if it is damaged.
    """
    file = run / BEGUN
    if not os.path.isfile(file):
        raise UsageError(
            f"{run}: contains no run ({BEGUN} was not found); give the folder of a run, or leave `{by}` out to "
            "start one"
        )
    try:
        begun = decode(_settings(file), Begun, name="the settings that a run was started with", error=CheckpointError)
        if (run / CHECKPOINT).is_file():
            _check_checkpoint(run / CHECKPOINT)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; start a new run from its weights with `init={run / WEIGHTS}`") from error
    if begun.libraries and not os.path.isdir(begun.libraries):
        raise UsageError(
            f"{file}: libraries is {begun.libraries}, which is not a folder; create it to draw the alphas there"
        )
    return begun


def _settings(file: Path) -> Path | bytes:
    """Return the file, or its content in today's words if an earlier version wrote it."""
    try:
        content = read_small(file)
    except (OSError, ValueError):
        return file  # whose reader says what is wrong
    if _FROZEN not in content:
        return file
    return content.replace(_FROZEN + b": true", b'"guidance_every": 0').replace(
        _FROZEN + b": false", b'"guidance_every": 1'
    )


def open_followed(run: Path) -> Begun:
    """Return what the run in a folder was begun with, to be continued by another.

    Its own folder is the place of its libraries where it has no other. Raises as `reopen` does, and `UsageError` if it
    has no checkpoint yet.
    """
    begun = reopen(run, "follows")
    if not (run / CHECKPOINT).is_file():
        raise UsageError(f"{run}: has no {CHECKPOINT} to continue from yet; continue that run with `resume` first")
    return dataclasses.replace(begun, libraries=begun.libraries or str(run.resolve()))


def read_followed(run: Path) -> dict[str, Any]:
    """Return the checkpoint of the run that a fresh run continues, from its copy in the folder `run`.

    Raises `CheckpointError` if it is gone.
    """
    try:
        state: dict[str, Any] = torch.load(run / START, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise CheckpointError(f"{run / START}: cannot be read ({error}); start the run again with `follows`") from error
    return state


def _check_checkpoint(path: Path) -> None:
    """Raise `CheckpointError` unless a file holds all that a run goes on from."""
    read_state_dict(path)
    missing = [name for name in _OF_A_RUN if name not in torch.load(path, map_location="meta", weights_only=True)]
    if missing:
        raise CheckpointError(f"{path}: contains only weights, not a run ({missing[0]} was not found)")


def is_follower() -> bool:
    """Return whether Lightning started this process, with the same command line, for another device of the run.

    Raises `UsageError` where another launcher started it, which would begin the run several times at once.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise UsageError("ltm-train starts a process for each of `devices` itself; run it without torchrun")
    return os.environ.get("LOCAL_RANK", "0") != "0"
