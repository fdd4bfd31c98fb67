"""The two kinds of training data, from folders to sources."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from .data import FolderSource, ProceduralSource, Source
from .folder import list_foregrounds
from .library import Library, library_name
from .photos import list_images, split
from .recipe import Recipe

_VALIDATION_SEED = 1_000_003


def procedural_sources(
    recipe: Recipe, photos: Path, libraries: Path, workers: int, progress: Callable[[str, int, int], None]
) -> tuple[Source, Source]:
    """Training and validation sources of drawn alphas over a folder of photos; draws the libraries if needed.

    libraries: folder where drawn libraries are kept. progress: called with a name, of how many, and how many are drawn.
    """
    training, held_out = split(list_images(photos), recipe.held_out)
    made = []
    for name, seed, count, paths in (
        ("drawing alphas", recipe.seed, recipe.procedural.count, training),
        ("drawing held-out alphas", recipe.seed + _VALIDATION_SEED, recipe.validation_scenes, held_out),
    ):
        settings = recipe.procedural
        weights = settings.weights or None
        file = libraries / library_name(seed, count, settings.size, weights)
        library = Library(file, seed, count, settings.size, weights)
        library.ensure(workers, partial(progress, name, count))
        refresh = workers if settings.refresh and name == "drawing alphas" else 0
        made.append(ProceduralSource(library, paths, recipe.augment, refresh))
    return made[0], made[1]


def folder_sources(recipe: Recipe, foregrounds: Path, photos: Path) -> tuple[Source, Source]:
    """Training and validation sources of foregrounds with alphas in files over a folder of photos."""
    pairs, backgrounds = list_foregrounds(foregrounds), list_images(photos)
    names, held_out_names = split([pair[0] for pair in pairs], recipe.held_out)
    training, held_out = split(backgrounds, recipe.held_out)
    chosen = ([pair for pair in pairs if pair[0] in names], [pair for pair in pairs if pair[0] in held_out_names])
    return FolderSource(chosen[0], training, recipe.augment), FolderSource(chosen[1], held_out, recipe.augment)
