"""How to train: a frozen value, read from TOML. The defaults are the paper's recipe (section 4.2)."""

import dataclasses
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UsageError

# Composition-1k trains on 431 foregrounds, each over 100 backgrounds.
EPOCH_SAMPLES = 43_100
PAPER_EPOCHS = 150


@dataclass(frozen=True)
class Stage:
    """Steps with one crop size (pixels a side, a multiple of 32) and batch size (per device)."""

    steps: int = PAPER_EPOCHS * EPOCH_SAMPLES // 4
    crop: int = 1024
    batch: int = 4

    def __post_init__(self) -> None:
        if self.crop % 32 or self.crop < 64 or self.steps < 1 or self.batch < 1:
            raise ValueError(f"{self}: crop is a multiple of 32 from 64 on, steps and batch are at least 1")


@dataclass(frozen=True)
class Optimiser:
    """RAdam. schedule: the rate is constant, or falls to zero over all steps along a cosine."""

    learning_rate: float = 5e-5
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    clip_norm: float = 1.0
    ema_decay: float = 0.999


@dataclass(frozen=True)
class Procedural:
    """The library of drawn alphas: how many, pixels a side, and how often each family (see `families`) is drawn.

    refresh: keep drawing while training runs and replace the oldest, as far as `workers` processes manage.
    """

    count: int = 2000
    size: int = 1024
    refresh: bool = True
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Augment:
    """Ranges are drawn from uniformly. trimap_px: erosion and dilation. combine: how often a second foreground."""

    trimap_px: tuple[int, int] = (3, 35)
    combine: float = 0.3
    scale: tuple[float, float] = (0.6, 1.6)
    shear: float = 0.1
    contrast: tuple[float, float] = (0.7, 1.3)
    saturation: tuple[float, float] = (0.5, 1.5)
    brightness: float = 0.1
    camouflage: float = 0.25
    defocused_background: float = 0.45
    noise: float = 0.5
    jpeg: float = 0.5


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is learned, apart from the pictures."""

    seed: int = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
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
            raise ValueError("a recipe has at least one [[stages]] table")

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage that step `step` (from 0) belongs to; the last one from its beginning on."""
        for stage in self.stages[:-1]:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and `from_dict` take them."""
        return dataclasses.asdict(self)


def read_recipe(path: str | Path) -> Recipe:
    """The recipe of a TOML file. Raises `UsageError` naming the key that is unknown or of the wrong type."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give an existing recipe") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    return from_dict(content, str(path))


def from_dict(content: dict[str, Any], name: str) -> Recipe:
    """The recipe that plain values describe; what they leave out is the default. Raises `UsageError`."""
    recipe: Recipe = _build(Recipe, content, name)
    return recipe


def _build(kind: Any, value: Any, name: str) -> Any:
    """`value` as the type `kind`: a dataclass, a tuple, a literal, a dict of numbers or a plain type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        unknown = value.keys() - hints.keys()
        if unknown:
            raise UsageError(f"{name}: unknown key {', '.join(sorted(unknown))}; known are {', '.join(hints)}")
        given = {key: _build(hints[key], item, f"{name}: {key}") for key, item in value.items()}
        try:
            return kind(**given)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from error
    if origin is tuple and isinstance(value, list | tuple):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(_build(kind, item, name) for kind, item in zip(kinds, value, strict=True))
    if origin is Literal and value in arguments:
        return value
    if origin is dict and isinstance(value, dict):
        return {key: _build(arguments[1], item, f"{name}: {key}") for key, item in value.items()}
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind in (int, bool) and type(value) is kind:
        return value
    raise UsageError(f"{name}: is {value!r}, wanted {_describe(kind)}")


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")
