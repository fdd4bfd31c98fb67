"""Photos for the device path, on the host and on the device, and what comes out of them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litematting_deploy import Matter
from litematting_deploy.runtime.cuda import open_cuda
from litematting_deploy.runtime.on_device import OnDevice
from tests.runtime.cuda.standin import raw
from tests.runtime.cuda.standin.network import DeviceNetwork, HostNetwork

SIZES = [(150, 211), (150, 211), (90, 80), (20, 30), (150, 211), (151, 300)]
KNOWN = np.array([0, 128, 255], np.uint8)

Photo = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def photo(hw: tuple[int, int], seed: int = 0) -> Photo:
    """Random pixels, and a trimap whose unknown ones lie in the middle."""
    random = np.random.default_rng((*hw, seed))
    trimap = random.choice(KNOWN, hw)
    trimap[: hw[0] // 5] = 0
    return random.integers(0, 256, (*hw, 3), np.uint8), trimap


def photos() -> list[Photo]:
    return [photo(hw, seed) for seed, hw in enumerate(SIZES)]


def on_device(share: float = 0.0, batch: int = 2, least: int | None = None, **options: Any) -> Matter:
    """A matter whose network runs on the first device."""
    cuda = open_cuda(0)
    return Matter(OnDevice(DeviceNetwork(cuda, share, least), cuda, batch), **options)


def wanted(frame: Photo, share: float = 0.0, dtype: Any = np.float32, **options: Any) -> Any:
    """The alpha of the host path."""
    return Matter(HostNetwork(share), **options)(*frame, dtype=dtype)


def resident(array: NDArray[Any]) -> Any:
    """A copy on the first device, as another library would hand it in; never freed."""
    raw.context()
    address = raw.memory(array.nbytes)
    raw.call("cuMemcpyHtoD", address, array.ctypes.data, array.nbytes)
    interface = {"shape": array.shape, "typestr": array.dtype.str, "data": (address, False), "strides": None}
    return SimpleNamespace(__cuda_array_interface__=interface | {"version": 3, "stream": None})


def on_host(alpha: Any) -> Any:
    """An alpha that lies on the first device."""
    raw.context()
    size = int(np.prod(alpha.shape)) * alpha.dtype.itemsize
    return raw.fetched(alpha.address, size).view(alpha.dtype).reshape(alpha.shape)
