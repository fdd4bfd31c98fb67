"""How fast a run goes: what `precision` = "auto" means, its plan, its pace here, and steps for the time there is."""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..errors import UsageError
from ..files import write_json
from ..model import LiteMatting
from ..system import has_fast_bf16, held_memory_bytes, instruction_set, keep_freed_memory
from .data import Batch, Source
from .drawing import SHARD
from .module import MattingModule
from .recipe import Precision, Recipe, Stage
from .rundir import Begun, keep
from .scenes import Scenes, compose
from .sources import libraries
from .spec import Session

# Validation, checkpoints and start-up also take time.
_SHARE = 0.93
_MIB, _GIB = 2**20, 2**30
_TRIAL_PX = 128
_WORKSPACE = 1.2  # measured at 256²: what convolutions and gradients on their way take beside what is held
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_BF16_CAPABILITY = (8, 0)  # Ampere


class Decision(NamedTuple):
    """The precision a run is computed in, and why. slow: whether another one is much faster here."""

    precision: Precision
    reason: str
    slow: bool = False


def decide(asked: Precision, device: torch.device) -> Decision:
    """Return what `asked` means on `device`: "auto" is the fastest one there, anything else is itself.

    asked: as the recipe has it. A processor whose instructions cannot be read is tried with one step in each.
    """
    best, reason = _fastest_on_gpu(device) if device.type == "cuda" else _fastest_on_cpu()
    if asked in ("auto", best):
        return Decision(best, reason)
    # Single precision is slower everywhere else, and chosen for its accuracy.
    return Decision(
        asked, f"as the recipe specifies, although {best} is faster here: {reason}", slow=asked != "32-true"
    )


def _fastest_on_gpu(device: torch.device) -> tuple[Precision, str]:
    """Return the fastest precision of a GPU by its compute capability, and why."""
    capability = torch.cuda.get_device_capability(device)
    named = f"{torch.cuda.get_device_name(device)} has compute capability {capability[0]}.{capability[1]}"
    if capability >= _BF16_CAPABILITY:
        return "bf16-mixed", f"{named}, and bfloat16 is fast from 8.0 on"
    return "16-mixed", f"{named}, and bfloat16 is fast only from 8.0 on"


def _fastest_on_cpu() -> tuple[Precision, str]:
    """Return the fastest precision of this processor by its instructions, or by trying, and why."""
    fast = has_fast_bf16()
    if fast is None:
        single_s, half_s = _step_s(None), _step_s(torch.bfloat16)
        best: Precision = "bf16-mixed" if half_s < single_s else "32-true"
        return best, f"a trial step took {single_s * 1e3:.0f} ms in float32 and {half_s * 1e3:.0f} ms in bfloat16"
    if fast:
        return "bf16-mixed", f"this processor has {instruction_set()}"
    return "32-true", f"this processor has {instruction_set()}, but neither AVX512-BF16 nor AMX"


def _step_s(autocast: torch.dtype | None) -> float:
    """Return the median seconds of three steps through a convolution like the network's."""
    layer = nn.Conv2d(64, 64, 3, padding=1)
    image = torch.ones(2, 64, 48, 48)

    def step() -> None:
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            total = layer(image).float().sum()
        total.backward()

    return _median_s(step, 0, torch.device("cpu"))


class Pace(NamedTuple):
    """Seconds a batch of a stage takes: composing it, and a training step on it."""

    input_s: float
    network_s: float


class Need(NamedTuple):
    """What a step of a stage takes: seconds, and bytes of RAM, or of the GPU's memory, beside the weights."""

    step_s: float
    held_bytes: float


def plan(recipe: Recipe, sources: Sequence[Source], session: Session) -> list[str]:
    """Return what a run is going to do, in lines: how much is trained, how long, in how much memory, and what is drawn.

    Raises `UsageError` where it needs more memory than it may take.
    """
    spec, needed = session.spec, needs(recipe, session.precision, session.device)
    megapixels = sum(stage.steps * stage.batch * stage.crop**2 for stage in recipe.stages) * spec.devices / 1e6
    training_s = sum(stage.steps * need.step_s for stage, need in zip(recipe.stages, needed, strict=True))
    # Parameters, their gradients, two moments and the average.
    weights = 5 * 4 * sum(value.numel() for value in LiteMatting().parameters())
    held = held_memory_bytes() or 0
    peak_gib = (held + weights + max(need.held_bytes for need in needed)) / _GIB
    if spec.memory_gib is not None and peak_gib > spec.memory_gib:
        raise UsageError(
            f"`memory_gib` is {spec.memory_gib:g}, but this run needs about {peak_gib:.1f} GiB; give more, or set a "
            "smaller crop or batch in the recipe"
        )
    count = f"{megapixels:.0f}" if megapixels >= 10 else f"{megapixels:.2g}"
    where = "" if session.device.type == "cpu" else " on the GPU and beside it"
    return [
        f"plan: {recipe.steps} steps, {recipe.samples * spec.devices} samples, {count} megapixels; "
        f"{recipe.validation_scenes} validation scenes every {recipe.validate_every} steps, at the start and at the "
        "end",
        f"plan: training takes roughly {_duration(training_s)} and {peak_gib:.1f} GiB of memory{where} per process; "
        f"weights are averaged over about the last {1 / (1 - recipe.ema_decay):.0f} steps (ema_decay "
        f"{recipe.ema_decay:.4g})",
        *_drawing_plan(sources, spec.workers),
    ]


def _drawing_plan(sources: Sequence[Source], workers: int) -> list[str]:
    """Return which alphas are drawn, how long that takes and how large they are.

    Draws two layers of each library that is not complete, to see how long that takes. Few layers tell the time of many
    only roughly: families differ by a factor of ten.
    """
    lines = []
    for library, name in libraries(sources):
        layers, stream = len(library.missing()) * SHARD, library.stream
        if layers:
            begun = time.perf_counter()
            for number in range(2):
                stream.draw(number)
            each_s = (time.perf_counter() - begun) / 2 / min(workers, os.cpu_count() or 1)
            lines.append(
                f"plan: draws {layers} {name} of {stream.size}² in {library.folder}: "
                f"{layers * stream.planes * stream.size**2 / _MIB:.0f} MiB on disk, roughly "
                f"{_duration(each_s * layers)}"
            )
    return lines


def _duration(seconds: float) -> str:
    """Return a time in the unit that people would say it in."""
    for name, unit_s in (("days", 86400), ("h", 3600)):
        if seconds >= 1.5 * unit_s:
            return f"{seconds / unit_s:.1f} {name}"
    return f"{seconds / 60:.1f} min"


def needs(recipe: Recipe, precision: Precision, device: torch.device) -> list[Need]:
    """Return roughly what a step of each stage takes, by a step on noise; composing the scenes is not counted.

    precision: as decided. On the CPU the step is one of a small crop, since time and memory go by the pixels.
    """
    module = MattingModule(dataclasses.replace(recipe, compile=False), LiteMatting()).to(device).train()
    if device.type == "cpu":
        keep_freed_memory()
    tried: dict[tuple[int, int, bool], Need] = {}
    needed = []
    for stage in recipe.stages:
        small = device.type == "cpu"
        crop, samples = (min(stage.crop, _TRIAL_PX), 1) if small else (stage.crop, stage.batch)
        key = crop, samples, stage.freeze_guidance
        if key not in tried:
            module.freeze_guidance(stage)
            tried[key] = _tried(module, _noise(crop, samples, device), precision)
        times = stage.crop**2 * stage.batch / (crop**2 * samples)
        needed.append(Need(*(value * times for value in tried[key])))
    return needed


def _tried(module: MattingModule, scenes: Scenes, precision: Precision) -> Need:
    """Return what a step on scenes takes, without the optimiser's own."""
    device = scenes.image.device
    weights = {value.untyped_storage().data_ptr() for value in module.parameters()}
    held: dict[int, int] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return value

    def step() -> None:
        with torch.autocast(device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
            total = module.losses(scenes).total
        total.backward()  # type: ignore[no-untyped-call]

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        step()
    begun = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    module.zero_grad()
    return Need(time.perf_counter() - begun, _WORKSPACE * sum(held.values()))


def _noise(crop: int, samples: int, device: torch.device) -> Scenes:
    """Return scenes of noise, all of them unknown."""
    image, foreground, background = (torch.rand(samples, 3, crop, crop, device=device) for _ in range(3))
    guide, alpha = (torch.rand(samples, planes, crop, crop, device=device) for planes in (2, 1))
    trimap = torch.zeros_like(image)
    trimap[:, 1] = 1
    return Scenes(image, trimap, guide, alpha, foreground, background)


def fitted(session: Session, begun: Begun, minutes: float, source: Source) -> Begun:
    """Scale the steps of a run so that it takes about `minutes`; return it, as its folder has it from then on.

    source: of its training samples, drawn alphas.

    Writes the measured pace to `pace.json` in the run's folder.
    """
    recipe, device = begun.recipe, session.device
    if device.type == "cpu":
        keep_freed_memory()
    source.prepare(device)
    module = MattingModule(recipe, LiteMatting()).to(device).train()
    paces = [measure(module, source, stage, session.precision) for stage in recipe.stages]
    for stage, pace in zip(recipe.stages, paces, strict=True):
        session.report.note(
            f"{stage.crop}² in batches of {stage.batch}: {pace.input_s * 1e3:.0f} ms to compose, "
            f"{pace.network_s * 1e3:.0f} ms to train on; composing is {pace.network_s / pace.input_s:.1f} times as fast"
        )
    fitted = dataclasses.replace(begun, recipe=fit(recipe, paces, minutes), fit_minutes=None)
    stages = zip(fitted.recipe.stages, paces, strict=True)
    measured = [dataclasses.asdict(stage) | pace._asdict() for stage, pace in stages]
    about = {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "stages": measured}
    write_json(session.spec.run / "pace.json", about)
    keep(session.spec.run, fitted)
    return fitted


def measure(module: MattingModule, source: Source, stage: Stage, precision: Precision, seconds: float = 5.0) -> Pace:
    """Return the median seconds of a batch, of at least three after a warm-up of two.

    module: on the device that trains; its weights are left as they were.
    source: prepared for that device; only sources that need no loader can be measured.
    precision: as decided, not "auto". seconds: how long each part is measured at least.
    """
    device, recipe = next(module.parameters()).device, module.recipe
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimiser = torch.optim.RAdam(module.parameters(), lr=0.0)
    rng = np.random.default_rng(0)

    def batch() -> Scenes:
        return compose(source.cut(Batch(0, stage.crop, stage.batch, {}), rng), recipe.augment, rng)

    scenes = batch()
    module.freeze_guidance(stage)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
            losses = module.losses(scenes)
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    pace = Pace(_median_s(batch, seconds, device), _median_s(step, seconds, device))
    module.load_state_dict(before)
    module.zero_grad()
    return pace


def fit(recipe: Recipe, paces: list[Pace], minutes: float) -> Recipe:
    """Return the recipe with the steps of all stages scaled by one factor so that they take about `minutes`."""
    needed_s = sum(stage.steps * sum(pace) for stage, pace in zip(recipe.stages, paces, strict=True))
    factor = minutes * 60 * _SHARE / needed_s
    stages = tuple(dataclasses.replace(stage, steps=max(1, round(stage.steps * factor))) for stage in recipe.stages)
    return dataclasses.replace(recipe, stages=stages)


def _median_s(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Return the median seconds of `work`, measured three times or more and for `seconds`, after two that warm up."""

    def timed() -> float:
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    for _ in range(2):
        timed()
    taken = [timed() for _ in range(3)]
    while sum(taken) < seconds:
        taken.append(timed())
    return float(np.median(taken))
