"""A training run from what is asked for: a fresh folder or one to go on from, sources, precision, steps, weights."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save

from ..errors import UsageError
from ..files import replace_file
from ..model import LiteMatting, load_checkpoint
from ..system import keep_freed_memory
from .callbacks import LINE_EVERY_S, Bars
from .data import Source, Sources
from .drawing import SHARD
from .encoder import Report, agreement, carry_over, regress
from .mobilenet import Teacher, read_mobilenet
from .pace import decide, fitted, plan
from .photos import Photos
from .recipe import Recipe, read_recipe
from .run import find_device, train
from .rundir import CHECKPOINT, ENCODED, Begun, begin, is_follower, open_followed, reopen
from .sources import draw_libraries, folder_sources, procedural_sources
from .spec import FOLDERS, INHERITED, Session, TrainSpec

_PHOTOS = 200


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
        # Each line of the plan would be printed once for every device.
        console = Console(quiet=True)
    begun = reopen(spec.run) if spec.resume else new_run(spec)
    device = find_device(spec.device, spec.devices)
    fresh = not (spec.run / CHECKPOINT).is_file()
    model = load_checkpoint(begun.init) if begun.init and fresh else None
    teacher = read_mobilenet(begun.encoder) if begun.encoder and fresh else None
    recipe = begun.recipe
    sources = _sources(spec, begun)
    decision = decide(recipe.precision, device)
    if not spec.resume:
        begun = begin(spec.run, begun)
    session = Session(spec, device, decision.precision, console)
    console.print(f"precision {decision.precision}: {decision.reason}", markup=False)
    if decision.slow:
        slow = f"warning: precision {decision.precision} is slow here"
        console.print(f'{slow}; precision = "auto" selects the fastest', markup=False)
    if begun.fit_minutes is not None and not is_follower():
        # The pace is measured on little, since drawing the whole library may take as long as training.
        few = replace(recipe, procedural=replace(recipe.procedural, count=SHARD))
        some = _sources(spec, replace(begun, recipe=few))[0]
        _draw(session, (some,))
        begun = fitted(session, begun, begun.fit_minutes, some)
    # A recipe that was fitted to the time has other steps, and may need another library.
    if begun.recipe != recipe:
        sources = _sources(spec, begun)
    if not is_follower():
        for line in plan(begun.recipe, sources, spec):
            console.print(line, markup=False)
        _draw(session, sources)
    if teacher is not None:
        model = _with_encoder(session, begun, model, teacher, sources[0])
    step = train(session, begun, sources, model)
    return None if is_follower() else Reached(step, begun.recipe.steps)


def new_run(spec: TrainSpec) -> Begun:
    """Return what a new run is begun with; folders that are not given are those of the run that it follows.

    Raises `UsageError`.
    """
    given = {name: str(path.resolve()) for name in FOLDERS if (path := getattr(spec, name)) is not None}
    if spec.follows is not None:
        followed = asdict(open_followed(spec.follows))
        given = {name: followed[name] for name in INHERITED if followed[name] is not None} | given
    if "foregrounds" in given:
        for name in ("fit_minutes", "strands", "cutouts"):
            if getattr(spec, name) is not None:
                raise UsageError(
                    f"`{name}` applies only to drawn alphas and cannot be combined with `foregrounds`; leave one of "
                    "them out"
                )
        # As Composition-1k lays its folders out.
        given.setdefault("photos", f"{given['foregrounds']}/bg")
    if "photos" not in given:
        raise UsageError(
            "nothing to train on; give `photos`, or `foregrounds` with fg/, alpha/ and bg/", parameter="photos"
        )
    recipe = read_recipe(spec.recipe) if spec.recipe else Recipe()
    return Begun(recipe, **given, fit_minutes=spec.fit_minutes, encoder_minutes=spec.encoder_minutes)


def _draw(session: Session, sources: Sequence[Source]) -> None:
    """Draw what the libraries lack, with a bar for each."""
    with Bars(session.console) as bars:
        draw_libraries(sources, session.spec.workers, bars.show)


def _sources(spec: TrainSpec, begun: Begun) -> Sources:
    """Return where a run's samples come from, for training and for validation."""
    recipe, photos = begun.recipe, Path(begun.photos)
    if begun.foregrounds:
        return folder_sources(recipe, Path(begun.foregrounds), photos)
    extra = [Path(folder) if folder else None for folder in (begun.strands, begun.cutouts)]
    return procedural_sources(recipe, photos, Path(begun.libraries or spec.run), spec.workers, *extra)


def _with_encoder(
    session: Session, begun: Begun, model: LiteMatting | None, teacher: Teacher, source: Source
) -> LiteMatting:
    """Return the model, fresh from the recipe's seed if None, with an encoder regressed to the teacher's features.

    Takes up to 200 of the source's photos. The result stays in the run's folder, so that neither a run killed before
    its first checkpoint nor the process of another device has to make it again.
    """
    file, device, minutes = session.spec.run / ENCODED, session.device, begun.encoder_minutes
    if not is_follower() and not file.is_file():
        torch.manual_seed(begun.recipe.seed)
        if device.type == "cpu":
            keep_freed_memory()
        rng = np.random.default_rng(begun.recipe.seed)
        chosen = rng.permutation(len(source.paths))[:_PHOTOS]
        photos = Photos([source.paths[i] for i in sorted(chosen)], device)
        model, teacher = (model or LiteMatting()).to(device).train(), teacher.to(device)
        carry_over(model, teacher, photos, rng)
        # Before, it is what `carry_over` alone gives.
        before = agreement(model, teacher, photos, rng)
        regress(model, teacher, photos, minutes, rng, _line_a_minute(session.console, minutes))
        for when, values in (("before", before), ("after", agreement(model, teacher, photos, rng))):
            said = " ".join(f"{value:.2f}" for value in values)
            session.console.print(
                f"encoder: correlation of layer1 to layer6 with MobileNetV2 {when} regression: {said}"
            )
        replace_file(file, save({name: value.cpu().contiguous() for name, value in model.state_dict().items()}))
    return load_checkpoint(file)


def _line_a_minute(console: Console, minutes: float) -> Report:
    """Return what prints a line a minute, and a last one: it takes the share of the time, 0..1, and the error."""
    since_s = time.monotonic()

    def report(share: float, error: float) -> None:
        nonlocal since_s
        if (now_s := time.monotonic()) - since_s >= LINE_EVERY_S or share >= 1:
            since_s = now_s
            console.print(f"encoder: {share * minutes:.1f} of {minutes:g} min, relative error {error:.3f}")

    return report
