"""A training run from what is asked for: a fresh folder or one to go on from, sources, precision, steps, weights."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save

from ..errors import UsageError
from ..files import replace_file
from ..model import LiteMatting, load_checkpoint
from ..system import keep_freed_memory
from .data import Source, Sources
from .drawing import SHARD
from .encoder import carry_over, error, regress
from .families import GROOMED, draws_groomed
from .fused import kernels
from .mobilenet import Teacher, read_mobilenet
from .pace import fitted
from .photos import Photos
from .plan import plan
from .precision import decide
from .progress import Report, Reporter
from .recipe import Precision, Recipe, read_recipe
from .run import find_device, train
from .rundir import CHECKPOINT, ENCODED, Begun, begin, check_free, is_follower, locked, open_followed, reopen
from .sources import check_drawn, draw_libraries, folder_sources, procedural_sources
from .spec import FOLDERS, INHERITED, Session, TrainSpec

_PHOTOS = 200


class Reached(NamedTuple):
    """The step that a run has reached, of how many."""

    step: int
    steps: int


def train_run(spec: TrainSpec, progress: Report | None = None) -> Reached | None:
    """Train as `spec` says; return the step reached, None in a process that Lightning started for another device.

    progress: called with a `TrainProgress`: the plan and other notes as they come, the rest about once a second. What
    it raises ends the run, and comes out as it is.

    Nothing is left behind where a file or an argument is wrong. Raises `UsageError`, also where another process trains
    in the folder, and as `rundir.reopen` and `run.train` do.
    """
    leads = not is_follower()
    # Each line of the plan would be told once for every device.
    report = Reporter(progress if leads else None)
    if leads and not spec.resume:
        check_free(spec.run)
    begun = reopen(spec.run) if spec.resume or not leads else new_run(spec, report)
    device = find_device(spec.device, spec.devices)
    fresh = not (spec.run / CHECKPOINT).is_file()
    model = load_checkpoint(begun.init) if begun.init and fresh else None
    teacher = read_mobilenet(begun.encoder) if begun.encoder and fresh else None
    sources = _sources(spec, begun)
    decision = decide(begun.recipe.precision, device)
    if leads:
        for source in sources:
            source.open(device)
    with locked(spec.run):
        if leads and not spec.resume:
            begin(spec.run, begun)
        report.note(f"precision {decision.precision}: {decision.reason}")
        if decision.slow:
            slow = f"warning: precision {decision.precision} is slow here"
            report.note(f'{slow}; precision = "auto" selects the fastest', warning=True)
        fused = _fused(begun.recipe, decision.precision, device, report)
        session = Session(spec, device, decision.precision, report, fused)
        if leads:
            begun, sources = _prepared(session, begun, sources)
        if teacher is not None:
            model = _with_encoder(session, begun, model, teacher, sources[0])
        step = train(session, begun, sources, model)
    return Reached(step, begun.recipe.steps) if leads else None


def _fused(recipe: Recipe, precision: Precision, device: torch.device, report: Reporter) -> bool:
    """Return whether to use the kernels of `fused`; for a bfloat16 run on a CPU, report that, or why not."""
    if precision != "bf16-mixed" or device.type != "cpu" or recipe.compile:
        return False
    built = kernels()
    report.note(f"fused kernels: {built.reason}")
    return built.library is not None


def _prepared(session: Session, begun: Begun, sources: Sources) -> tuple[Begun, Sources]:
    """Fit the steps of a run to the time, if that is asked for, report its plan, and draw; return both."""
    spec, recipe = session.spec, begun.recipe
    if begun.fit_minutes is not None:
        # The pace is measured on little, since drawing the whole library may take as long as training.
        few = replace(recipe, procedural=replace(recipe.procedural, count=SHARD))
        some = _sources(spec, replace(begun, recipe=few), sources)[0]
        _draw(session, (some,))
        begun = fitted(session, begun, begun.fit_minutes, some)
        # Other steps may need another library.
        sources = _sources(spec, begun, sources)
    for line in plan(begun.recipe, sources, session):
        session.report.note(line)
    _draw(session, sources)
    return begun, sources


def new_run(spec: TrainSpec, report: Reporter) -> Begun:
    """Return what a new run is begun with; what is not given is as in the run that it follows.

    report: is told what of that run is not used. Raises `UsageError`.
    """
    given = {name: str(path.resolve()) for name in FOLDERS if (path := getattr(spec, name)) is not None}
    followed = None if spec.follows is None else open_followed(spec.follows)
    recipe = read_recipe(spec.recipe) if spec.recipe else Recipe() if followed is None else followed.recipe
    if followed is not None:
        given = _inherited(followed, recipe, given, report) | given
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
    if "foregrounds" not in given:
        check_drawn(recipe, "strands" in given, str(spec.recipe or spec.follows or "the default recipe"), report)
    minutes = Begun.encoder_minutes if spec.encoder_minutes is None else spec.encoder_minutes
    return Begun(recipe, **given, fit_minutes=spec.fit_minutes, encoder_minutes=minutes)


def _inherited(followed: Begun, recipe: Recipe, given: Mapping[str, str], report: Reporter) -> dict[str, str]:
    """Return the folders of a run that is followed, but those of which the recipe draws nothing.

    given: folders in their place.
    """
    folders = {name: getattr(followed, name) for name in INHERITED if name not in given}
    folders = {name: folder for name, folder in folders.items() if folder is not None}
    unused = {
        "strands": f"gives {GROOMED} no weight" if not draws_groomed(recipe.procedural.weights) else "",
        "cutouts": "sets procedural.cutouts to 0" if recipe.procedural.cutouts == 0 else "",
    }
    for name, why in unused.items():
        if why and folders.pop(name, None) is not None:
            report.note(f"the {name} of {given['follows']} are not used: the recipe {why}")
    return folders


def _draw(session: Session, sources: Sequence[Source]) -> None:
    """Draw what the libraries lack."""

    def progress(name: str, count: int, done: int) -> None:
        session.report.at(name, min(done, count), count)

    draw_libraries(sources, session.spec.workers, progress)


def _sources(spec: TrainSpec, begun: Begun, opened: Sources | None = None) -> Sources:
    """Return where a run's samples come from, for training and for validation.

    opened: those of a recipe with other steps or fewer alphas, whose photos are loaded already.
    """
    recipe, photos = begun.recipe, Path(begun.photos)
    if begun.foregrounds:
        return folder_sources(recipe, Path(begun.foregrounds), photos)
    extra = [Path(folder) if folder else None for folder in (begun.strands, begun.cutouts)]
    sources = procedural_sources(recipe, photos, Path(begun.libraries or spec.run), spec.workers, *extra)
    for source, other in zip(sources, opened or (), strict=False):
        source.photos = other.photos
    return sources


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
        before = error(model, teacher, photos, rng)
        session.report.at("encoder", 0, minutes)

        def progress(share: float, recent: float) -> None:
            session.report.at("encoder", share * minutes, minutes, recent)

        regress(model, teacher, photos, minutes, rng, progress)
        after = error(model, teacher, photos, rng)
        session.report.note(
            f"encoder: error relative to the variance of MobileNetV2: {before:.3f} before regression, {after:.3f} after"
        )
        replace_file(file, save({name: value.cpu().contiguous() for name, value in model.state_dict().items()}))
    return load_checkpoint(file)
