"""The two kinds of training data, from folders to sources."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from .data import FolderSource, ProceduralSource, Source
from .drawing import Stream
from .folder import list_foregrounds
from .library import Library
from .photos import list_images, split
from .recipe import Recipe

_VALIDATION_SEED = 1_000_003

Sources = tuple[Source, Source]
"""For training and for validation."""


def procedural_sources(recipe: Recipe, photos: Path, libraries: Path, refresh_workers: int) -> Sources:
    """Drawn alphas over a folder of photos. libraries: folder where drawn libraries are kept. Nothing is drawn yet."""
    settings, made = recipe.procedural, []
    paths = list_images(photos)
    if len(paths) > settings.photos:
        chosen = np.random.default_rng(recipe.seed).choice(len(paths), settings.photos, replace=False)
        paths = [paths[i] for i in sorted(chosen)]
    training, held_out = split(paths, recipe.held_out)
    for seed, count, part, workers in (
        (recipe.seed, recipe.library_count, training, refresh_workers if settings.refresh else 0),
        (recipe.seed + _VALIDATION_SEED, recipe.validation_scenes, held_out, 0),
    ):
        library = Library(libraries, Stream(seed, settings.size, settings.weights or None), count)
        made.append(ProceduralSource(library, part, recipe.augment, workers))
    return made[0], made[1]


def draw_libraries(sources: Sources, workers: int, progress: Callable[[str, int, int], None]) -> None:
    """Draw what the sources' libraries lack. progress: gets a name, of how many, and how many there are."""
    for name, source in zip(("drawing alphas", "drawing held-out alphas"), sources, strict=True):
        if isinstance(source, ProceduralSource):
            source.library.ensure(workers, partial(progress, name, source.library.count))


def folder_sources(recipe: Recipe, foregrounds: Path, photos: Path) -> Sources:
    """Foregrounds with alphas in files over a folder of photos."""
    pairs = list_foregrounds(foregrounds)
    backgrounds = split(list_images(photos), recipe.held_out)
    names = split(list(pairs), recipe.held_out)
    training, held_out = (
        FolderSource({name: pairs[name] for name in part}, behind, recipe.augment)
        for part, behind in zip(names, backgrounds, strict=True)
    )
    return training, held_out
