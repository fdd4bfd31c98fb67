"""A library of procedural alphas: drawn beforehand on all cores, kept whole on the training device."""

import ctypes
import hashlib
import json
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import __version__
from .._files import replacing
from .families import layer

POINTS = 1024
# Layers in a file: what is lost when drawing is killed.
_SHARD = 20
_PR_SET_PDEATHSIG = 1

Drawn = tuple[NDArray[np.uint8], NDArray[np.int16]]
"""Alpha and shade (2, S, S), and pixels worth looking at (POINTS, 2), y and x."""


@dataclass(frozen=True)
class Stream:
    """An endless stream of layers: its seed, their size in pixels a side, and how often each family comes."""

    seed: int
    size: int
    weights: Mapping[str, float] | None = None

    def draw(self, index: int) -> Drawn:
        """Layer number `index`."""
        drawn = layer(self.seed, index, self.size, self.weights)
        return np.stack([drawn.alpha, drawn.shade]), points_of_interest(drawn.alpha, np.random.default_rng(index))

    def folder_name(self) -> str:
        """A name that changes when the content would."""
        weights = dict(self.weights) if self.weights else None
        content = json.dumps([__version__, self.seed, self.size, weights], sort_keys=True)
        return f"alphas-{self.size}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


class Library:
    """The first `count` layers of a stream; while training goes on, later ones may replace them.

    Lies in files of 20 layers in `folder`, so that drawing can be interrupted.
    """

    def __init__(self, folder: Path, stream: Stream, count: int) -> None:
        self.folder, self.stream, self.count = folder / stream.folder_name(), stream, count
        self._shards: list[Tensor] = []
        self._points: Tensor
        self._pool: ProcessPoolExecutor | None = None
        self._pending: deque[Future[Drawn]] = deque()
        self._oldest = 0

    def ensure(self, workers: int, progress: Callable[[int], None]) -> None:
        """Draw what is not there yet. progress: called with the number of layers there are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [first for first in range(0, self.count, _SHARD) if not _file(self.folder, first).is_file()]
        there = -(-self.count // _SHARD) - len(missing)
        if not missing:
            return
        progress(there * _SHARD)
        with _pool(workers) as pool:
            for done in as_completed([pool.submit(_draw_shard, self.stream, self.folder, first) for first in missing]):
                done.result()
                there += 1
                progress(min(there * _SHARD, self.count))

    def load(self, device: torch.device) -> None:
        """Take all layers to `device`; on the CPU the files are mapped, not read."""
        files = [_file(self.folder, first) for first in range(0, self.count, _SHARD)]
        self._shards = [torch.from_numpy(np.load(file, mmap_mode="c")).to(device) for file in files]
        points = np.concatenate([np.load(_points_file(file)) for file in files])
        self._points = torch.from_numpy(points).to(device)

    def take(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Random layers (count, 2, S, S) float32, 0..1: alpha and shade; and in each a pixel of interest (count, 2)."""
        chosen = rng.integers(self.count, size=count)
        planes = torch.stack([self._shards[i // _SHARD][i % _SHARD] for i in chosen]).float() / 255
        points = torch.stack(
            [self._points[i, k] for i, k in zip(chosen, rng.integers(POINTS, size=count), strict=True)]
        )
        return planes, points.float()

    def refresh(self, workers: int, rank: int = 0, world: int = 1) -> None:
        """Let layers that the workers have finished replace the oldest, and keep the workers busy.

        Each of `world` devices goes through its own part of the stream.
        """
        self._pool = self._pool or _pool(workers)
        while len(self._pending) < 2 * workers:
            behind = self._oldest + len(self._pending)
            self._pending.append(self._pool.submit(self.stream.draw, self.count + behind * world + rank))
        while self._pending[0].done():
            planes, points = self._pending.popleft().result()
            slot = self._oldest % self.count
            self._shards[slot // _SHARD][slot % _SHARD] = torch.from_numpy(planes).to(self._points.device)
            self._points[slot] = torch.from_numpy(points).to(self._points.device)
            self._oldest += 1
            if not self._pending:
                return

    def close(self) -> None:
        """Stop the workers."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            self._pending.clear()


def points_of_interest(alpha: NDArray[np.uint8], rng: np.random.Generator, count: int = POINTS) -> NDArray[np.int16]:
    """Random pixels (count, 2), y and x, at which alpha (H, W) is fractional, or at an edge where it never is."""
    fractional = (alpha > 5) & (alpha < 250)
    if not fractional.any():
        fractional = cv2.morphologyEx(alpha, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    found = np.flatnonzero(fractional)
    chosen = found[rng.integers(len(found), size=count)] if len(found) else rng.integers(alpha.size, size=count)
    return np.stack(np.unravel_index(chosen, alpha.shape), axis=1).astype(np.int16)


def _draw_shard(stream: Stream, folder: Path, first: int) -> None:
    planes, points = zip(*(stream.draw(first + i) for i in range(_SHARD)), strict=True)
    file = _file(folder, first)
    for path, arrays in ((_points_file(file), points), (file, planes)):  # the file that counts comes last
        with replacing(path) as draft:
            np.save(draft, np.stack(arrays))


def _file(folder: Path, first: int) -> Path:
    return folder / f"{first:06d}.npy"


def _points_file(file: Path) -> Path:
    return file.with_suffix(".points.npy")


def _pool(workers: int) -> ProcessPoolExecutor:
    # Forking a process that has started CUDA or threads is unsafe.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    """One thread each; Ctrl-C is the parent's affair, and its death is the worker's too."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
