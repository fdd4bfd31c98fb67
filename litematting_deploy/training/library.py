"""A library of procedural alphas: drawn beforehand on all cores, kept whole on the training device."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ..errors import InputError, first_line
from ..files import make_folder, remove_old_drafts
from .drawers import Drawers
from .drawing import POINTS, SHARD, Drawn, Stream, draw_shard, points_file, shard_file


class Library:
    """The first `count` layers of a stream; while training goes on, later ones may replace them.

    Lies in files of 20 layers in `folder`, so that drawing can be interrupted.
    """

    def __init__(self, folder: Path, stream: Stream, count: int) -> None:
        self.folder, self.stream, self.count = folder / stream.folder_name(), stream, count
        self._shards: list[Tensor] = []
        self._points: Tensor
        self._drawers: Drawers | None = None
        self._pending: deque[Future[Drawn]] = deque()
        self._oldest = 0

    def ensure(self, workers: int, progress: Callable[[int], None]) -> None:
        """Draw what is not there yet. progress: called with the number of layers there are.

        workers: processes that draw; they end at once when anything is raised here, as by a signal. Raises
        `OutputError`, and `InputError` for a groom or cut-out.
        """
        make_folder(self.folder)
        missing = self.missing()
        there = -(-self.count // SHARD) - len(missing)
        if not missing:
            return
        progress(there * SHARD)
        remove_old_drafts(self.folder)
        with Drawers(workers) as drawers:
            drawing = [drawers.submit(draw_shard, self.stream, self.folder, first) for first in missing]
            for files, drawn in enumerate(as_completed(drawing), start=there + 1):
                drawn.result()
                progress(min(files * SHARD, self.count))

    def missing(self) -> list[int]:
        """Return the first layer of each file that is not there yet."""
        files = {first: shard_file(self.folder, first) for first in range(0, self.count, SHARD)}
        return [first for first, file in files.items() if not (file.is_file() and points_file(file).is_file())]

    def load(self, device: torch.device) -> None:
        """Take all layers to `device`; on the CPU the files are mapped, not read. Raises `InputError`."""
        files = [shard_file(self.folder, first) for first in range(0, self.count, SHARD)]
        size = self.stream.size
        shards = [_mapped(file, np.uint8, (SHARD, self.stream.planes, size, size)) for file in files]
        self._shards = [torch.from_numpy(shard).to(device) for shard in shards]
        points = np.concatenate([_mapped(points_file(file), np.int16, (SHARD, POINTS, 2)) for file in files])
        self._points = torch.from_numpy(points).to(device)

    def take(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Return random layers (count, planes, S, S) float32, 0..1, alpha first; in each a pixel of interest (count,
        2)."""
        chosen = rng.integers(self.count, size=count)
        planes = torch.stack([self._shards[i // SHARD][i % SHARD] for i in chosen]).float() / 255
        return planes, self._points[chosen, rng.integers(POINTS, size=count)].float()

    def refresh(self, workers: int, rank: int = 0, world: int = 1) -> None:
        """Let layers that the workers have finished replace the oldest, and keep the workers busy.

        Each of `world` devices goes through its own part of the stream.
        """
        self._drawers = self._drawers or Drawers(workers)
        while len(self._pending) < 2 * workers:
            behind = self._oldest + len(self._pending)
            self._pending.append(self._drawers.submit(self.stream.draw, self.count + behind * world + rank))
        while self._pending[0].done():
            planes, points = self._pending.popleft().result()
            slot = self._oldest % self.count
            self._shards[slot // SHARD][slot % SHARD] = torch.from_numpy(planes).to(self._points.device)
            self._points[slot] = torch.from_numpy(points).to(self._points.device)
            self._oldest += 1
            if not self._pending:
                return

    def close(self) -> None:
        """Stop the workers."""
        if self._drawers is not None:
            self._drawers.close()
            self._drawers = None
            self._pending.clear()


def _mapped(file: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of a file, not read yet; changes to it do not reach the file. Raises `InputError`."""
    try:
        array = np.lib.format.open_memmap(file, mode="c")
    except (OSError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"{file}: cannot be read: {first_line(error)}; delete it, and it will be drawn again"
        ) from error
    if array.dtype != dtype or array.shape != shape:
        raise InputError(
            f"{file}: is {array.shape} {array.dtype}, expected {shape} {np.dtype(dtype)}; delete it, and it will be "
            "drawn again"
        )
    return array
