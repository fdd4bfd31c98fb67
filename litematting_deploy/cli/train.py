"""ltm-train: weights from photos alone, or from foregrounds with alphas."""

import functools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from .._optional import require
from ..system import give_way
from ..training.spec import TrainSpec
from .command import command, notice, stderr
from .options import option, positive

train_option = functools.partial(option, TrainSpec)
_TERMINATED = 128 + signal.SIGTERM


@command("ltm-train")
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@train_option(
    "--photos",
    help="Folder of photos: backgrounds, and the colours of drawn foregrounds. [default: bg/ of --foregrounds]",
)
@train_option(
    "--foregrounds", help="Folder with fg/ and alpha/ (Composition-1k's training layout). Without it, alphas are drawn."
)
@train_option("--strands", help="Folder of grooms, hair and fur in 3-D (CharMorph .npz, TressFX .tfx), to draw, too.")
@train_option(
    "--cutouts", help="Folder of cut-outs with alpha (PNG, or X_Color and X_Opacity), used in their own colours, too."
)
@train_option("--init", help="Weights to begin with, with a fresh optimiser.")
@train_option("--resume", help="Go on with the run in the folder as it was begun.")
@train_option(
    "--continue",
    "follows",
    metavar="RUN",
    help="Begin with another run's weights, averages and optimiser; RECIPE may be another one. Folders: as RUN's.",
)
@train_option(
    "--encoder",
    metavar="FILE",
    help="Begin with the encoder of an ImageNet MobileNetV2 (torchvision's names, or .npz); the rest as without it.",
)
@train_option("--encoder-minutes", type=positive, help="How long its features are regressed on the photos first.")
@train_option("--minutes", type=positive, help="Stop after so long; --resume goes on.")
@train_option(
    "--fit-minutes",
    type=positive,
    help="Scale the steps of a new run so that all of it takes about so long here (drawn alphas only).",
)
@train_option("--libraries", help="Folder where drawn alphas are kept, for several runs. [default: the run's own]")
@train_option("--device")
@train_option("--devices", help="Several train by DDP.")
@click.option(
    "--background",
    is_flag=True,
    help="Give way to all other work: lowest priority, threads that sleep while they wait, first to go without memory.",
)
@train_option(
    "--workers",
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Processes that draw alphas, or read foregrounds.",
)
def main(background: bool, **options: Any) -> None:
    """Train LiteMatting.

    RECIPE is a TOML file, see recipes/; without one, the paper's recipe is used. The folder of the run gets last.ckpt
    (to go on from), weights.safetensors (small, fp16, to export or to begin another run with), previews/, TensorBoard
    logs and, at the end, loss.png.

    \b
    ltm-train recipes/gpu.toml --photos photos/ -o runs/first
    ltm-train --resume -o runs/first
    ltm-train recipes/cooldown.toml --continue runs/first -o runs/cooled
    ltm-train --foregrounds Composition-1k/train --photos coco/train2017 -o runs/paper
    """
    if background:
        give_way()
    # Imported after `give_way`, since PyTorch reads the settings of its threads once.
    for module in ("torch", "lightning", "tensorboard", "safetensors"):
        require(module, "train", "training")
    from ..training.checkpoints import TerminatedError
    from ..training.job import train_run
    from ..training.rundir import is_follower

    spec = TrainSpec(**options)
    resume = f"go on with: ltm-train --resume -o {spec.run}"
    try:
        reached = train_run(spec, stderr)
    except TerminatedError as ended:
        if is_follower():
            return  # with another exit code, Lightning would kill the first process in the midst of its end
        notice(f"{spec.run}: {ended}; {resume}")
        sys.exit(_TERMINATED)
    if reached is not None:
        notice(f"{spec.run}: step {reached.step} of {reached.steps}; weights in {spec.run / 'weights.safetensors'}")
        if reached.step < reached.steps:
            notice(resume)
