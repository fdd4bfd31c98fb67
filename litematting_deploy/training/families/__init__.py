"""The procedural source of alphas: fourteen families of foregrounds, an endless stream of them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from ...errors import UsageError
from .baskets import basket
from .bushes import bush
from .canvas import Layer, blur, displace, finish, opened, over
from .edges import defocused, motion_blurred
from .fabrics import net
from .fur import fur
from .glass import glass
from .hair import curly_hair, straight_hair, wavy_hair
from .layout import fractal
from .lettering import text
from .plants import foliage
from .plumes import tufts
from .smoke import smoke

__all__ = ["FAMILIES", "WEIGHTS", "Layer", "draw", "layer"]

# Each draws one (size, size) layer of its kind.
FAMILIES: dict[str, Callable[[Generator, int], Layer]] = {
    "straight_hair": straight_hair,
    "wavy_hair": wavy_hair,
    "curly_hair": curly_hair,
    "fur": fur,
    "foliage": foliage,
    "net": net,
    "smoke": smoke,
    "glass": glass,
    "tufts": tufts,
    "defocused": defocused,
    "motion_blurred": motion_blurred,
    "text": text,
    "bush": bush,
    "basket": basket,
}
# How often each comes: hair and fur 35 %, what is full of holes with hard edges 45 %, the rest 20 %.
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "straight_hair": 0.11,
        "wavy_hair": 0.07,
        "curly_hair": 0.07,
        "fur": 0.10,
        "foliage": 0.10,
        "net": 0.07,
        "smoke": 0.04,
        "glass": 0.05,
        "tufts": 0.04,
        "defocused": 0.03,
        "motion_blurred": 0.02,
        "text": 0.02,
        "bush": 0.16,
        "basket": 0.12,
    }
)
_SECOND, _WARPED, _SOFTENED = 0.15, 0.25, 0.2


def draw(rng: Generator, size: int, weights: Mapping[str, float] | None = None) -> Layer:
    """One layer of a family picked by `weights` (relative, default `WEIGHTS`; families left out are never drawn).

    Sometimes two are united, sometimes the result is warped or slightly softened. Raises `UsageError` for unknown
    families and for weights that leave nothing to draw.
    """
    names, chances = _chances(WEIGHTS if weights is None else weights)
    drawn = FAMILIES[names[int(rng.choice(len(names), p=chances))]](rng, size)
    if rng.random() < _SECOND:
        other = FAMILIES[names[int(rng.choice(len(names), p=chances))]](rng, size)
        drawn = finish(over(opened(drawn), opened(other)))
    if rng.random() < _WARPED:
        field = np.stack([fractal(rng, size, 2, 2), fractal(rng, size, 2, 2)], -1)
        drawn = finish(displace(opened(drawn), field * np.float32(size * rng.uniform(0.004, 0.02))))
    if rng.random() < _SOFTENED:
        drawn = finish(blur(opened(drawn), float(rng.uniform(0.4, 1.3))))
    return drawn


def layer(seed: int, index: int, size: int, weights: Mapping[str, float] | None = None) -> Layer:
    """Layer number `index` of the endless stream `seed`, (size, size), by `draw`: always the same bits."""
    return draw(np.random.default_rng([seed, index]), size, weights)


def _chances(weights: Mapping[str, float]) -> tuple[list[str], np.ndarray]:
    unknown = sorted(set(weights) - set(FAMILIES))
    if unknown:
        raise UsageError(f"weights: unknown families {', '.join(unknown)}; known are {', '.join(FAMILIES)}")
    names = [name for name in FAMILIES if weights.get(name, 0) > 0]
    total = float(sum(weights[name] for name in names))
    if not 0 < total < np.inf or any(value < 0 for value in weights.values()):
        raise UsageError(f"weights: {dict(weights)} leave nothing to draw; give positive numbers")
    return names, np.array([weights[name] / total for name in names])
