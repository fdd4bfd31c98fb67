"""A library of procedural alphas: drawn beforehand on all cores, kept whole on the training device."""

import hashlib
import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import __version__
from .._files import replacing
from .families import layer

POINTS = 1024


class Items(NamedTuple):
    """Drawn items: alpha and shade (N, 2, S, S) uint8, and pixels worth looking at, (N, POINTS, 2) int16 (y, x)."""

    planes: Tensor
    points: Tensor


class Library:
    """`count` procedural layers of a seed, with a window of the endless stream that moves on while training runs.

    size: pixels a side. workers: processes that draw; with `refreshing`, they go on drawing and each new layer
    replaces the oldest, so that which layers a step sees then depends on the speed of the machine.
    """

    def __init__(self, path: Path, seed: int, count: int, size: int, weights: dict[str, float] | None = None) -> None:
        self.path, self.seed, self.count, self.size, self.weights = path, seed, count, size, weights
        self._pool: ProcessPoolExecutor | None = None
        self._pending: deque[Future[NDArray[np.uint8]]] = deque()
        self._next = count

    def ensure(self, workers: int, progress: Callable[[int], None]) -> None:
        """Draw the library into its file unless it is there. progress: called with the number of layers drawn."""
        if self.path.is_file():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as draft:
            planes = np.lib.format.open_memmap(draft, "w+", np.uint8, (self.count, 2, self.size, self.size))
            with _pool(workers) as pool:
                for index, drawn in enumerate(pool.map(self._draw, range(self.count), chunksize=4)):
                    planes[index] = drawn
                    progress(index + 1)
            planes.flush()

    def load(self, device: torch.device) -> Items:
        """All layers as tensors on `device`; on the CPU the file is mapped, not read."""
        planes = np.load(self.path, mmap_mode="c")
        points = np.stack([points_of_interest(alpha, np.random.default_rng(i)) for i, (alpha, _) in enumerate(planes)])
        return Items(torch.from_numpy(planes).to(device), torch.from_numpy(points).to(device))

    def refresh(self, items: Items, workers: int) -> None:
        """Put the layers that the workers have finished into `items`, in place, and keep the workers busy."""
        self._pool = self._pool or _pool(workers)
        while len(self._pending) < 2 * workers:
            self._pending.append(self._pool.submit(self._draw, self._next + len(self._pending)))
        while self._pending and self._pending[0].done():
            drawn = self._pending.popleft().result()
            slot = self._next % self.count
            items.planes[slot] = torch.from_numpy(drawn).to(items.planes.device)
            items.points[slot] = torch.from_numpy(points_of_interest(drawn[0], np.random.default_rng(self._next)))
            self._next += 1

    def close(self) -> None:
        """Stop the workers."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            self._pending.clear()

    def _draw(self, index: int) -> NDArray[np.uint8]:
        drawn = layer(self.seed, index, self.size, self.weights)
        return np.stack([drawn.alpha, drawn.shade])

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_pool": None, "_pending": deque()}


def library_name(seed: int, count: int, size: int, weights: dict[str, float] | None) -> str:
    """A file name that changes when the content would."""
    content = json.dumps([__version__, seed, weights], sort_keys=True)
    return f"alphas-{count}x{size}-{hashlib.sha256(content.encode()).hexdigest()[:8]}.npy"


def points_of_interest(alpha: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int16]:
    """POINTS random pixels (y, x) at which alpha is fractional, or at an edge where it never is."""
    fractional = (alpha > 5) & (alpha < 250)
    if not fractional.any():
        fractional = cv2.morphologyEx(alpha, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    found = np.argwhere(fractional) if fractional.any() else np.argwhere(np.ones_like(fractional))
    return found[rng.integers(len(found), size=POINTS)].astype(np.int16)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Forking a process that has started CUDA or threads is unsafe.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))
