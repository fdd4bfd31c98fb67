"""How to train: a frozen value, read from TOML. Stages and rates are the paper's (section 4.2) by default."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UsageError
from ..parameters import check_number
from ..schema import decode
from .families import check_weights

# Composition-1k trains on 431 foregrounds, each over 100 backgrounds.
EPOCH_SAMPLES = 43_100
PAPER_EPOCHS = 150

_LEAST_ALPHAS = 64
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Stage:
    """Steps with one crop size and batch size.

    - `steps`: steps of the optimiser, 1 or more.
    - `crop`: side of a sample in pixels, a multiple of 32 from 64 on.
    - `batch`: samples per step and device, 1 or more.
    - `guidance_every`: train the low-level guidance branch (`layerx`, 43 % of the network's arithmetic) only at every
      Nth step of the run; 0 for never. The network uses the branch as always, but the other
      steps, through which no gradient flows, are about 1.4 times as fast.
    """

    steps: int = PAPER_EPOCHS * EPOCH_SAMPLES // 4
    crop: int = 1024
    batch: int = 4
    guidance_every: int = 1

    def __post_init__(self) -> None:
        check_number("steps", self.steps, 1)
        check_number("batch", self.batch, 1)
        check_number("guidance_every", self.guidance_every, 0)
        if self.crop % 32 or self.crop < 64:
            raise UsageError(f"`crop` must be a multiple of 32, at least 64; got {self.crop}")

    @property
    def shares(self) -> dict[bool, float]:
        """The shares of the steps that train the guidance branch (True) and that do not, those above zero."""
        trained = 1 / self.guidance_every if self.guidance_every else 0.0
        return {kind: share for kind, share in ((True, trained), (False, 1 - trained)) if share}

    def trains_guidance(self, step: int) -> bool:
        """Return whether the guidance branch is trained at `step`, counted from 0 over the whole run."""
        # Last of N, for at the first step DDP warns of a network that lacks no gradient where it was told to expect it.
        return bool(self.guidance_every) and step % self.guidance_every == self.guidance_every - 1


@dataclass(frozen=True)
class Optimiser:
    """RAdam, its rate over the steps, and what is averaged and clipped.

    - `learning_rate`: 0 to 1. betas: decays of RAdam's two moments, 0 to below 1.
    - `schedule`: the rate is constant, or falls to zero over all steps, along a cosine or, for a cooldown, as 1 -
      sqrt(step / steps) (Hägele et al. 2024).
    - `warmup_steps`: number of steps over which the rate first grows linearly.
    - `clip_norm`: largest norm of the gradient. ema_decay: decay of the averaged weights per step, 0 to below 1.
    """

    learning_rate: float = 5e-5
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Literal["constant", "cosine", "cooldown"] = "constant"
    warmup_steps: int = 0
    clip_norm: float = 1.0
    ema_decay: float = 0.999

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, 0, 1)
        check_number("betas", self.betas, 0, 1, below=True)
        check_number("ema_decay", self.ema_decay, 0, 1, below=True)
        check_number("warmup_steps", self.warmup_steps, 0)
        check_number("clip_norm", self.clip_norm, 0)


@dataclass(frozen=True)
class Procedural:
    """The library of drawn alphas.

    - `count`: alphas at most. size: their side in pixels, 64 or more.
    - `seed`: seed of the alphas, by default the recipe's own. Recipes that are equal in all of these share drawn
      alphas.
    - `refresh`: keep drawing while training runs and replace the oldest, as far as the worker processes manage.
    - `photos`: how many photos of a larger folder are used; they stay decoded on the device, up to 8 MB each.
    - `cutouts`: share of the samples that come from cut-outs if ltm-train is given a folder of them, 0 to 1.
    - `cutouts_exclude`: names of files there to exclude, such as "*_black.png" (shell patterns).
    - `weights`: how often each family (see `families`) is used; "groomed" is one if ltm-train is given strands.
    """

    count: int = 2000
    size: int = 1024
    seed: int | None = None
    refresh: bool = True
    photos: int = 1000
    cutouts: float = 0.15
    cutouts_exclude: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, low in (("count", 1), ("size", 64), ("photos", 2)):
            check_number(name, getattr(self, name), low)
        if self.seed is not None:
            check_number("seed", self.seed, 0, 2**31)
        check_number("cutouts", self.cutouts, 0, 1)
        if self.weights:
            check_weights(self.weights)


@dataclass(frozen=True)
class Augment:
    """How foregrounds become scenes. Ranges are drawn from uniformly; a single number is how often something happens.

    - `trimap_px`: pixels from the edge of the object to the known regions, uniform in the logarithm. `hand_drawn`:
      trimaps of broad strokes or with straight sides. `swallowed`: regions narrower than a brush are unknown.
    - `combine`: a second foreground behind the first. `scale`, `shear`: of the foreground. `sparse`: the crop lies
      beside the foreground, so that hardly any is in it.
    - `contrast`, `saturation`: factors. `brightness`, `tint`: the most that is added, and by which each colour is
      multiplied. `matched`: foreground and background have all these, the light and the noise in common.
    - `camouflage`: the foreground has colours of its background. `photo_variety`: a photo is recoloured, turned grey,
      or mixed with another.
    - `backdrop`, `screen`: the background is a studio's plain colour, or a photo on a screen. `defocused_background`.
    - `shadow`: the foreground casts one on the background. `spill`: its edge reflects the background's colour.
    - `lens_blur`: the whole scene is out of focus, and so is alpha. `camera`: the image alone is resampled, softened or
      sharpened. `noise`, `jpeg`: as they say.
    """

    trimap_px: tuple[int, int] = (3, 60)
    hand_drawn: float = 0.3
    swallowed: float = 0.3
    combine: float = 0.5
    scale: tuple[float, float] = (0.6, 1.6)
    shear: float = 0.1
    sparse: float = 0.05
    contrast: tuple[float, float] = (0.7, 1.3)
    saturation: tuple[float, float] = (0.5, 1.5)
    brightness: float = 0.1
    tint: float = 0.12
    matched: float = 0.7
    camouflage: float = 0.25
    photo_variety: float = 0.4
    backdrop: float = 0.12
    screen: float = 0.12
    defocused_background: float = 0.45
    shadow: float = 0.3
    spill: float = 0.3
    lens_blur: float = 0.1
    camera: float = 0.5
    noise: float = 0.5
    jpeg: float = 0.5

    def __post_init__(self) -> None:
        ranges = {"trimap_px": (1, 60), "scale": (0.1, 10), "contrast": (0, 10), "saturation": (0, 10)}
        for name in (one.name for one in dataclasses.fields(self)):
            limits = getattr(self, name)
            check_number(name, limits, *ranges.get(name, (0, 1)))
            if name in ranges and limits[0] > limits[1]:
                raise UsageError(f"`{name}` must have the smaller number first; got {limits}")


@dataclass(frozen=True)
class Recipe:
    """Everything that determines what is learned, except the pictures.

    precision: "auto" selects the fastest one on this machine, see `precision.decide`.
    """

    seed: int = 0
    precision: Precision = "auto"
    compile: bool = False
    held_out: float = 0.1
    validate_every: int = 1000
    validation_scenes: int = 32
    checkpoint_every: int = 500
    stages: tuple[Stage, ...] = (Stage(),)
    optimiser: Optimiser = Optimiser()
    procedural: Procedural = Procedural()
    augment: Augment = Augment()

    def __post_init__(self) -> None:
        if not self.stages:
            raise UsageError("`stages` must contain at least one table; got none")
        check_number("seed", self.seed, 0, 2**31)
        check_number("held_out", self.held_out, 0.001, 0.9)
        for name in ("validate_every", "validation_scenes", "checkpoint_every"):
            check_number(name, getattr(self, name), 1)

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def samples(self) -> int:
        """Samples that one device sees in all steps."""
        return sum(stage.steps * stage.batch for stage in self.stages)

    @property
    def library_count(self) -> int:
        """Alphas to draw: no more than the run takes samples, but enough to differ, and at most as many as it says."""
        return min(self.procedural.count, max(_LEAST_ALPHAS, self.samples))

    @property
    def ema_decay(self) -> float:
        """Decay of the averaged weights: what the optimiser says, or over a tenth of the steps where that is shorter.

        The weights that a run begins with then count by exp(-10) at its end.
        """
        return max(0.0, min(self.optimiser.ema_decay, 1 - 10 / self.steps))

    def stage_at(self, step: int) -> Stage:
        """Return the stage that step `step` (from 0) belongs to; the last one from its beginning on."""
        for stage in self.stages[:-1]:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON takes them."""
        return dataclasses.asdict(self)


def read_recipe(path: str | Path) -> Recipe:
    """Return the recipe in a TOML file; what it leaves out is the default.

    Raises `UsageError` that names the file, the key, the value and what is accepted.
    """
    return decode(path, Recipe, name="a recipe", toml=True, error=UsageError)


def recipe_sha256(recipe: Recipe) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the recipe as JSON: keys sorted, no spaces.

    What is None is left out, so that a recipe keeps its digest when a later version has one more choice. For the same
    reason, `guidance_every` of 0 or 1 is written as the yes or no that it was in earlier versions.
    """
    fields = recipe.to_dict()
    for stage in fields["stages"]:
        if stage["guidance_every"] <= 1:
            stage["freeze_guidance"] = not stage.pop("guidance_every")
    fields["procedural"] = {name: value for name, value in fields["procedural"].items() if value is not None}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
