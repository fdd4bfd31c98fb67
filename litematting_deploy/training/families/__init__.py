"""The procedural source of alphas: families of drawn foregrounds, and an endless stream of layers of them.

A family is a function in a module of its own here, such as `fur.fur`: it takes a random generator and a size, and
returns a `Layer` of that size. It draws on a `canvas.Canvas` or computes every pixel, finds its place by `layout.place`
and ends in `finish(lit(...))`. To add one, write the module, and name the function in `_TABLE` with how often it comes;
`python docs/pictures/families.py` draws its picture for docs/explanation/families.md. What families share:

canvas      exact coverage by supersampling, and operations on what was drawn
layout      a place in the frame, noise, light, shadows of one sheet on another; lines that grow, wind, run in bundles
shapes      outlines of solid things
leaves      leaves and their veins          perspective   wires and walls in space, and their patterns
figures, locks      what `groomed` grows on, and how its hair is worn
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from ...errors import UsageError
from .baskets import basket
from .bicycles import bicycle
from .bushes import branches, bush
from .canvas import Layer, blur, finish, opened, over
from .edges import defocused, motion_blurred
from .fabrics import net
from .fences import fence
from .flowers import flowers
from .fur import fur, tufts
from .groomed import groomed
from .hair import CURLY, STRAIGHT, WAVY, hair
from .knits import knit
from .layout import warped
from .lettering import text
from .manes import mane
from .plants import foliage, long_grass
from .translucent import glass, smoke
from .vessels import vessel

__all__ = [
    "FAMILIES",
    "GROOMED",
    "GROOMED_WEIGHT",
    "WEIGHTS",
    "Layer",
    "check_strands",
    "check_weights",
    "draw",
    "layer",
]

Draw = Callable[[Generator, int], Layer]
"""Draws one (size, size) layer of a kind."""

# family -> what draws it, and how often it comes: hair and fur 35 %, what is full of holes with hard edges 45 %, the
# rest 20 %
_TABLE: dict[str, tuple[Draw, float]] = {
    "straight_hair": (partial(hair, STRAIGHT), 0.08),
    "wavy_hair": (partial(hair, WAVY), 0.06),
    "curly_hair": (partial(hair, CURLY), 0.07),
    "fur": (fur, 0.08),
    "foliage": (foliage, 0.04),
    "net": (net, 0.03),
    "smoke": (smoke, 0.04),
    "glass": (glass, 0.03),
    "tufts": (tufts, 0.04),
    "defocused": (defocused, 0.03),
    "motion_blurred": (motion_blurred, 0.02),
    "text": (text, 0.02),
    "bush": (bush, 0.11),
    "basket": (basket, 0.07),
    "flowers": (flowers, 0.06),
    "long_grass": (long_grass, 0.02),
    "fence": (fence, 0.05),
    "branches": (branches, 0.04),
    "knit": (knit, 0.02),
    "bicycle": (bicycle, 0.01),
    "vessel": (vessel, 0.02),
    "mane": (mane, 0.06),
}
FAMILIES = {name: draws for name, (draws, _) in _TABLE.items()}
WEIGHTS: Mapping[str, float] = MappingProxyType({name: weight for name, (_, weight) in _TABLE.items()})
GROOMED, GROOMED_WEIGHT = "groomed", 0.25
"""The family whose strands come from files, and its weight beside `WEIGHTS` where there are some."""
_SECOND, _WARPED, _SOFTENED = 0.15, 0.25, 0.2


def draw(rng: Generator, size: int, weights: Mapping[str, float] | None = None, strands: tuple[str, ...] = ()) -> Layer:
    """Return one layer of a family picked by `weights` (relative, default `WEIGHTS`; families left out are never
    drawn).

    Sometimes two are united, sometimes the result is warped or slightly softened. strands: files of grooms, which
    the family "groomed" draws. Raises `UsageError` for unknown families, for weights that leave nothing to draw and
    for "groomed" without strands, `InputError` for a file of `strands`.
    """
    families = FAMILIES | ({GROOMED: partial(groomed, strands)} if strands else {})
    if weights is None:
        weights = dict(WEIGHTS) | ({GROOMED: GROOMED_WEIGHT} if strands else {})
    names, chances = _chances(weights, families)
    drawn = families[names[int(rng.choice(len(names), p=chances))]](rng, size)
    if rng.random() < _SECOND:
        other = families[names[int(rng.choice(len(names), p=chances))]](rng, size)
        drawn = finish(over(opened(drawn), opened(other)))
    if rng.random() < _WARPED:
        drawn = finish(warped(rng, opened(drawn), 0.004, 0.02))
    if rng.random() < _SOFTENED:
        drawn = finish(blur(opened(drawn), float(rng.uniform(0.4, 1.3))))
    return drawn


def layer(
    seed: int, index: int, size: int, weights: Mapping[str, float] | None = None, strands: tuple[str, ...] = ()
) -> Layer:
    """Return layer number `index` of the endless stream `seed`, (size, size), by `draw`: always the same bits.

    seed, index: from 0. weights, strands: as those of `draw`, which raises.
    """
    return draw(np.random.default_rng([seed, index]), size, weights, strands)


def check_weights(weights: Mapping[str, float]) -> None:
    """Raise `UsageError` for what is no family, for a weight below 0 or without end, and where all are 0."""
    for family, weight in weights.items():
        if family not in (*FAMILIES, GROOMED):
            raise UsageError(
                f"`weights` must name families; got {family!r}; choose from {', '.join(FAMILIES)}, {GROOMED}"
            )
        if not 0 <= weight < np.inf:
            raise UsageError(f"`weights.{family}` must be a finite number, 0 or more; got {weight}")
    if not any(weights.values()):
        raise UsageError("`weights` must not all be 0, since nothing would be drawn; raise at least one")


def draws_groomed(weights: Mapping[str, float]) -> bool:
    """Return whether weights (none: the default ones) draw "groomed" where there are strands."""
    return not weights or weights.get(GROOMED, 0) > 0


def check_strands(weights: Mapping[str, float], strands: bool, name: str = "weights") -> None:
    """Raise `UsageError` unless weights (none: the default ones) draw "groomed" exactly where there are strands.

    name: of the weights.
    """
    if weights.get(GROOMED, 0) > 0 and not strands:
        raise UsageError(f"{name}: {GROOMED} is {weights[GROOMED]:g}, but there are no strands; add `strands`")
    if strands and not draws_groomed(weights):
        raise UsageError(f"{name}: `strands` are given, but {GROOMED} has no weight; add {GROOMED} = {GROOMED_WEIGHT}")


def _chances(weights: Mapping[str, float], families: Mapping[str, Draw]) -> tuple[list[str], np.ndarray]:
    """Return the names of the families to draw from, and how likely each of them is. Raises `UsageError`."""
    check_weights(weights)
    check_strands(weights, GROOMED in families)
    names = [name for name in families if weights.get(name, 0) > 0]
    total = float(sum(weights[name] for name in names))
    return names, np.array([weights[name] / total for name in names])
