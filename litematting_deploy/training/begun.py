"""From what a run was begun with to its training: sources, precision, steps, libraries, weights."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console

from ..files import replace_file
from ..model import LiteMatting, load_checkpoint
from ..system import keep_freed_memory
from .beginning import read_followed, with_encoder
from .data import Source
from .drawing import SHARD
from .mobilenet import read_mobilenet
from .module import MattingModule
from .pace import fit, measure
from .plan import Drawing, plan
from .precision import decide
from .recipe import Precision, Recipe
from .run import find_device, train
from .rundir import CHECKPOINT, Begun, begin, is_follower, keep
from .sources import Sources, draw_libraries, folder_sources, procedural_sources


class Reached(NamedTuple):
    """The step that a run has reached, of how many."""

    step: int
    steps: int


def go(run: Path, begun: Begun, resume: bool, options: dict[str, Any], console: Console) -> Reached | None:
    """Train the run in a folder as it was begun, or begin it there; None in a follower, see `is_follower`.

    options: device, devices, workers, minutes of ltm-train. Nothing is left behind
    where a file or an option is wrong. Raises as `train` does.
    """
    device, workers = find_device(options["device"], options["devices"]), options["workers"]
    fresh = not (run / CHECKPOINT).is_file()
    model = load_checkpoint(begun.init) if begun.init and fresh else None
    teacher = read_mobilenet(begun.encoder) if begun.encoder and fresh else None
    recipe = begun.recipe
    sources = _sources(run, begun, recipe, workers)
    decision = decide(recipe.precision, device)
    if not resume:
        begun = begin(run, begun)
    if not is_follower():
        console.print(f"precision {decision.precision}: {decision.reason}", markup=False)
        if decision.slow:
            console.print(
                f'warning: precision {decision.precision} is slow here; precision = "auto" takes the fastest one',
                markup=False,
            )
        if begun.fit_minutes is not None:
            few = dataclasses.replace(recipe, procedural=dataclasses.replace(recipe.procedural, count=SHARD))
            some = _sources(run, begun, few, workers)[0]
            with Drawing(console) as drawing:
                draw_libraries((some,), workers, drawing.show)
            begun = _fitted(run, begun, begun.fit_minutes, some, device, decision.precision, console)
    if begun.recipe != recipe:
        sources = _sources(run, begun, begun.recipe, workers)
    if not is_follower():
        for line in plan(begun.recipe, sources, workers, options["devices"]):
            console.print(line, markup=False)
        with Drawing(console) as drawing:
            draw_libraries(sources, workers, drawing.show)
    if teacher is not None:
        model = with_encoder(run, begun, model, teacher, sources[0], device, console)
    followed = read_followed(run) if begun.follows and fresh else None
    choices = {name: options[name] for name in ("devices", "workers", "minutes")}
    step = train(run, begun.recipe, sources, model, device, decision.precision, console, followed=followed, **choices)
    return None if is_follower() else Reached(step, begun.recipe.steps)


def _sources(run: Path, begun: Begun, recipe: Recipe, workers: int) -> Sources:
    if begun.foregrounds:
        return folder_sources(recipe, Path(begun.foregrounds), Path(begun.photos))
    extra = [Path(folder) if folder else None for folder in (begun.strands, begun.cutouts)]
    return procedural_sources(recipe, Path(begun.photos), Path(begun.libraries or run), workers, *extra)


def _fitted(
    run: Path,
    begun: Begun,
    minutes: float,
    source: Source,
    device: torch.device,
    precision: Precision,
    console: Console,
) -> Begun:
    """Scale the steps of a run so that it takes so many minutes; the run keeps the result.

    Writes the measured pace to `pace.json` in the run's folder.
    """
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
    fitted = dataclasses.replace(begun, recipe=fit(recipe, paces, minutes), fit_minutes=None)
    stages = zip(fitted.recipe.stages, paces, strict=True)
    measured = [dataclasses.asdict(stage) | pace._asdict() for stage, pace in stages]
    about = {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "stages": measured}
    replace_file(run / "pace.json", (json.dumps(about, indent=1) + "\n").encode())
    keep(run, fitted)
    return fitted
