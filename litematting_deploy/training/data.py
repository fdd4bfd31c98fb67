"""Where batches come from: a source per kind of data, and the Lightning data module that feeds the loop."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from . import folder, procedural
from .library import Library
from .photos import Photos
from .preview import ROWS
from .procedural import Cut
from .recipe import Augment, Recipe
from .scenes import Scenes, compose

# Validation scenes are numbered from here on, so that no training scene has the same random numbers.
_VALIDATION = 2**40


class Draw(NamedTuple):
    """One sample to make: its number in the endless stream and its size in pixels."""

    number: int
    crop: int


class Batch(NamedTuple):
    """A batch to make: its first number, size in pixels, samples, and what was read from files for it."""

    number: int
    crop: int
    samples: int
    read: dict[str, Tensor]


class Source(ABC):
    """A kind of training data. `read` runs in loader processes, the others on the device that trains.

    paths: photos for backgrounds. augment: how samples are cut. reads: whether anything is read while training.
    """

    reads = False

    def __init__(self, paths: list[Path], augment: Augment) -> None:
        self.paths, self.augment = paths, augment

    def prepare(self, device: torch.device, rank: int = 0, world: int = 1) -> None:  # noqa: B027
        """Load what stays on the device, which is number `rank` of `world`."""

    def read(self, draw: Draw, rng: np.random.Generator) -> dict[str, NDArray[np.uint8]]:  # noqa: ARG002
        """Return what must be read from files for one sample, by name."""
        return {}

    @abstractmethod
    def cut(self, batch: Batch, rng: np.random.Generator) -> Cut:
        """Return foregrounds and backgrounds of a batch."""

    def close(self) -> None:  # noqa: B027
        """Stop what runs in the background."""


class ProceduralSource(Source):
    """Drawn alphas over photos: nothing is read while training, all of it lies on the device."""

    def __init__(
        self,
        library: Library,
        photos: list[Path],
        augment: Augment,
        refresh_workers: int = 0,
        coloured: Library | None = None,
        share: float = 0.0,
    ) -> None:
        """coloured: a library of cut-outs in their own colours, which a `share` of samples, 0..1, come from."""
        super().__init__(photos, augment)
        self.library, self.refresh_workers, self.coloured, self.share = library, refresh_workers, coloured, share
        self._prepared: tuple[torch.device, int, int] | None = None
        self._photos: Photos

    def prepare(self, device: torch.device, rank: int = 0, world: int = 1) -> None:
        if self._prepared is None or self._prepared[0] != device:
            self.library.load(device)
            if self.coloured:
                self.coloured.load(device)
            self._photos = Photos(self.paths, device)
        self._prepared = (device, rank, world)

    def cut(self, batch: Batch, rng: np.random.Generator) -> Cut:
        if self.refresh_workers and self._prepared:
            self.library.refresh(self.refresh_workers, *self._prepared[1:])
        drawn = (self.library, self._photos, self.augment, rng, batch.samples, batch.crop)
        return procedural.cut(*drawn, self.coloured, self.share)

    def close(self) -> None:
        self.library.close()


class FolderSource(Source):
    """Foregrounds with alphas from files (Composition-1k's training layout) over photos."""

    reads = True

    def __init__(self, foregrounds: Mapping[Path, Path], photos: list[Path], augment: Augment) -> None:
        super().__init__(photos, augment)
        self.foregrounds = list(foregrounds.items())

    def read(self, draw: Draw, rng: np.random.Generator) -> dict[str, NDArray[np.uint8]]:
        pair = self.foregrounds[rng.integers(len(self.foregrounds))]
        photo = self.paths[rng.integers(len(self.paths))]
        reach = math.ceil(draw.crop * self.augment.scale[1] * math.sqrt(2))
        return {
            "window": folder.read_window(*pair, reach, rng),
            "background": folder.read_background(photo, draw.crop, rng),
        }

    def cut(self, batch: Batch, rng: np.random.Generator) -> Cut:
        planes = batch.read["window"].float() / 255
        middle = torch.full((len(planes), 2), planes.shape[-1] // 2, device=planes.device)
        warped = procedural.warp(planes, middle, self.augment, rng, batch.crop)
        alike = torch.zeros(len(planes), 1, 1, 1, device=planes.device)
        return Cut(warped[:, :1], warped[:, 1:], batch.read["background"].float() / 255, alike)


class MattingData(pl.LightningDataModule):
    """Batches of `Scenes`, composed on the training device from what loader processes read."""

    def __init__(self, recipe: Recipe, training: Source, validation: Source, workers: int) -> None:
        super().__init__()
        self.recipe, self.sources, self.workers = recipe, (training, validation), workers

    def setup(self, *_: Any, **__: Any) -> None:
        trainer = self._attached
        for source in self.sources:
            source.prepare(trainer.strategy.root_device, trainer.global_rank, trainer.world_size)

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.sources[0], Numbers(self._attached, self.recipe), self.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        stage = self.recipe.stages[-1]
        draws = [Draw(_VALIDATION + i, stage.crop) for i in range(self.recipe.validation_scenes)]
        size = max(stage.batch, ROWS)
        batches = [draws[i : i + size] for i in range(0, len(draws), size)]
        return self._loader(self.sources[1], batches, 0)

    def on_after_batch_transfer(self, batch: Batch, _: int) -> Scenes:
        rng = np.random.default_rng((self.recipe.seed, batch.number))
        return compose(self.sources[batch.number >= _VALIDATION].cut(batch, rng), self.recipe.augment, rng)

    def teardown(self, *_: Any, **__: Any) -> None:
        for source in self.sources:
            source.close()

    @property
    def _attached(self) -> pl.Trainer:
        if self.trainer is None:
            raise RuntimeError("MattingData belongs to a Trainer before its hooks are called")
        return self.trainer

    def _loader(self, source: Source, batches: Any, workers: int) -> DataLoader[Any]:
        workers = workers if source.reads else 0
        return DataLoader(
            _Reads(source if source.reads else None, self.recipe.seed),
            batch_sampler=batches,
            collate_fn=_collate,
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
            pin_memory=source.reads and self._attached.strategy.root_device.type == "cuda",
            persistent_workers=workers > 0,
        )


class Numbers:
    """Batches of draws from the trainer's step on, other ones for each device: a resumed run goes on where it was."""

    def __init__(self, trainer: pl.Trainer, recipe: Recipe) -> None:
        self.trainer, self.recipe = trainer, recipe

    def __iter__(self) -> Iterator[list[Draw]]:
        largest = max(stage.batch for stage in self.recipe.stages)
        for step in range(self.trainer.global_step, self.recipe.steps):
            stage = self.recipe.stage_at(step)
            first = (step * self.trainer.world_size + self.trainer.global_rank) * largest
            yield [Draw(first + i, stage.crop) for i in range(stage.batch)]


class _Reads(Dataset[tuple[Draw, dict[str, NDArray[np.uint8]]]]):
    """What is read from files for each draw; nothing without a source."""

    def __init__(self, source: Source | None, seed: int) -> None:
        self.source, self.seed = source, seed

    def __getitem__(self, draw: Draw) -> tuple[Draw, dict[str, NDArray[np.uint8]]]:
        rng = np.random.default_rng((self.seed, draw.number, 1))
        return draw, self.source.read(draw, rng) if self.source else {}


def _collate(items: list[tuple[Draw, dict[str, NDArray[np.uint8]]]]) -> Batch:
    # Numbers stay plain integers: reading one from a GPU would wait for all work before it.
    draws, reads = zip(*items, strict=True)
    arrays = {key: torch.from_numpy(np.stack([read[key] for read in reads])) for key in reads[0]}
    return Batch(draws[0].number, draws[0].crop, len(draws), arrays)
