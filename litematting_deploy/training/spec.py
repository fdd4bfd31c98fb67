"""What to train, on what, and how long: one value, from options or from a program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import torch
from rich.console import Console

from ..errors import UsageError
from ..parameters import check_number
from ..specs import Spec
from .recipe import Precision

Device: TypeAlias = Literal["auto", "cpu", "cuda"]

INHERITED = ("photos", "foregrounds", "strands", "cutouts", "libraries")
"""What a run that follows another takes from it where nothing else is given."""
FOLDERS = (*INHERITED, "init", "follows", "encoder")
_FIXED_BY = {"resume": ("recipe", *FOLDERS, "fit_minutes"), "follows": ("init", "encoder")}


@dataclass(frozen=True, kw_only=True)
class TrainSpec(Spec):
    """What to train, on what, and how long. Paths are made absolute.

    run: folder of the run. resume: go on with the run that is there, as it was begun.
    recipe: a TOML file; None for the paper's recipe.
    photos: folder of backgrounds, and of the colours of drawn foregrounds; None for `bg/` of the foregrounds.
    foregrounds: folder with `fg/` and `alpha/`; None for drawn alphas.
    strands, cutouts: folders of grooms and of cut-outs, which are drawn, too.
    libraries: folder where drawn alphas are kept; None for the run's own.
    init: weights to begin with. follows: folder of a run whose weights, averages and optimiser are gone on with.
    encoder: a MobileNetV2 whose features are regressed for `encoder_minutes` first.
    fit_minutes: scale the steps so that all of them take about so long.
    device, devices: `auto`, `cpu` or `cuda`, and how many; several train by DDP.
    workers: processes that draw alphas, or read foregrounds.
    minutes: stop after so long.

    Raises `UsageError` for values that are not accepted or contradict each other.
    """

    run: Path
    resume: bool = False
    recipe: Path | None = None
    photos: Path | None = None
    foregrounds: Path | None = None
    strands: Path | None = None
    cutouts: Path | None = None
    libraries: Path | None = None
    init: Path | None = None
    follows: Path | None = None
    encoder: Path | None = None
    encoder_minutes: float = 30.0
    fit_minutes: float | None = None
    device: Device = "auto"
    devices: int = 1
    workers: int = 1
    minutes: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("devices", self.devices, 1)
        check_number("workers", self.workers, 1)
        for by, names in _FIXED_BY.items():
            for name in names if getattr(self, by) else ():
                if getattr(self, name) is not None:
                    raise UsageError(
                        f"`{by}` continues with the settings that the run was started with; leave `{name}` out, or "
                        "start another run with `follows`, or with `init` and the weights.safetensors of this one",
                        parameter=name,
                    )


class Session(NamedTuple):
    """A run in this process: what was asked for, the first device, the precision decided on, and where lines go."""

    spec: TrainSpec
    device: torch.device
    precision: Precision
    console: Console
