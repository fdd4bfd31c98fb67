"""A training run from its folder, its recipe and its sources."""

import dataclasses
import json
import logging
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from .._files import replace_file
from ..errors import DeviceError, InputError
from ..model import LiteMatting
from ..system import keep_freed_memory
from .callbacks import Average, Checkpoints, Deadline, Previews, Progression, WholeFiles
from .data import MattingData, Source
from .module import MattingModule
from .pace import fit, measure
from .preview import curve, encode, smooth
from .recipe import Precision, Recipe
from .rundir import CHECKPOINT, Begun, is_follower, keep


def find_device(name: str, devices: int) -> torch.device:
    """The first device that "auto", "cpu" or "cuda" means here. Raises `DeviceError` if there are not that many."""
    found = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not found):
        return torch.device("cpu")
    if found < devices:
        raise DeviceError(f"--device {name} --devices {devices}: PyTorch sees {found} GPUs; ask for fewer, or for cpu")
    return torch.device("cuda", 0)


def train(
    run: Path,
    recipe: Recipe,
    sources: tuple[Source, Source],
    model: LiteMatting | None,
    device: torch.device,
    precision: Precision,
    console: Console,
    devices: int = 1,
    workers: int = 0,
    minutes: float | None = None,
) -> int:
    """Train in the folder `run` until the recipe's steps or the minutes are over; returns the step reached.

    Goes on from the checkpoint in `run` if it holds one. sources: training and validation. model: the weights to begin
    with, drawn from the recipe's seed if None; the optimiser is fresh. precision: as decided, not "auto". devices: how
    many of the kind of `device`, several by DDP. workers: loader processes. Raises `InputError` for files that cannot
    be read, `TrainingError` when the weights diverge, `KeyboardInterrupt`.
    """
    pl.seed_everything(recipe.seed, verbose=False)
    _quieten()
    if device.type == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.benchmark = True
    trainer = _trainer(run, recipe, device, precision, devices, console, minutes)
    data = MattingData(recipe, *sources, workers)
    module = MattingModule(recipe, (model or LiteMatting()).train())
    checkpoint = run / CHECKPOINT
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint if checkpoint.is_file() else None)
    except InputError as error:
        # From a loader process it comes wrapped in that process's traceback.
        raise InputError(str(error).strip().splitlines()[-1].split("InputError: ")[-1]) from error
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    if trainer.is_global_zero:
        draw_curve(run)
    return trainer.global_step


def _trainer(
    run: Path,
    recipe: Recipe,
    device: torch.device,
    precision: Precision,
    devices: int,
    console: Console,
    minutes: float | None,
) -> pl.Trainer:
    timed = [] if minutes is None else [Deadline(minutes)]
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=devices,
        strategy=_strategy(recipe, devices),
        precision=precision,  # type: ignore[arg-type]
        plugins=[WholeFiles()],
        max_steps=recipe.steps,
        max_epochs=-1,
        gradient_clip_val=recipe.optimiser.clip_norm,
        val_check_interval=min(recipe.validate_every, recipe.steps),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False),
        log_every_n_steps=10,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            Average(recipe.ema_decay),
            *timed,
            Checkpoints(run, recipe),
            Previews(run / "previews"),
            Progression(console, recipe.steps, is_follower()),
        ],
    )


def _strategy(recipe: Recipe, devices: int) -> str:
    """Return Lightning's name for how devices share the work; gradients that a frozen branch lacks must be expected."""
    if devices == 1:
        return "auto"
    frozen = any(stage.freeze_guidance for stage in recipe.stages)
    return "ddp_find_unused_parameters_true" if frozen else "ddp"


def fit_steps(
    run: Path, begun: Begun, source: Source, device: torch.device, precision: Precision, console: Console
) -> Begun:
    """Scale the steps of a run so that it takes the minutes it was begun with; the run keeps the result.

    Writes the measured pace to `pace.json` in the run's folder.
    """
    if begun.fit_minutes is None:
        return begun
    if device.type == "cpu":
        keep_freed_memory()
    source.prepare(device)
    recipe = begun.recipe
    module = MattingModule(recipe, LiteMatting()).to(device).train()
    paces = []
    for stage in recipe.stages:
        pace = measure(module, source, stage, precision)
        paces.append(pace)
        console.print(
            f"{stage.crop}² in batches of {stage.batch}: {pace.input_s * 1e3:.0f} ms to compose, "
            f"{pace.network_s * 1e3:.0f} ms to train on; composing is {pace.network_s / pace.input_s:.1f} times as fast"
        )
    fitted = dataclasses.replace(begun, recipe=fit(recipe, paces, begun.fit_minutes), fit_minutes=None)
    stages = zip(fitted.recipe.stages, paces, strict=True)
    measured = [dataclasses.asdict(stage) | pace._asdict() for stage, pace in stages]
    about = {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "stages": measured}
    replace_file(run / "pace.json", (json.dumps(about, indent=1) + "\n").encode())
    keep(run, fitted)
    return fitted


def draw_curve(run: Path) -> None:
    """Write `loss.png` into the run's folder from its TensorBoard logs: the training loss, held-out loss and error."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    names = {"train/total": "loss", "validation/loss": "held-out loss", "validation/error": "held-out error"}
    series = {}
    for tag, name in names.items():
        if tag in events.Tags()["scalars"]:
            # Steps that a killed run repeated are there twice; the later ones count.
            latest = {event.step: event.value for event in events.Scalars(tag)}
            series[name] = smooth(sorted(latest.items()))
    replace_file(run / "loss.png", encode(curve(series), ".png"))


def _quieten() -> None:
    """Lightning's hints about loader workers and batch sizes do not apply: batches are composed on the device."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
