"""A training run from its folder, its recipe and its sources."""

import errno
import logging
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ..errors import DeviceError, InputError, OutputError
from ..files import replace_file
from ..model import LiteMatting
from ..system import keep_freed_memory
from .callbacks import Previews, Progression, Stop
from .checkpoints import Average, Checkpoints, Follow, Totals, WholeFiles
from .data import MattingData, Sources
from .module import MattingModule
from .preview import curve, encode, smooth
from .recipe import Recipe
from .rundir import CHECKPOINT, Begun, read_followed
from .spec import Session

_PATIENCE = timedelta(days=7)
_FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG


def find_device(name: str, devices: int) -> torch.device:
    """Return the first device that "auto", "cpu" or "cuda" means here. Raises `DeviceError` if there are too few."""
    found = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not found):
        return torch.device("cpu")
    if found < devices:
        raise DeviceError(
            f"`device={name}` and `devices={devices}`: PyTorch sees {found} GPUs; choose fewer, or the CPU"
        )
    return torch.device("cuda", 0)


def train(session: Session, begun: Begun, sources: Sources, model: LiteMatting | None) -> int:
    """Train until the recipe's steps or the minutes are over; return the step reached.

    If the run's folder holds a checkpoint, training goes on from it.

    begun: what the run was begun with, steps fitted.
    sources: of samples for training and for validation.
    model: the weights to begin with, with a fresh optimiser; None for random ones from the recipe's seed.

    Raises `InputError` for files that cannot be read, `TrainingError` when the weights diverge,
    `TerminatedError` after the present step when SIGTERM comes or memory is over its limit, `KeyboardInterrupt`, and
    whatever the reporter raises.
    """
    spec, recipe = session.spec, begun.recipe
    pl.seed_everything(recipe.seed, verbose=False)
    _quieten()
    if session.device.type == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.benchmark = True
    checkpoint = spec.run / CHECKPOINT
    fresh = not checkpoint.is_file()
    trainer = _trainer(session, recipe, read_followed(spec.run) if begun.follows and fresh else None, fresh)
    data = MattingData(recipe, sources, spec.workers)
    module = MattingModule(recipe, (model or LiteMatting()).train(), session.fused)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=None if fresh else checkpoint)
    except InputError as error:
        # From a loader process it comes wrapped in that process's traceback.
        raise InputError(str(error).strip().splitlines()[-1].split("InputError: ")[-1]) from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        # From TensorBoard's log; our own files say it themselves.
        raise OutputError(f"{spec.run}: cannot be written: {error.strerror}; free some space") from error
    except SystemExit as ended:
        # Lightning makes this of Ctrl-C. Before the first step SIGTERM comes as an exit, too, by the caller's handler.
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        # However the run ends: the process would wait for all that is still to be drawn.
        for source in sources:
            source.close()
    if trainer.is_global_zero:
        draw_curve(spec.run)
    return trainer.global_step


def _trainer(session: Session, recipe: Recipe, followed: dict[str, Any] | None, fresh: bool) -> pl.Trainer:
    """Return Lightning's loop. followed: the checkpoint of another run to begin with. fresh: there is no own one."""
    spec, run = session.spec, session.spec.run
    average, totals = Average(recipe.ema_decay), Totals(run, recipe)
    checkpoints = Checkpoints(run, recipe, totals)
    # In the order in which Lightning calls them; each says what it has to come after.
    callbacks: list[Callback] = [average, totals, Follow(followed, average, totals)] if followed else [average, totals]
    callbacks += [checkpoints, Previews(run / "previews"), Progression(session.report, recipe.steps)]
    callbacks.append(Stop(checkpoints, recipe.steps, spec))
    return pl.Trainer(
        accelerator="gpu" if session.device.type == "cuda" else "cpu",
        devices=spec.devices,
        strategy=_strategy(recipe, spec.devices),
        precision=session.precision,  # type: ignore[arg-type]
        plugins=[WholeFiles()],
        max_steps=recipe.steps,
        max_epochs=-1,
        gradient_clip_val=recipe.optimiser.clip_norm,
        val_check_interval=min(recipe.validate_every, recipe.steps),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=-1 if fresh else 0,  # all of it: the validation error before the first step
        use_distributed_sampler=False,
        logger=TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False),
        log_every_n_steps=10,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )


def _strategy(recipe: Recipe, devices: int) -> str | DDPStrategy:
    """Return how devices share the work; gradients that a branch lacks while it is not trained must be expected.

    A process that is paused, or that other work leaves no time, is waited for; one that has ended is noticed at once.
    """
    if devices == 1:
        return "auto"
    untrained = any(stage.guidance_every != 1 for stage in recipe.stages)
    return DDPStrategy(find_unused_parameters=untrained, timeout=_PATIENCE)


def draw_curve(run: Path) -> None:
    """Write `loss.png` into the run's folder from its logs: the losses and the validation error."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    names = {"train/total": "loss", "validation/loss": "validation loss", "validation/error": "validation error"}
    series = {}
    for tag, name in names.items():
        if tag in events.Tags()["scalars"]:
            # Steps that a killed run repeated are there twice; the later ones count.
            latest = {event.step: event.value for event in events.Scalars(tag)}
            series[name] = smooth(sorted(latest.items()))
    replace_file(run / "loss.png", encode(curve(series), ".png"))


def _quieten() -> None:
    """Silence warnings that do not apply."""
    # Of loader workers and batch sizes: batches are composed on the device.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    # Of gradients of 1x1 kernels, whose memory is the same with either strides.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
