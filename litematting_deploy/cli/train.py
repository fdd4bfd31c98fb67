"""ltm-train: weights from photos alone, or from foregrounds with alphas."""

import functools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from .._optional import require
from ..system import give_way, memory_bytes
from ..training.spec import TrainSpec
from .command import command, notice
from .help import plain_option
from .log import Level
from .spec_option import option
from .train_progress import TrainBar

RUN, MACHINE = "Run", "Machine"
data_option = functools.partial(option, TrainSpec, heading="Data")
run_option = functools.partial(option, TrainSpec, heading=RUN)
machine_option = functools.partial(option, TrainSpec, heading=MACHINE)
_TERMINATED = 128 + signal.SIGTERM


@command("ltm-train")
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@data_option(
    "--photos",
    metavar="FOLDER",
    help="Photos, for backgrounds and for the colours of drawn foregrounds.  [default: bg/ of --foregrounds]",
)
@data_option(
    "--foregrounds",
    metavar="FOLDER",
    help="Folder with fg/ and alpha/, as in Composition-1k.  [default: alphas are drawn]",
)
@data_option(
    "--strands",
    metavar="FOLDER",
    help="Also draw the hair and fur in these 3D grooms (CharMorph .npz, TressFX .tfx).",
)
@data_option(
    "--cutouts",
    metavar="FOLDER",
    help="Also use these cut-outs, in their own colours (PNG with alpha, or X_Color and X_Opacity).",
)
@data_option(
    "--libraries",
    metavar="FOLDER",
    help="Keep drawn alphas in this folder, which several runs may share.  [default: in the run's folder]",
)
@plain_option(
    "-o",
    "--output",
    "run",
    type=click.Path(path_type=Path),
    required=True,
    metavar="RUN",
    heading=RUN,
    help="Folder of the run.",
)
@run_option("--resume", help="Continue the run in RUN with the settings it was started with.")
@run_option(
    "--continue",
    "follows",
    metavar="OTHER",
    help="Start a new run from the weights, averages and optimiser state of the run in OTHER; recipe and "
    "data folders are those of OTHER unless given.",
)
@run_option("--init", help="Start from these weights, with a fresh optimiser.")
@run_option(
    "--encoder",
    help="Start with the encoder of an ImageNet MobileNetV2 (with torchvision's names, or .npz), and everything else "
    "as without it.",
)
@run_option(
    "--encoder-minutes",
    metavar="MINUTES",
    help="How long to train the encoder first, on the photos, to reproduce that network's features.  [default: 30]",
)
@run_option(
    "--minutes",
    metavar="MINUTES",
    help="Stop after this time; --resume continues.  [default: no limit]",
)
@run_option(
    "--fit-minutes",
    metavar="MINUTES",
    help="Scale the number of steps so that the whole run takes about this long here (drawn alphas only).",
)
@machine_option("--device", help="Where to train.")
@machine_option("--devices", help="Number of devices; with more than one, they train with DDP.")
@machine_option(
    "--workers",
    default=os.cpu_count() or 1,
    show_default=False,
    help="Processes that draw alphas or read foregrounds.  [default: one per core]",
)
@machine_option(
    "--memory",
    "memory_gib",
    metavar="GIB",
    help="Stop with a checkpoint when a process holds more memory.  [default: no limit; three quarters of the RAM with "
    "--background]",
)
@plain_option(
    "--background",
    is_flag=True,
    heading=MACHINE,
    help="Yield to all other work: lowest priority, idle threads sleep, bounded memory, first to be stopped if memory "
    "runs out.",
)
def main(background: bool, **options: Any) -> None:
    """Train the network from a folder of photos, or from foregrounds with alphas.

    \b
    Examples:
      ltm-train recipes/gpu.toml --photos photos -o runs/first
      ltm-train --resume -o runs/first

    RECIPE is a TOML file (see recipes/); without one, the paper's is used, or OTHER's. RUN receives last.ckpt (to
    resume), weights.safetensors (small, fp16; to export, or to start another run from), previews/, TensorBoard logs
    and, at the end, loss.png.

    \b
    More examples:
      ltm-train recipes/cooldown.toml --continue runs/first -o runs/cooled
      ltm-train --foregrounds Composition-1k/train --photos coco -o runs/paper
    """
    if background:
        give_way()
        options["memory_gib"] = options["memory_gib"] or 0.75 * memory_bytes() / 2**30 / options["devices"]
    # Imported after `give_way`, since PyTorch reads the settings of its threads once.
    for module in ("torch", "lightning", "tensorboard", "safetensors"):
        require(module, "train", "training")
    from ..training.checkpoints import MemoryStopError, TerminatedError
    from ..training.job import train_run
    from ..training.rundir import is_follower

    spec = TrainSpec(**options)
    resume = f"continue with: ltm-train --resume -o {spec.run}{f' --devices {spec.devices}' * (spec.devices > 1)}"
    try:
        with TrainBar() as shown:
            reached = train_run(spec, shown)
    except (TerminatedError, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != _TERMINATED:
            raise
        if is_follower():
            return  # with another exit code, Lightning would kill the first process in the midst of its end
        if (spec.run / "run.json").is_file():
            # Before the first step SIGTERM is an exit, as everywhere.
            level: Level = "error" if isinstance(ended, MemoryStopError) else "info"
            notice(f"{spec.run}: {ended if isinstance(ended, TerminatedError) else 'terminated'}; {resume}", level)
        sys.exit(1 if isinstance(ended, MemoryStopError) else _TERMINATED)
    if reached is not None:
        notice(f"{spec.run}: step {reached.step} of {reached.steps}; weights in {spec.run / 'weights.safetensors'}")
        if reached.step < reached.steps:
            notice(resume)
