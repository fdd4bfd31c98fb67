"""A training run: a folder that holds its recipe, checkpoints, previews, logs and loss curve."""

import ctypes
import dataclasses
import json
import logging
import os
import sys
import warnings
from datetime import timedelta
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from .._files import replace_file
from ..errors import UsageError
from ..model import LiteMatting, load_checkpoint
from .callbacks import CHECKPOINT, Average, Checkpoints, Previews, Progression
from .data import MattingData, Source
from .module import MattingModule
from .pace import fit, measure
from .preview import curve, encode, smooth
from .recipe import Recipe, from_dict

RECIPE = "recipe.json"
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def train(
    run: Path,
    recipe: Recipe,
    sources: tuple[Source, Source],
    console: Console,
    init: Path | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    workers: int = 0,
    minutes: float | None = None,
) -> int:
    """Train in the folder `run` until the recipe's steps or the minutes are over; returns the step reached.

    Goes on from the checkpoint in `run` if it holds one. sources: training and validation. init: weights to begin
    with, in the published layout; the optimiser is fresh. accelerator, devices: as Lightning's, several devices by DDP.
    workers: loader processes. Raises `CheckpointError` for unusable weights.
    """
    pl.seed_everything(recipe.seed, verbose=False)
    _quieten()
    if accelerator == "cpu" or not torch.cuda.is_available():
        keep_freed_memory()
    torch.backends.cudnn.benchmark = True
    checkpoint = run / CHECKPOINT
    module = MattingModule(recipe, load_checkpoint(init) if init else LiteMatting())
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision=recipe.precision,
        max_steps=recipe.steps,
        max_epochs=-1,
        max_time=None if minutes is None else timedelta(minutes=minutes),
        gradient_clip_val=recipe.optimiser.clip_norm,
        val_check_interval=recipe.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False),
        log_every_n_steps=10,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            Average(recipe.optimiser.ema_decay),
            Checkpoints(run, recipe),
            Previews(run / "previews"),
            Progression(console, recipe.steps),
        ],
    )
    data = MattingData(recipe, *sources, workers)
    trainer.fit(module.train(), datamodule=data, ckpt_path=checkpoint if checkpoint.is_file() else None)
    if trainer.is_global_zero:
        draw_curve(run)
    return trainer.global_step


def begin(run: Path, recipe: Recipe | None, resume: bool) -> Recipe:
    """The recipe to train by in the folder `run`, which is made and keeps it; that of the run itself on `resume`.

    Raises `UsageError` when the folder holds a run and `resume` is off, or when the recipe given differs from the
    run's.
    """
    kept = run / RECIPE
    if not kept.is_file():
        run.mkdir(parents=True, exist_ok=True)
        _keep(run, recipe or Recipe())
        return recipe or Recipe()
    before = from_dict(json.loads(kept.read_text(encoding="utf-8")), str(kept))
    if _follows():
        return before
    if not resume:
        raise UsageError(f"{run}: holds a run already; go on with it by --resume or choose another folder")
    if recipe is not None and recipe != before:
        raise UsageError(f"{run}: was begun with another recipe ({kept}); leave the recipe out to go on with that one")
    return before


def fit_into(run: Path, recipe: Recipe, source: Source, device: str, minutes: float, console: Console) -> Recipe:
    """Scale the steps of a run that has not begun so that it takes about `minutes` here; the run keeps the result.

    device: "auto", "cpu" or "cuda". Writes the measured pace to `pace.json` in the run's folder.
    """
    if _follows():
        return recipe
    if (run / CHECKPOINT).is_file():
        raise UsageError(f"{run}: has trained already, its steps are set; leave --fit-minutes out")
    on = torch.device("cpu" if device == "cpu" or not torch.cuda.is_available() else "cuda")
    if on.type == "cpu":
        keep_freed_memory()
    source.prepare(on)
    module = MattingModule(recipe, LiteMatting()).to(on).train()
    paces = []
    for stage in recipe.stages:
        pace = measure(module, source, stage)
        paces.append(pace)
        console.print(
            f"{stage.crop}² in batches of {stage.batch}: {pace.input_s * 1e3:.0f} ms to compose, "
            f"{pace.network_s * 1e3:.0f} ms to train on; composing is {pace.network_s / pace.input_s:.1f} times as fast"
        )
    fitted = fit(recipe, paces, minutes)
    _keep(run, fitted)
    measured = [dataclasses.asdict(stage) | pace._asdict() for stage, pace in zip(fitted.stages, paces, strict=True)]
    about = {"device": torch.cuda.get_device_name() if on.type == "cuda" else "cpu", "stages": measured}
    replace_file(run / "pace.json", (json.dumps(about, indent=1) + "\n").encode())
    return fitted


def _keep(run: Path, recipe: Recipe) -> None:
    replace_file(run / RECIPE, (json.dumps(recipe.to_dict(), indent=1) + "\n").encode())


def _follows() -> bool:
    """Whether Lightning started this process, with the same command line, for another device of the run."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def draw_curve(run: Path) -> None:
    """Write `loss.png` into the run's folder from its TensorBoard logs: the training loss, held-out loss and error."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    names = {"train/total": "loss", "validation/loss": "held-out loss", "validation/error": "held-out error"}
    series = {
        name: smooth([(event.step, event.value) for event in events.Scalars(tag)])
        for tag, name in names.items()
        if tag in events.Tags()["scalars"]
    }
    replace_file(run / "loss.png", encode(curve(series), ".png"))


def keep_freed_memory() -> None:
    """Let glibc keep what PyTorch frees on the CPU.

    It returns large blocks to the system at once and every step then faults them in again: 0.38 s a sample in
    place of 0.21 at 256² on two cores.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _quieten() -> None:
    """Lightning's hints about loader workers and batch sizes do not apply: batches are composed on the device."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
