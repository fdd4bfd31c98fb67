"""Drawing procedural alphas. Without PyTorch: each process that draws would have to import it."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..files import replacing, sha256
from .collages import collage
from .cutouts import opacity_file
from .families import layer

POINTS = 1024
SHARD = 20
"""Layers in a file: what is lost when drawing is killed."""

Drawn = tuple[NDArray[np.uint8], NDArray[np.int16]]
"""Planes, alpha and shade (2, S, S) or alpha and RGB (4, S, S), and pixels worth looking at (POINTS, 2), y and x."""


@dataclass(frozen=True)
class Stream:
    """An endless stream of layers: its seed, their size in pixels a side, and how often each family comes.

    strands: files of grooms for the family "groomed". cutouts: files of cut-outs; given these, layers are collages of
    them, in their colours, and no family is drawn.
    """

    seed: int
    size: int
    weights: Mapping[str, float] | None = None
    strands: tuple[str, ...] = ()
    cutouts: tuple[str, ...] = ()

    @property
    def planes(self) -> int:
        """How many planes a layer has: alpha and shade, or alpha and RGB."""
        return 4 if self.cutouts else 2

    def draw(self, index: int) -> Drawn:
        """Draw layer number `index`: its planes and points."""
        if self.cutouts:
            planes = collage(self.cutouts, np.random.default_rng([self.seed, index]), self.size)
            return planes, points_of_interest(planes[0], np.random.default_rng(index))
        drawn = layer(self.seed, index, self.size, self.weights, self.strands)
        return np.stack([drawn.alpha, drawn.shade]), points_of_interest(drawn.alpha, np.random.default_rng(index))

    def folder_name(self) -> str:
        """Return a name that changes when the content would: with the settings, the code that draws, and its
        libraries."""
        weights = dict(self.weights) if self.weights else None
        opacities = [other for path in self.cutouts if (other := opacity_file(Path(path)))]
        files = [sha256(path) for path in [*self.strands, *self.cutouts, *map(str, opacities)]]
        drawn_by = [code_digest(), np.__version__, cv2.__version__]
        content = json.dumps([self.seed, self.size, weights, files, *drawn_by], sort_keys=True)
        return f"alphas-{self.size}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


@functools.cache
def code_digest(folder: Path = Path(__file__).parent) -> str:
    """Return the SHA-256 of the code in `folder`, that of `training`, which draws: the families and what they need."""
    digest = hashlib.sha256()
    modules = [folder / f"{name}.py" for name in ("drawing", "grooms", "cutouts", "collages")]
    for path in sorted([*modules, *(folder / "families").rglob("*.py")]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def points_of_interest(alpha: NDArray[np.uint8], rng: np.random.Generator, count: int = POINTS) -> NDArray[np.int16]:
    """Return random pixels (count, 2), y and x, at which alpha (H, W) is fractional, or at an edge where it never
    is."""
    fractional = (alpha > 5) & (alpha < 250)
    if not fractional.any():
        fractional = cv2.morphologyEx(alpha, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    found = np.flatnonzero(fractional)
    chosen = found[rng.integers(len(found), size=count)] if len(found) else rng.integers(alpha.size, size=count)
    return np.stack(np.unravel_index(chosen, alpha.shape), axis=1).astype(np.int16)


def draw_shard(stream: Stream, folder: Path, first: int) -> None:
    """Draw layer `first` and those after it into files in `folder`.

    Runs in a process of `Drawers`. Raises `OutputError`, and `InputError` for a groom or cut-out.
    """
    write_shard(folder, first, [stream.draw(first + i) for i in range(SHARD)])


def write_shard(folder: Path, first: int, drawn: Sequence[Drawn]) -> None:
    """Write SHARD layers, `first` and those after it, as a library keeps them.

    drawn: planes (planes, S, S) and points (POINTS, 2) of each. Raises `OutputError`.
    """
    planes, points = zip(*drawn, strict=True)
    file = shard_file(folder, first)
    for path, arrays in ((points_file(file), points), (file, planes)):  # the file that counts comes last
        with replacing(path) as draft:
            np.save(draft, np.stack(arrays))


def shard_file(folder: Path, first: int) -> Path:
    """Return the file of the planes of layer `first` and those after it."""
    return folder / f"{first:06d}.npy"


def points_file(file: Path) -> Path:
    """Return the file of the points beside a file of planes."""
    return file.with_suffix(".points.npy")
