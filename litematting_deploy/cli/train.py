"""ltm-train: weights from photos alone, or from foregrounds with alphas."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from .._optional import require
from ..system import give_way
from .command import command, notice, stderr

_folder = click.Path(path_type=Path)
_TERMINATED = 128 + signal.SIGTERM


@command("ltm-train")
@click.argument("recipe", type=_folder, required=False)
@click.option("-o", "--output", "run", type=_folder, required=True, help="Folder of the run.")
@click.option(
    "--photos",
    type=_folder,
    help="Folder of photos: backgrounds, and the colours of drawn foregrounds. [default: bg/ of --foregrounds]",
)
@click.option(
    "--foregrounds",
    type=_folder,
    help="Folder with fg/ and alpha/ (Composition-1k's training layout). Without it, alphas are drawn.",
)
@click.option(
    "--strands",
    type=_folder,
    help="Folder of grooms, hair and fur in 3-D (CharMorph .npz, TressFX .tfx), to draw, too.",
)
@click.option(
    "--cutouts",
    type=_folder,
    help="Folder of cut-outs with alpha (PNG, or X_Color and X_Opacity), used in their own colours, too.",
)
@click.option("--init", type=_folder, help="Weights to begin with, with a fresh optimiser.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder as it was begun.")
@click.option(
    "--continue",
    "follows",
    type=_folder,
    metavar="RUN",
    help="Begin with another run's weights, averages and optimiser; RECIPE may be another one. Folders: as RUN's.",
)
@click.option(
    "--encoder",
    type=_folder,
    metavar="FILE",
    help="Begin with the encoder of an ImageNet MobileNetV2 (torchvision's names, or .npz); the rest as without it.",
)
@click.option(
    "--encoder-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="How long its features are regressed on the photos first.",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after so long; --resume goes on.")
@click.option(
    "--fit-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Scale the steps of a new run so that all of it takes about so long here (drawn alphas only).",
)
@click.option(
    "--libraries", type=_folder, help="Folder where drawn alphas are kept, for several runs. [default: the run's own]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Several train by DDP.")
@click.option(
    "--background",
    is_flag=True,
    help="Give way to all other work: lowest priority, threads that sleep while they wait, first to go without memory.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
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
    for module in ("torch", "lightning", "tensorboard", "safetensors"):
        require(module, "train", "training")
    from ..training.checkpoints import TerminatedError
    from ..training.job import train_run
    from ..training.rundir import is_follower
    from ..training.spec import TrainSpec

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
