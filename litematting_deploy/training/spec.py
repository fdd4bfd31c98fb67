"""What to train, on what, and how long: one value, from options or from a program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias

import torch

from ..errors import UsageError
from ..parameters import ABOVE_0, Range
from ..specs import Spec
from .progress import Reporter
from .recipe import Precision

Device: TypeAlias = Literal["auto", "cpu", "cuda"]

INHERITED = ("photos", "foregrounds", "strands", "cutouts", "libraries")
"""What a run that follows another takes from it where nothing else is given."""
FOLDERS = (*INHERITED, "init", "follows", "encoder")
_MINUTES = Range(0, 366 * 24 * 60, above=True, words="above 0 and at most a year of minutes")
_FIXED_BY = {"resume": ("recipe", *FOLDERS, "encoder_minutes", "fit_minutes"), "follows": ("init", "encoder")}
_FIX = {
    "resume": "continues with the settings that the run was started with; leave `{0}` out, or start another run with "
    "`follows`, or with `init` and the weights.safetensors of this one",
    "follows": "takes the weights of another run; leave `{0}` out, or `follows`",
}


@dataclass(frozen=True, kw_only=True)
class TrainSpec(Spec):
    """What to train, on what, and how long. Paths are made absolute.

    run: folder of the run. resume: go on with the run that is there, as it was begun.
    recipe: a TOML file; None for that of the run that is followed, else the paper's.
    photos: folder of backgrounds, and of the colours of drawn foregrounds; None for `bg/` of the foregrounds.
    foregrounds: folder with `fg/` and `alpha/`; None for drawn alphas.
    strands, cutouts: folders of grooms and of cut-outs, which are drawn, too.
    libraries: folder where drawn alphas are kept; None for the run's own.
    init: weights to begin with. follows: folder of a run whose weights, averages and optimiser are gone on with.
    encoder: a MobileNetV2 whose features are regressed for `encoder_minutes` first, 30 by default.
    fit_minutes: scale the steps so that all of them take about so long.
    device, devices: `auto`, `cpu` or `cuda`, and how many; several train by DDP.
    workers: processes that draw alphas, or read foregrounds.
    minutes: stop after so long.
    memory_gib: stop, with a checkpoint, once a process holds more memory than so many GiB.

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
    encoder_minutes: Annotated[float | None, _MINUTES] = None
    fit_minutes: Annotated[float | None, _MINUTES] = None
    device: Device = "auto"
    devices: Annotated[int, Range(1)] = 1
    workers: Annotated[int, Range(1)] = 1
    minutes: Annotated[float | None, _MINUTES] = None
    memory_gib: Annotated[float | None, ABOVE_0] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for by, names in _FIXED_BY.items():
            for name in names if getattr(self, by) else ():
                if getattr(self, name) is not None:
                    raise UsageError(f"`{by}` {_FIX[by].format(name)}", parameter=name)
        if self.encoder_minutes is not None and self.encoder is None:
            raise UsageError("`encoder_minutes` requires `encoder`; add it, or leave `encoder_minutes` out")


class Session(NamedTuple):
    """A run in this process: what was asked for, the first device, the precision decided on, and who is told.

    fused: whether the network is computed with the kernels of `fused`.
    """

    spec: TrainSpec
    device: torch.device
    precision: Precision
    report: Reporter
    fused: bool = False
