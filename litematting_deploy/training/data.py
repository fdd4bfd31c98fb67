"""Where batches come from: a source per kind of data, and the Lightning data module that feeds the loop."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from .photos import Photos
from .preview import ROWS
from .procedural import Cut
from .recipe import Augment, Recipe
from .scenes import Scenes, compose

# Validation scenes are numbered from here on, so that no training scene has the same random numbers.
_VALIDATION = 2**40


class Batch(NamedTuple):
    """A batch to make: its first number in the endless stream, size in pixels, samples, and what was read for it."""

    number: int
    crop: int
    samples: int
    read: dict[str, Any]


class Source(ABC):
    """A kind of training data. `read` runs in loader processes, the others on the device that trains.

    paths: photos for backgrounds. augment: how samples are cut. reads: whether anything is read while training.
    photos: what lies on the device of them.
    """

    reads = False
    photos: Photos | None = None

    def __init__(self, paths: list[Path], augment: Augment) -> None:
        self.paths, self.augment = paths, augment

    def open(self, device: torch.device) -> None:  # noqa: B027
        """Load the photos that stay on the device. Raises `InputError` for one that cannot be read.

        Comes before anything is drawn or written, in the process of the first device.
        """

    def prepare(self, device: torch.device, rank: int = 0, world: int = 1) -> None:  # noqa: B027
        """Load what stays on the device, which is number `rank` of `world`.

        Comes before `cut`, perhaps twice; what lies on the device already, as after `open`, stays there.
        """

    def read(self, crop: int, rng: np.random.Generator) -> dict[str, NDArray[np.uint8]]:  # noqa: ARG002
        """Return what must be read from files for one sample of `crop` pixels, by name.

        rng: depends on the recipe's seed and the sample's number alone. Returns arrays, which are stacked along a new
        first axis for `cut`.
        """
        return {}

    @abstractmethod
    def cut(self, batch: Batch, rng: np.random.Generator) -> Cut:
        """Return foregrounds and backgrounds of a batch.

        batch: on the device, with what `read` returned for its samples as tensors. rng: depends on its number alone.
        """

    def close(self) -> None:  # noqa: B027
        """Stop what runs in the background."""


Sources = tuple[Source, Source]
"""For training and for validation."""


class MattingData(pl.LightningDataModule):
    """Batches of `Scenes`, composed on the training device from what loader processes read.

    recipe: stages, seeds and how samples are augmented. workers: processes that read, where a source reads.
    """

    trainer: pl.Trainer  # which attaches itself before it calls any hook

    def __init__(self, recipe: Recipe, sources: Sources, workers: int) -> None:
        super().__init__()
        self.recipe, self.sources, self.workers = recipe, sources, workers

    def setup(self, *_: Any, **__: Any) -> None:
        """Put what the sources keep on the device there, once it is known."""
        trainer = self.trainer
        for source in self.sources:
            source.prepare(trainer.strategy.root_device, trainer.global_rank, trainer.world_size)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of all steps that are left."""
        return self._loader(self.sources[0], Numbers(self.trainer, self.recipe), self.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation scenes: always the same ones, in batches that fill a preview."""
        stage, scenes = self.recipe.stages[-1], self.recipe.validation_scenes
        size = max(stage.batch, ROWS)
        batches = [Batch(_VALIDATION + i, stage.crop, min(size, scenes - i), {}) for i in range(0, scenes, size)]
        return self._loader(self.sources[1], batches, 0)

    def on_after_batch_transfer(self, batch: Batch, _: int) -> Scenes:
        """Compose a batch on the device, by random numbers that depend on its own number alone."""
        rng = np.random.default_rng((self.recipe.seed, batch.number))
        return compose(self.sources[batch.number >= _VALIDATION].cut(batch, rng), self.recipe.augment, rng)

    def _loader(self, source: Source, batches: Any, workers: int) -> DataLoader[Any]:
        """Return a loader of `batches`, with `workers` processes where the source reads files."""
        workers = workers if source.reads else 0
        return DataLoader(
            _Reads(source, self.recipe.seed),
            batch_size=None,
            sampler=batches,
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
            pin_memory=source.reads and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=workers > 0,
        )


class Numbers:
    """Batches to make from the trainer's step on, other ones for each device: a resumed run goes on where it was."""

    def __init__(self, trainer: pl.Trainer, recipe: Recipe) -> None:
        self.trainer, self.recipe = trainer, recipe

    def __iter__(self) -> Iterator[Batch]:
        """Yield a batch for each step; numbers of a batch never meet those of another step or device."""
        largest = max(stage.batch for stage in self.recipe.stages)
        for step in range(self.trainer.global_step, self.recipe.steps):
            stage = self.recipe.stage_at(step)
            first = (step * self.trainer.world_size + self.trainer.global_rank) * largest
            yield Batch(first, stage.crop, stage.batch, {})


class _Reads(Dataset[Batch]):
    """Batches with what is read from files for each of their samples."""

    def __init__(self, source: Source, seed: int) -> None:
        self.source, self.seed = source, seed

    # The loader makes tensors of the arrays. Numbers stay plain integers: reading one from a GPU would wait for all
    # work before it.
    def __getitem__(self, batch: Batch) -> Batch:
        """Return a batch with what the source reads for it, samples stacked along the first axis."""
        if not self.source.reads:
            return batch
        numbers = range(batch.number, batch.number + batch.samples)
        reads = [self.source.read(batch.crop, np.random.default_rng((self.seed, number, 1))) for number in numbers]
        return batch._replace(read={name: np.stack([read[name] for read in reads]) for name in reads[0]})
