"""What the tests of kernels share: memory on a device from arrays and back, and trimaps to try."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from litematting_deploy.images.mask import read_trimap
from litematting_deploy.matting.patches import Plan
from litematting_deploy.runtime.cuda.kernels import Kernels, batch_record
from litematting_deploy.runtime.cuda.protocol import Buffer, Cuda
from tests.conftest import EXAMPLE_TRIMAP

U8 = NDArray[np.uint8]
SIZES = [(1, 1), (1, 300), (7, 1), (33, 2), (8, 32), (9, 33), (150, 211)]


class Bench:
    """The kernels of a device, and its memory filled from and read into arrays."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda, self.stream, self.kernels = cuda, cuda.stream(), Kernels(cuda)
        self._held: list[Buffer] = []

    def put(self, array: NDArray[Any]) -> int:
        """Address of a copy of `array`."""
        address = self.room(array.nbytes)
        self.cuda.upload(address, np.ascontiguousarray(array), self.stream)
        self.stream.synchronize()
        return address

    def room(self, nbytes: int) -> int:
        """Address of new memory."""
        self._held.append(self.cuda.buffer(nbytes))
        return self._held[-1].address

    def get(self, address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        array = np.empty(shape, dtype)
        self.cuda.download(array, address, self.stream)
        self.stream.synchronize()
        return array

    def padded(self, source: U8, plan: Plan, constant: int | None) -> U8:
        shape = (*plan.padded_hw, *source.shape[2:])
        target = self.room(int(np.prod(shape)))
        channels = source.shape[2] if source.ndim == 3 else 1
        self.kernels.pad(self.stream, self.put(source), target, plan, channels=channels, constant=constant)
        return self.get(target, shape, np.uint8)

    def squared(self, trimap: U8) -> NDArray[np.uint16]:
        rows, squared = self.room(2 * trimap.size), self.room(4 * trimap.size)
        self.kernels.guide(self.stream, self.put(trimap), rows, squared, trimap.shape)
        return self.get(squared, (2, *trimap.shape), np.uint16)

    def unknown(self, trimap: U8) -> tuple[U8, int]:
        """The bits of unknown pixels, and the flag for other values."""
        shape = trimap.shape[0], -(-trimap.shape[1] // 8)
        bits, strange = self.room(shape[0] * shape[1]), self.put(np.zeros(1, np.int32))
        hw = trimap.shape[0], trimap.shape[1]
        self.kernels.unknown_bits(self.stream, self.put(trimap), bits, strange, hw)
        return self.get(bits, shape, np.uint8), int(self.get(strange, (1,), np.int32)[0])

    def batch(self, plan: Plan, corners: NDArray[np.int32], **planes: int) -> int:
        """Address of the record of a batch with these corners and planes."""
        record = np.zeros(1, batch_record(len(corners)))
        record["hw"], record["corners"] = plan.padded_hw, corners
        for name, address in planes.items():
            record[name] = address
        return self.put(record)

    def gathered(self, image: U8, trimap: U8, corners: NDArray[np.int32], plan: Plan) -> dict[str, NDArray[np.float32]]:
        batch, count = len(corners), len(corners) * plan.patch_hw[0] * plan.patch_hw[1] * 4
        inputs = {"image": self.room(3 * count), "trimap": self.room(3 * count), "guide": self.room(2 * count)}
        planes = {"image": self.put(image), "trimap": self.put(trimap), "squared": self.put(self.squared(trimap))}
        self.kernels.gather(self.stream, self.batch(plan, corners, **planes), inputs, plan.patch_hw, batch)
        channels = {"image": 3, "trimap": 3, "guide": 2}
        return {name: self.get(inputs[name], (batch, channels[name], *plan.patch_hw), np.float32) for name in inputs}

    def stitched(
        self,
        alphas: NDArray[np.float32],
        corners: NDArray[np.int32],
        trimap: U8,
        plan: Plan,
        dtype: Any,
        truncate: bool,
        batch: int | None = None,
    ) -> tuple[NDArray[Any], int]:
        """What finishes, and the flag. alphas (N, h, w), trimap padded. batch: patches a launch, all by default."""
        total, weight, bad = (self.put(np.zeros(size, np.int32)) for size in (trimap.size, trimap.size, 1))
        planes = {"trimap": self.put(trimap), "total": total, "weight": weight}
        batch = batch or len(corners)
        for first in range(0, len(corners), batch):
            part = corners[first : first + batch]
            record = self.batch(plan, part, bad=bad, **planes)
            alpha = self.put(alphas[first : first + batch])
            self.kernels.accumulate(self.stream, record, alpha, plan.patch_hw, len(part))
        kind: np.dtype[Any] = np.dtype(dtype)
        target = self.room(plan.image_hw[0] * plan.image_hw[1] * kind.itemsize)
        self.kernels.finish(self.stream, planes, target, plan, kind, truncate)
        return self.get(target, plan.image_hw, dtype), int(self.get(bad, (1,), np.int32)[0])


def scattered(hw: tuple[int, int], share: float = 0.3, seed: int = 0) -> U8:
    """A trimap of random pixels; about `share` of them known."""
    rng = np.random.default_rng(seed)
    trimap = np.full(hw, 128, np.uint8)
    known = rng.random(hw) < share
    trimap[known] = rng.choice(np.array([0, 255], np.uint8), int(known.sum()))
    return trimap


def real() -> U8:
    """A photo's trimap, a third of its size."""
    return np.ascontiguousarray(read_trimap(EXAMPLE_TRIMAP)[::3, ::3])
