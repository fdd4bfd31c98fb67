"""How groomed strands are cut and worn: between their guides, in clumps, waved, frizzy, thinned, blown about."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .canvas import Floats, Points, unit
from .figures import Figure
from .layout import log_uniform, sampled


class Locks(NamedTuple):
    """How one head of hair is worn; lengths in radii of the figure unless said otherwise.

    width: of a strand. density, length: relative to the groom's. clump: how far tips gather, 0..1. wave, turns: radius
    and windings. frizz, flyaways: how much strands stray relative to their length, and the share that does so more.
    wind: where tips go. ragged: how unequal lengths are, 0..1.
    """

    width: float
    density: float
    length: float
    clump: float
    wave: float
    turns: float
    frizz: float
    flyaways: float
    wind: Floats
    ragged: float

    @classmethod
    def random(cls, rng: Generator, shown: Figure) -> "Locks":
        """Return locks of any look.

        shown: whose usual length decides whether hair can wave, and how long it may be worn.
        """
        usual = float(np.median(np.linalg.norm(np.diff(shown.strands, axis=1), axis=2).sum(1)))
        waved = rng.random() < 0.45 and usual > 0.4
        short = usual < 0.3
        return cls(
            width=float(rng.lognormal(np.log(0.0013), 0.4)),
            density=log_uniform(rng, 0.12, 1),
            length=float(rng.uniform(1, 2.8) if short else rng.uniform(0.6, 1.15)),
            clump=float(rng.uniform(0, 0.9) * (rng.random() < 0.75)),
            wave=log_uniform(rng, 0.015, 0.12) if waved else 0.0,
            turns=float(rng.uniform(0.6, 4.5)) * min(usual, 3) / 2,
            frizz=log_uniform(rng, 0.005, 0.07),
            flyaways=log_uniform(rng, 0.004, 0.12),
            wind=(rng.normal(0, 1, 3) * usual * rng.choice([0.03, 0.1, 0.35], p=[0.5, 0.35, 0.15])).astype(np.float32),
            ragged=float(rng.uniform(0.05, 0.6)),
        )


def grown(
    rng: Generator, shown: Figure, locks: Locks, chosen: NDArray[np.int64], widths: Floats, length: float
) -> tuple[Floats, Floats]:
    """Grow a strand beside each of `chosen`, (N,), of the groom: (N, M, 3) float32, and its width, (N,).

    length: of a strand in pixels, which decides how many points it needs.
    """
    count, turned = len(chosen), locks.wave > 0
    lines = _between(rng, shown, chosen)
    t = np.linspace(0, 1, lines.shape[1], dtype=np.float32)[:, None]
    gathered = (locks.clump * rng.beta(4, 1.5, (count, 1, 1))).astype(np.float32)
    lines += gathered * t**1.3 * (shown.strands[shown.lock[chosen]] - lines)
    loose = rng.random(count) < locks.flyaways
    widths = np.where(loose, widths * 0.8, widths).astype(np.float32)
    reach = (1 - locks.ragged * rng.beta(1, 2.5, count)) * np.where(loose, rng.uniform(0.4, 1, count), 1)
    finest = next((points for points in (9, 17, 33) if length < 5 * points), 65)
    lines = _cut(lines, reach * min(locks.length, 1.0), 65 if turned and finest > 17 else finest)
    t = np.linspace(0, 1, lines.shape[1], dtype=np.float32)[:, None]
    if locks.length > 1:
        lines = lines[:, :1] + (lines - lines[:, :1]) * np.float32(locks.length)
    span = np.linalg.norm(lines[:, -1] - lines[:, 0], axis=1)[:, None, None]
    if turned:
        lines += _waves(rng, shown, locks, chosen, lines)
    stray = locks.frizz * rng.lognormal(0, 0.6, (count, 1, 1)) * np.where(loose, 4.0, 1.0)[:, None, None]
    lines += (_noise(rng, count, lines.shape[1]) * (stray.clip(0, 0.35) * span)).astype(np.float32)
    lift = unit(lines[:, lines.shape[1] // 8] - lines[:, 0])
    lift = lift + 0.5 * lines[:, 0] / (np.linalg.norm(lines[:, 0], axis=1, keepdims=True) + 1e-9)
    lift = (lift + rng.normal(0, 0.5, lift.shape)) * (loose * rng.uniform(0, 0.4, count))[:, None] * span[:, 0]
    lines += (lift[:, None] * t**1.5 + locks.wind * t**2 * rng.uniform(0.5, 1, (count, 1, 1))).astype(np.float32)
    return lines, widths


def _between(rng: Generator, shown: Figure, chosen: NDArray[np.int64]) -> Floats:
    """Return strands between each chosen one and its neighbours, with roots moved by less than their spacing.

    chosen: (N,), strands of the groom. Returns (N, M, 3) float32, in radii of the figure.
    """
    weights = rng.dirichlet((1.2, 0.8, 0.8, 0.8), len(chosen)).astype(np.float32)
    lines = shown.strands[chosen] * weights[:, :1, None]
    for k in range(3):
        lines += shown.strands[shown.near[chosen, k]] * weights[:, k + 1, None, None]
    aside = rng.normal(0, 0.4 * shown.spacing, (len(chosen), 1, 3))
    return np.asarray(lines + aside, np.float32)


def _cut(lines: Floats, reach: Points, points: int) -> Floats:
    """Return the first part `reach`, (N,) 0..1, of each line, (N, M, 3), as (N, points, 3)."""
    at = np.linspace(0, lines.shape[1] - 1, points, dtype=np.float32) * reach[:, None].astype(np.float32)
    return sampled(lines, at).astype(np.float32)


def _waves(rng: Generator, shown: Figure, locks: Locks, chosen: NDArray[np.int64], lines: Floats) -> Floats:
    """Return windings about each line, (N, M, 3); the strands of a lock wind together.

    chosen: (N,), the strand that each grows beside. Returns (N, M, 3) float32, to be added.
    """
    way = unit(lines[:, -1] - lines[:, 0])
    one = unit(np.cross(way, rng.normal(0, 1, 3)))
    two = np.cross(way, one) * rng.uniform(0.1, 1)
    lock = shown.lock[chosen]
    own = np.random.default_rng(int(rng.integers(2**31))).random((len(shown.strands), 2))[lock]
    t = np.linspace(0, 1, lines.shape[1])
    angle = (own[:, :1] + rng.normal(0, 0.07, (len(chosen), 1))) * 6.28
    angle = angle + 6.28 * locks.turns * (0.8 + 0.4 * own[:, 1:]) * t + 1.2 * _noise(rng, len(chosen), len(t))[..., 0]
    size = locks.wave * rng.lognormal(0, 0.2, (len(chosen), 1)) * np.minimum(3 * t, 1)
    aside, ahead = (size * np.sin(angle))[..., None], (size * np.cos(angle))[..., None]
    return np.asarray(aside * one[:, None] + ahead * two[:, None], np.float32)


def _noise(rng: Generator, count: int, points: int, knots: int = 8) -> Floats:
    """Return smooth random ways off a line, (count, points, 3), zero at the root and about 1 at the tip."""
    steps = np.cumsum(rng.normal(0, 1 / np.sqrt(knots - 1), (count, knots, 3)).astype(np.float32), 1)
    steps -= steps[:, :1]
    at = np.linspace(0, knots - 1, points)
    low = np.minimum(at.astype(int), knots - 2)
    part = (at - low)[:, None].astype(np.float32)
    part = part * part * (3 - 2 * part)
    return np.asarray(steps[:, low] * (1 - part) + steps[:, low + 1] * part, np.float32)
