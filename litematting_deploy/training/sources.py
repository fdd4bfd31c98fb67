"""The two kinds of training data, from folders to sources."""

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InputError
from .cutouts import list_cutouts, read_cutout
from .data import FolderSource, ProceduralSource, Source
from .drawing import Stream
from .families import check_strands
from .folder import list_foregrounds
from .grooms import list_grooms, read_groom
from .library import Library
from .photos import list_images, split
from .recipe import Recipe

_VALIDATION_SEED = 1_000_003

Sources = tuple[Source, Source]
"""For training and for validation."""


def procedural_sources(
    recipe: Recipe,
    photos: Path,
    libraries: Path,
    refresh_workers: int,
    strands: Path | None = None,
    cutouts: Path | None = None,
) -> Sources:
    """Return sources of drawn alphas over a folder of photos. Nothing is drawn yet.

    libraries: folder where drawn libraries are kept. strands: folder of grooms. cutouts: folder of cut-outs. Of each
    folder some files are held out. Raises `InputError` for a file that cannot be read.
    """
    settings, made = recipe.procedural, []
    check_strands(settings.weights, strands is not None)
    paths = list_images(photos)
    if len(paths) > settings.photos:
        chosen = np.random.default_rng(recipe.seed).choice(len(paths), settings.photos, replace=False)
        paths = [paths[i] for i in sorted(chosen)]
    backgrounds = split(paths, recipe.held_out)
    grooms = _split_files(list_grooms(strands) if strands else [], read_groom, recipe.held_out)
    pieces = _cutouts(cutouts, settings.cutouts_exclude) if cutouts else []
    coloured = _split_files(pieces, read_cutout, recipe.held_out)
    first = recipe.seed if settings.seed is None else settings.seed
    seeds, counts = (first, first + _VALIDATION_SEED), (recipe.library_count, recipe.validation_scenes)
    workers = (refresh_workers if settings.refresh else 0, 0)
    for part, seed in enumerate(seeds):
        drawn = Stream(seed, settings.size, settings.weights or None, grooms[part])
        collages = Stream(seed, settings.size, cutouts=coloured[part])
        share = settings.cutouts if collages.cutouts else 0.0
        made.append(
            ProceduralSource(
                Library(libraries, drawn, counts[part]),
                backgrounds[part],
                recipe.augment,
                workers[part],
                Library(libraries, collages, math.ceil(share * counts[part])) if share else None,
                share,
            )
        )
    return made[0], made[1]


def _cutouts(folder: Path, exclude: tuple[str, ...]) -> list[Path]:
    """Return the cut-outs of a folder but those whose names match a pattern. Raises `InputError` if none is left."""
    found = list_cutouts(folder)
    left = [path for path in found if not any(fnmatchcase(path.name, pattern) for pattern in exclude)]
    if not left:
        raise InputError(
            f"{folder}: procedural.cutouts_exclude = {list(exclude)} leaves none of its {len(found)} cut-outs; "
            "take a pattern out, or leave `cutouts` out"
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
    for held_out, source in zip(("", "held-out "), sources, strict=False):
        if isinstance(source, ProceduralSource):
            for what, library in (("alphas", source.library), ("cut-outs", source.coloured)):
                if library is not None:
                    library.ensure(workers, partial(progress, f"drawing {held_out}{what}", library.count))


def folder_sources(recipe: Recipe, foregrounds: Path, photos: Path) -> Sources:
    """Return sources of foregrounds with alphas in files over a folder of photos."""
    pairs = list_foregrounds(foregrounds)
    backgrounds = split(list_images(photos), recipe.held_out)
    names = split(list(pairs), recipe.held_out)
    training, held_out = (
        FolderSource({name: pairs[name] for name in part}, behind, recipe.augment)
        for part, behind in zip(names, backgrounds, strict=True)
    )
    return training, held_out
