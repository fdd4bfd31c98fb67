"""ltm-train: weights from photos alone, or from foregrounds with alphas."""

import os
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .._optional import require
from ..system import give_way
from ._command import command, notice, stderr

_folder = click.Path(path_type=Path)


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
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after so long; --resume goes on.")
@click.option(
    "--fit-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Scale the steps of a new run so that all of it takes about so long here (drawn alphas only).",
)
@click.option(
    "--libraries",
    type=_folder,
    help="Folder where drawn alphas are kept, for several runs. [default: the run's own]",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Several train by DDP.")
@click.option(
    "--background", is_flag=True, help="Give way to all other work: lowest priority, no waiting in loops, least memory."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Processes that draw alphas, or read foregrounds.",
)
def main(run: Path, resume: bool, **options: Any) -> None:
    """Train LiteMatting.

    RECIPE is a TOML file, see recipes/; without one, the paper's recipe is used. The folder of the run gets last.ckpt
    (to go on from), weights.safetensors (small, fp16, to export or to begin another run with), previews/, TensorBoard
    logs and, at the end, loss.png.

    \b
    ltm-train recipes/gpu.toml --photos photos/ -o runs/first
    ltm-train --resume -o runs/first
    ltm-train --foregrounds Composition-1k/train --photos coco/train2017 -o runs/paper
    """
    if options["background"]:
        give_way()
    for module in ("torch", "lightning", "tensorboard", "safetensors"):
        require(module, "train", "training")
    from ..model import load_checkpoint
    from ..training.precision import decide
    from ..training.run import find_device, fit_steps, train
    from ..training.rundir import CHECKPOINT, begin, is_follower, reopen
    from ..training.sources import draw_libraries, folder_sources, procedural_sources

    if resume:
        _refuse_with_resume(options)
    begun = reopen(run) if resume else _new_run(options)
    photos, recipe = Path(begun.photos), begun.recipe
    device = find_device(options["device"], options["devices"])
    fresh = not (run / CHECKPOINT).is_file()
    model = load_checkpoint(begun.init) if begun.init and fresh else None
    if begun.foregrounds:
        sources = folder_sources(recipe, Path(begun.foregrounds), photos)
    else:
        extra = [Path(folder) if folder else None for folder in (begun.strands, begun.cutouts)]
        sources = procedural_sources(recipe, photos, Path(begun.libraries or run), options["workers"], *extra)
    decision = decide(recipe.precision, device)
    if not resume:
        begun = begin(run, begun)
    if not is_follower():
        notice(f"precision {decision.precision}: {decision.reason}")
        if decision.slow:
            notice(f'warning: precision {decision.precision} is slow here; precision = "auto" takes the fastest one')
        with _Drawing() as drawing:
            draw_libraries(sources, options["workers"], drawing.show)
        begun = fit_steps(run, begun, sources[0], device, decision.precision, stderr)
    choices = {name: options[name] for name in ("devices", "workers", "minutes")}
    reached = train(run, begun.recipe, sources, model, device, decision.precision, stderr, **choices)
    if not is_follower():
        notice(f"{run}: step {reached} of {begun.recipe.steps}; weights in {run / 'weights.safetensors'}")
        if reached < begun.recipe.steps:
            notice(f"go on with: ltm-train --resume -o {run}")


def _refuse_with_resume(options: dict[str, Any]) -> None:
    for name in ("recipe", "photos", "foregrounds", "strands", "cutouts", "init", "libraries", "fit_minutes"):
        if options[name] is not None:
            raise click.UsageError(
                f"--resume goes on with what the run was begun with; leave {_option(name)} out, "
                "or begin another run with --init and this one's weights.safetensors"
            )


def _new_run(options: dict[str, Any]) -> Any:
    """What a new run is begun with, paths made absolute."""
    from ..training.recipe import Recipe, read_recipe
    from ..training.rundir import Begun

    foregrounds, photos, init = options["foregrounds"], options["photos"], options["init"]
    if foregrounds is None and photos is None:
        raise click.UsageError("nothing to train on: give --photos, or --foregrounds with fg/, alpha/ and bg/")
    if foregrounds is not None and options["fit_minutes"] is not None:
        raise click.UsageError("--fit-minutes measures drawn alphas; leave it out with --foregrounds")
    for name in ("strands", "cutouts"):
        if foregrounds is not None and options[name] is not None:
            raise click.UsageError(f"--{name} goes with drawn alphas; leave it out with --foregrounds")
    recipe = read_recipe(options["recipe"]) if options["recipe"] else Recipe()
    return Begun(
        recipe,
        photos=_absolute(photos or foregrounds / "bg"),
        foregrounds=foregrounds and _absolute(foregrounds),
        init=init and _absolute(init),
        libraries=options["libraries"] and _absolute(options["libraries"]),
        fit_minutes=options["fit_minutes"],
        strands=options["strands"] and _absolute(options["strands"]),
        cutouts=options["cutouts"] and _absolute(options["cutouts"]),
    )


def _absolute(path: Path) -> str:
    return str(path.resolve())


def _option(name: str) -> str:
    return "RECIPE" if name == "recipe" else f"--{name.replace('_', '-')}"


class _Drawing(Progress):
    """A bar for each library that is drawn, on a terminal."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns, console=stderr, disable=not stderr.is_terminal)
        self._named: dict[str, TaskID] = {}

    def show(self, name: str, count: int, done: int) -> None:
        if name not in self._named:
            self._named[name] = self.add_task(name, total=count)
        self.update(self._named[name], completed=done)
