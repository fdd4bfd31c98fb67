"""A network that is a kernel, so that the stand-in runs it in a stream's order, and the same one in NumPy."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from litematting_deploy.engines import DeviceArtefact, DeviceEngine, Engine, Gpu
from litematting_deploy.engines.base import Batch
from litematting_deploy.engines.device import checked_batch
from litematting_deploy.runtime.cuda.protocol import Cuda

SOURCE = (Path(__file__).parent / "network.cu").read_text()
PATCH_HW = (64, 96)


class HostNetwork(Engine):
    """The network in NumPy. share: the guide's weight."""

    name, device, version, precision = "host network", "cpu", "0", "fp32"
    patch_hw, batch = PATCH_HW, None

    def __init__(self, share: float = 0.0) -> None:
        self._share = np.float32(share)

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        red, green, blue = (image[:, channel, None] for channel in range(3))
        left = np.zeros_like(blue)
        left[..., 1:] = blue[..., :-1]
        quarter, eighth = np.float32(0.25), np.float32(0.125)
        blended = (red + green) * quarter + left * quarter + trimap[:, 1:2] * eighth
        alpha: Batch = blended + (guide[:, 1:] - guide[:, :1]) * self._share
        return alpha

    def close(self) -> None: ...


class DeviceNetwork(DeviceEngine, DeviceArtefact):
    """The network as a kernel of `network.cu`."""

    name, version, precision = "device network", "0", "fp32"
    patch_hw, capturable, device_bytes = PATCH_HW, True, None

    def __init__(self, cuda: Cuda, share: float = 0.0, least: int | None = None) -> None:
        self._cuda, self._share, self.least = cuda, np.float32(share), least
        self.device = f"cuda:{cuda.index}"

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        self.batch = checked_batch(batch, None, self.name)
        self._kernel: Any = self._cuda.module(SOURCE).kernel("network")
        return self

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        height, width = self.patch_hw
        grid = (-(-width // 32), -(-height // 8), count or self.batch)
        places = (addresses[name] for name in ("image", "trimap", "guide", "alpha"))
        numbers = (np.int32(height), np.int32(width), self._share)
        self._kernel.launch(SimpleNamespace(handle=stream), grid, (32, 8, 1), *places, *numbers)

    def close(self) -> None:
        self.closed, self._kernel = True, None
