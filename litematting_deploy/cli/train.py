"""ltm-train: weights from photos alone, or from foregrounds with alphas."""

from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .._optional import require
from ._command import command, notice, stderr


@command("ltm-train")
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    help="Folder of photos: backgrounds, and the colours of drawn foregrounds. [default: bg/ of --foregrounds]",
)
@click.option(
    "--foregrounds",
    type=click.Path(path_type=Path),
    help="Folder with fg/ and alpha/ (Composition-1k's training layout). Without it, alphas are drawn.",
)
@click.option("--init", type=click.Path(path_type=Path), help="Weights to begin with, with a fresh optimiser.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, from its last checkpoint.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after so long; --resume goes on.")
@click.option(
    "--fit-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Scale the steps of a new run so that all of it takes about so long here (drawn alphas only).",
)
@click.option(
    "--libraries",
    type=click.Path(path_type=Path),
    help="Folder where drawn alphas are kept, for several runs. [default: the run's own]",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="GPUs, trained on by DDP.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=2, show_default=True, help="Processes that draw or read."
)
def main(
    recipe: Path | None,
    run: Path,
    photos: Path | None,
    foregrounds: Path | None,
    init: Path | None,
    resume: bool,
    minutes: float | None,
    fit_minutes: float | None,
    libraries: Path | None,
    device: str,
    devices: int,
    workers: int,
) -> None:
    """Train LiteMatting.

    RECIPE is a TOML file, see recipes/; without one, the paper's recipe is used. The folder of the run gets last.ckpt
    (to go on from), weights.safetensors (small, fp16, to export or to begin another run with), previews/, TensorBoard
    logs and, at the end, loss.png.

    \b
    ltm-train recipes/shipped.toml --photos photos/ -o runs/first
    ltm-train --foregrounds Composition-1k/train --photos coco/train2017 -o runs/paper
    ltm-train --resume --photos photos/ -o runs/first
    """
    if photos is None and foregrounds is None:
        raise click.UsageError("nothing to train on: give --photos, or --foregrounds with fg/, alpha/ and bg/")
    if fit_minutes is not None and foregrounds is not None:
        raise click.UsageError("--fit-minutes measures drawn alphas; leave it out with --foregrounds")
    for module in ("torch", "lightning", "tensorboard", "safetensors"):
        require(module, "train", "training")
    from ..training.recipe import read_recipe
    from ..training.run import begin, fit_into, train
    from ..training.sources import folder_sources, procedural_sources

    settings = begin(run, read_recipe(recipe) if recipe else None, resume)
    if foregrounds is not None:
        sources = folder_sources(settings, foregrounds, photos or foregrounds / "bg")
    else:
        assert photos is not None
        with _drawing_progress() as bar:
            tasks: dict[str, TaskID] = {}

            def progress(name: str, count: int, done: int) -> None:
                if name not in tasks:
                    tasks[name] = bar.add_task(name, total=count)
                bar.update(tasks[name], completed=done)

            sources = procedural_sources(settings, photos, libraries or run, max(workers, 1), progress)
        if fit_minutes is not None:
            settings = fit_into(run, settings, sources[0], device, fit_minutes, stderr)
    reached = train(
        run,
        settings,
        sources,
        stderr,
        init=init,
        accelerator={"cuda": "gpu"}.get(device, device),
        devices=devices,
        workers=workers if foregrounds is not None else 0,
        minutes=minutes,
    )
    notice(f"{run}: step {reached} of {settings.steps}; weights in {run / 'weights.safetensors'}")
    if reached < settings.steps:
        notice(f"go on with: ltm-train --resume -o {run} and the same folders")


def _drawing_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
    )
