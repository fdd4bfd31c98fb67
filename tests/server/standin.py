"""An engine of the tests' own, which waits where a test wants it to."""

import threading
from typing import Any

import numpy as np

from litematting_deploy.engines import Engine
from litematting_deploy.engines.base import Batch
from litematting_deploy.errors import DeviceError

BLACK, BROKEN = 0.0, 1.0
"""A patch of zeros has no finite alpha; one of ones makes the whole call fail."""


class Slow(Engine):
    """Alpha is the mean of red, green and blue.

    counts: the patches of each call. open: while it is not set, calls wait. begun: set by the first call.
    """

    name, device, version, precision, patch_hw = "slow", "cpu", "1", "fp32", (32, 32)

    def __init__(self, batch: int | None = None) -> None:
        self.batch = batch
        self.counts: list[int] = []
        self.open, self.begun = threading.Event(), threading.Event()
        self.open.set()

    def run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        self.counts.append(len(image))
        self.begun.set()
        assert self.open.wait(60)
        return super().run(image, trimap, guide)

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        assert self.batch in (None, len(image)), "short batches are padded"
        if (image == BROKEN).all(axis=(1, 2, 3)).any():
            raise DeviceError("slow: broke")
        alpha = image.mean(axis=1, keepdims=True)
        alpha[(image[:, :1] == BLACK).all(axis=(1, 2, 3)) & (guide == 1).any(axis=(1, 2, 3))] = np.nan
        return np.asarray(alpha, np.float32)

    def close(self) -> None:
        self.closed = True


def patches(value: float, count: int = 1) -> tuple[Any, ...]:
    """Image, trimap and guide of patches of one grey."""
    image = np.full((count, 3, 32, 32), value, np.float32)
    return image, np.zeros((count, 3, 32, 32), np.float32), np.ones((count, 2, 32, 32), np.float32)
