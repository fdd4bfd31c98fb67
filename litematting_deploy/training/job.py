"""A training run from what is asked for: a fresh folder or one to go on from, sources, precision, steps, weights."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from ..errors import UsageError
from ..model import load_checkpoint
from .beginning import with_encoder
from .callbacks import Drawing
from .drawing import SHARD
from .mobilenet import read_mobilenet
from .pace import fitted, plan
from .precision import decide
from .recipe import Recipe, read_recipe
from .run import find_device, train
from .rundir import CHECKPOINT, Begun, begin, is_follower, open_followed, read_followed, reopen
from .sources import Sources, draw_libraries, folder_sources, procedural_sources
from .spec import FOLDERS, INHERITED, TrainSpec


class Reached(NamedTuple):
    """The step that a run has reached, of how many."""

    step: int
    steps: int


def train_run(spec: TrainSpec, console: Console) -> Reached | None:
    """Train as `spec` says; return the step reached, None in a process that Lightning started for another device.

    console: where plans, progress and losses are printed.

    Nothing is left behind where a file or an argument is wrong. Raises `UsageError`, and as `rundir.reopen` and
    `run.train` do.
    """
    if is_follower():
        console = Console(quiet=True)
    run, begun = spec.run, reopen(spec.run) if spec.resume else new_run(spec)
    device = find_device(spec.device, spec.devices)
    fresh = not (run / CHECKPOINT).is_file()
    model = load_checkpoint(begun.init) if begun.init and fresh else None
    teacher = read_mobilenet(begun.encoder) if begun.encoder and fresh else None
    recipe = begun.recipe
    sources = _sources(run, begun, recipe, spec.workers)
    decision = decide(recipe.precision, device)
    if not spec.resume:
        begun = begin(run, begun)
    console.print(f"precision {decision.precision}: {decision.reason}", markup=False)
    if decision.slow:
        slow = f"warning: precision {decision.precision} is slow here"
        console.print(f'{slow}; precision = "auto" takes the fastest one', markup=False)
    if begun.fit_minutes is not None and not is_follower():
        few = replace(recipe, procedural=replace(recipe.procedural, count=SHARD))
        some = _sources(run, begun, few, spec.workers)[0]
        with Drawing(console) as drawing:
            draw_libraries((some,), spec.workers, drawing.show)
        begun = fitted(run, begun, begun.fit_minutes, some, device, decision.precision, console)
    if begun.recipe != recipe:
        sources = _sources(run, begun, begun.recipe, spec.workers)
    if not is_follower():
        for line in plan(begun.recipe, sources, spec.workers, spec.devices):
            console.print(line, markup=False)
        with Drawing(console) as drawing:
            draw_libraries(sources, spec.workers, drawing.show)
    if teacher is not None:
        model = with_encoder(run, begun, model, teacher, sources[0], device, console)
    followed = read_followed(run) if begun.follows and fresh else None
    step = train(spec, begun.recipe, sources, model, device, decision.precision, console, followed)
    return None if is_follower() else Reached(step, begun.recipe.steps)


def new_run(spec: TrainSpec) -> Begun:
    """Return what a new run is begun with; folders that are not given are those of the run that it follows.

    Raises `UsageError`.
    """
    given = {name: str(path.resolve()) for name in FOLDERS if (path := getattr(spec, name)) is not None}
    if spec.follows is not None:
        followed = dataclasses.asdict(open_followed(spec.follows))
        given = {name: followed[name] for name in INHERITED if followed[name] is not None} | given
    if "foregrounds" in given:
        for name in ("fit_minutes", "strands", "cutouts"):
            if getattr(spec, name) is not None:
                raise UsageError(
                    f"`{name}` is about drawn alphas; leave it out, or leave `foregrounds` out", parameter=name
                )
        given.setdefault("photos", f"{given['foregrounds']}/bg")
    if "photos" not in given:
        raise UsageError(
            "nothing to train on: give `photos`, or `foregrounds` with fg/, alpha/ and bg/", parameter="photos"
        )
    recipe = read_recipe(spec.recipe) if spec.recipe else Recipe()
    return Begun(recipe, **given, fit_minutes=spec.fit_minutes, encoder_minutes=spec.encoder_minutes)


def _sources(run: Path, begun: Begun, recipe: Recipe, workers: int) -> Sources:
    """Return where a run's samples come from, for training and for validation."""
    if begun.foregrounds:
        return folder_sources(recipe, Path(begun.foregrounds), Path(begun.photos))
    extra = [Path(folder) if folder else None for folder in (begun.strands, begun.cutouts)]
    return procedural_sources(recipe, Path(begun.photos), Path(begun.libraries or run), workers, *extra)
