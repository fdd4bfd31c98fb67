"""The two kinds of training data, and how they are made from folders."""

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from .cutouts import list_cutouts, read_cutout
from .data import Batch, Source, Sources
from .drawing import Stream
from .families import check_strands
from .grooms import list_grooms, read_groom
from .library import Library
from .photos import Photos, list_foregrounds, list_images, read_background, read_window, split
from .procedural import Cut, cut, warp
from .progress import Reporter
from .recipe import Augment, Recipe

# So far from any usual seed that no run trains on what another one, with the next seed, is judged by.
_VALIDATION_SEED = 1_000_003


class ProceduralSource(Source):
    """Drawn alphas over photos: nothing is read while training, all of it lies on the device.

    coloured: a library of cut-outs in their own colours, which a `share` of samples, 0..1, come from.
    workers: processes that go on drawing while training runs.
    """

    def __init__(
        self, library: Library, photos: list[Path], recipe: Recipe, workers: int = 0, coloured: Library | None = None
    ) -> None:
        super().__init__(photos, recipe.augment)
        self.library, self.workers, self.coloured = library, workers, coloured
        self.share = recipe.procedural.cutouts
        self._prepared: tuple[torch.device, int, int] | None = None

    @property
    def libraries(self) -> dict[str, Library]:
        """The libraries, by what is in them."""
        return {"alphas": self.library} | ({"cut-outs": self.coloured} if self.coloured else {})

    def open(self, device: torch.device) -> None:
        """Load the photos, unless they lie on the device already. Raises `InputError`."""
        if self.photos is None or self.photos.device != device:
            self.photos = Photos(self.paths, device)

    def prepare(self, device: torch.device, rank: int = 0, world: int = 1) -> None:
        """Load libraries and photos, unless they lie on the device already."""
        if self._prepared is None or self._prepared[0] != device:
            for library in self.libraries.values():
                library.load(device)
        self.open(device)
        self._prepared = (device, rank, world)

    def cut(self, batch: Batch, rng: np.random.Generator) -> Cut:
        """Return drawn foregrounds, and a share of cut-outs, over photos.

        batch: of which nothing was read. Lets finished layers into the library first, where workers go on drawing.
        """
        if self.workers and self._prepared:
            self.library.refresh(self.workers, *self._prepared[1:])
        photos = self.photos
        if photos is None:
            raise RuntimeError("ProceduralSource.cut comes after open")
        coloured = int((rng.random(batch.samples) < self.share).sum()) if self.coloured else 0
        # Without cut-outs, the second count has no library and is left out.
        counts = zip(self.libraries.values(), (batch.samples - coloured, coloured), strict=False)
        parts = [cut(library, photos, self.augment, rng, count, batch.crop) for library, count in counts if count]
        return Cut(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def close(self) -> None:
        """Stop drawing."""
        self.library.close()


class FolderSource(Source):
    """Foregrounds with alphas from files (Composition-1k's training layout) over photos.

    foregrounds: alphas by the files of their foregrounds.
    """

    reads = True

    def __init__(self, foregrounds: Mapping[Path, Path], photos: list[Path], augment: Augment) -> None:
        super().__init__(photos, augment)
        self.foregrounds = list(foregrounds.items())

    def read(self, crop: int, rng: np.random.Generator) -> dict[str, NDArray[np.uint8]]:
        """Return `window`, alpha and RGB about a fractional pixel (4, S, S), and `background` (3, crop, crop)."""
        pair = self.foregrounds[rng.integers(len(self.foregrounds))]
        photo = self.paths[rng.integers(len(self.paths))]
        # As far as the largest crop reaches when it is turned by 45 degrees.
        reach = math.ceil(crop * self.augment.scale[1] * math.sqrt(2))
        return {"window": read_window(*pair, reach, rng), "background": read_background(photo, crop, rng)}

    def cut(self, batch: Batch, rng: np.random.Generator) -> Cut:
        """Return the windows turned, scaled and sheared over their backgrounds."""
        planes = batch.read["window"].float() / 255
        middle = torch.full((len(planes), 2), planes.shape[-1] // 2, device=planes.device)
        warped = warp(planes, middle, self.augment, rng, batch.crop)
        alike = torch.zeros(len(planes), 1, 1, 1, device=planes.device)
        return Cut(warped[:, :1], warped[:, 1:], batch.read["background"].float() / 255, alike)


def procedural_sources(
    recipe: Recipe, photos: Path, kept: Path, workers: int, strands: Path | None = None, cutouts: Path | None = None
) -> Sources:
    """Return sources of drawn alphas over a folder of photos. Nothing is drawn yet.

    kept: folder where drawn libraries are kept. workers: processes that draw while training runs. strands: folder of
    grooms. cutouts: folder of cut-outs. Of each folder some files are held out. Raises `InputError` for a file that
    cannot be read.
    """
    settings, made = recipe.procedural, []
    check_strands(settings.weights, strands is not None)
    paths = list_images(photos)
    # All of them lie on the device while training runs.
    if len(paths) > settings.photos:
        chosen = np.random.default_rng(recipe.seed).choice(len(paths), settings.photos, replace=False)
        # In the order of names, so that the choice alone is random.
        paths = [paths[i] for i in sorted(chosen)]
    backgrounds = split(paths, recipe.held_out)
    grooms = _split_files(list_grooms(strands) if strands else [], read_groom, recipe.held_out)
    pieces = _cutouts(cutouts, settings.cutouts_exclude) if cutouts else []
    coloured = _split_files(pieces, read_cutout, recipe.held_out)
    first = recipe.seed if settings.seed is None else settings.seed
    seeds, counts = (first, first + _VALIDATION_SEED), (recipe.library_count, recipe.validation_scenes)
    for part, (seed, count) in enumerate(zip(seeds, counts, strict=True)):
        library = Library(kept, Stream(seed, settings.size, settings.weights or None, grooms[part]), count)
        # A share of the library as of the samples, so that none is seen more often than a drawn one.
        own = math.ceil(settings.cutouts * count) if coloured[part] else 0
        cut_out = Library(kept, Stream(seed, settings.size, cutouts=coloured[part]), own) if own else None
        # Held-out scenes stay the same, or errors of two steps could not be compared.
        refreshing = workers if settings.refresh and part == 0 else 0
        made.append(ProceduralSource(library, backgrounds[part], recipe, refreshing, cut_out))
    return made[0], made[1]


def check_drawn(recipe: Recipe, strands: bool, name: str, report: Reporter) -> None:
    """Raise `UsageError` for a recipe of drawn alphas that nothing good can be drawn by; warn of one that hardly can.

    strands: whether there are grooms. name: of the recipe. report: is warned.
    """
    settings = recipe.procedural
    check_strands(settings.weights, strands, f"{name}: procedural.weights")
    for stage in recipe.stages:
        if stage.crop * recipe.augment.scale[0] > settings.size:
            raise UsageError(
                f"{name}: crop is {stage.crop}, but procedural.size only {settings.size}: every crop would repeat its "
                f"alpha as a mirrored tile; set size to at least {stage.crop}, better to {round(stage.crop * 1.5)}"
            )
    largest = max(stage.crop for stage in recipe.stages)
    if largest > settings.size:
        report.note(
            f"warning: {name}: crop is {largest} and procedural.size {settings.size}: most crops mirror their "
            f"alpha beyond its edge; set size to {round(largest * 1.5)}, where a third does",
            warning=True,
        )


def _cutouts(folder: Path, exclude: tuple[str, ...]) -> list[Path]:
    """Return the cut-outs of a folder but those whose names match a pattern. Raises `InputError` if none is left."""
    found = list_cutouts(folder)
    left = [path for path in found if not any(fnmatchcase(path.name, pattern) for pattern in exclude)]
    if not left:
        raise InputError(
            f"{folder}: procedural.cutouts_exclude = {list(exclude)} excludes all of its {len(found)} cut-outs; "
            "remove a pattern, or leave `cutouts` out"
        )
    return left


def _split_files(
    paths: list[Path], read: Callable[[str], object], held_out: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return files for training and held out, none of none, once each can be read: workers would only say so later."""
    for path in paths:
        read(str(path))
    training, validation = split(paths, held_out) if paths else ([], [])
    return tuple(map(str, training)), tuple(map(str, validation))


def draw_libraries(sources: Sequence[Source], workers: int, progress: Callable[[str, int, int], None]) -> None:
    """Draw what the sources' libraries lack. progress: gets a name, of how many, and how many there are.

    sources: for training, then for validation if there is one.
    """
    for library, name in libraries(sources):
        library.ensure(workers, partial(progress, f"drawing {name}", library.count))


def libraries(sources: Sequence[Source]) -> list[tuple[Library, str]]:
    """Return the libraries of the sources and what is in them; sources as `draw_libraries` takes them."""
    return [
        (library, part + what)
        for part, source in zip(("training ", "validation "), sources, strict=False)
        if isinstance(source, ProceduralSource)
        for what, library in source.libraries.items()
    ]


def folder_sources(recipe: Recipe, foregrounds: Path, photos: Path) -> Sources:
    """Return sources of foregrounds with alphas in files over a folder of photos.

    foregrounds: a folder with `fg/` and `alpha/`. photos: backgrounds. Raises `InputError`.
    """
    pairs = list_foregrounds(foregrounds)
    backgrounds = split(list_images(photos), recipe.held_out)
    sides = [{name: pairs[name] for name in part} for part in split(list(pairs), recipe.held_out)]
    training, held_out = map(FolderSource, sides, backgrounds, (recipe.augment, recipe.augment))
    return training, held_out
