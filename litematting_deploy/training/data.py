"""Where batches come from: a source per kind of data, and the Lightning data module that feeds the loop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from . import folder, procedural
from .library import Items, Library
from .photos import Photos
from .recipe import Augment, Recipe
from .scenes import Scenes, compose

# Validation scenes are numbered from here on, so that no training scene has the same random numbers.
_VALIDATION = 2**40
_WINDOW_PER_CROP = 1.5


class Draw(NamedTuple):
    """One sample to make: its number in the endless stream and its size in pixels."""

    number: int
    crop: int


class Source(Protocol):
    """A kind of training data. `read` runs in loader processes, the others on the device that trains."""

    def prepare(self, device: torch.device) -> None:
        """Load what stays on the device."""

    def read(self, draw: Draw, rng: np.random.Generator) -> dict[str, Any]:
        """What must be read from files for one sample, as arrays that can be collated."""

    def cut(self, read: dict[str, Tensor], crop: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Alphas (N, 1, crop, crop), foregrounds and backgrounds (N, 3, crop, crop), float32, 0..1."""


class ProceduralSource:
    """Drawn alphas over photos: nothing is read while training, all of it lies on the device."""

    def __init__(self, library: Library, photos: list[Path], augment: Augment, refresh_workers: int = 0) -> None:
        self.library, self.paths, self.augment, self.refresh_workers = library, photos, augment, refresh_workers
        self.device: torch.device | None = None
        self.items: Items
        self.photos: Photos

    def prepare(self, device: torch.device) -> None:
        if device != self.device:
            self.device, self.items, self.photos = device, self.library.load(device), Photos(self.paths, device)

    def read(self, *_: Any) -> dict[str, Any]:
        return {}

    def cut(self, read: dict[str, Tensor], crop: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        if self.refresh_workers:
            self.library.refresh(self.items, self.refresh_workers)
        return procedural.cut(self.items, self.photos, self.augment, rng, len(read["number"]), crop)


class FolderSource:
    """Foregrounds with alphas from files (Composition-1k's training layout) over photos."""

    def __init__(self, foregrounds: list[tuple[Path, Path]], photos: list[Path], augment: Augment) -> None:
        self.foregrounds, self.photos, self.augment = foregrounds, photos, augment

    def prepare(self, device: torch.device) -> None:
        pass

    def read(self, draw: Draw, rng: np.random.Generator) -> dict[str, Any]:
        pair = self.foregrounds[rng.integers(len(self.foregrounds))]
        photo = self.photos[rng.integers(len(self.photos))]
        return {
            "window": folder.read_window(*pair, round(draw.crop * _WINDOW_PER_CROP), rng),
            "background": folder.read_background(photo, draw.crop, rng),
        }

    def cut(self, read: dict[str, Tensor], crop: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        planes = read["window"].float() / 255
        middle = torch.full((len(planes), 2), planes.shape[-1] / 2, device=planes.device)
        warped = procedural.warp(planes, middle, self.augment, rng, crop)
        return warped[:, :1], warped[:, 1:], read["background"].float() / 255


class MattingData(pl.LightningDataModule):
    """Batches of `Scenes`, composed on the training device from what loader processes read."""

    def __init__(self, recipe: Recipe, training: Source, validation: Source, workers: int) -> None:
        super().__init__()
        self.recipe, self.sources, self.workers = recipe, (training, validation), workers

    def setup(self, *_: Any, **__: Any) -> None:
        for source in self.sources:
            source.prepare(self._device)

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.sources[0], _Numbers(self), self.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        stage = self.recipe.stages[-1]
        draws = [Draw(_VALIDATION + i, stage.crop) for i in range(self.recipe.validation_scenes)]
        batches = [draws[i : i + stage.batch] for i in range(0, len(draws), stage.batch)]
        return self._loader(self.sources[1], batches, 0)

    def on_after_batch_transfer(self, batch: Any, _: int) -> Scenes:
        number, crop = int(batch["number"][0]), int(batch["crop"][0])
        rng = np.random.default_rng((self.recipe.seed, number))
        source = self.sources[number >= _VALIDATION]
        return compose(*source.cut(batch, crop, rng), self.recipe.augment, rng)

    @property
    def _device(self) -> torch.device:
        assert self.trainer is not None, "Lightning attaches the data module before it calls its hooks"
        return self.trainer.strategy.root_device

    def _loader(self, source: Source, batches: Any, workers: int) -> DataLoader[Any]:
        context = "spawn" if workers else None
        dataset = _Reads(source, self.recipe.seed) if workers or isinstance(source, FolderSource) else _Reads(None, 0)
        return DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            multiprocessing_context=context,
            pin_memory=self._device.type == "cuda",
            persistent_workers=workers > 0,
        )


class _Reads(Dataset[dict[str, Any]]):
    """What is read from files for each draw; nothing without a source."""

    def __init__(self, source: Source | None, seed: int) -> None:
        self.source, self.seed = source, seed

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, draw.number, 1))
        return {"number": draw.number, "crop": draw.crop} | (self.source.read(draw, rng) if self.source else {})


class _Numbers:
    """Batches of draws from the current step on, each device its own: a resumed run goes on where it stopped."""

    def __init__(self, data: MattingData) -> None:
        self.data = data

    def __iter__(self) -> Iterator[list[Draw]]:
        trainer, recipe = self.data.trainer, self.data.recipe
        assert trainer is not None, "Lightning attaches the data module before it asks for batches"
        largest = max(stage.batch for stage in recipe.stages)
        for step in range(trainer.global_step, recipe.steps):
            stage = recipe.stage_at(step)
            first = (step * trainer.world_size + trainer.global_rank) * largest
            yield [Draw(first + i, stage.crop) for i in range(stage.batch)]
