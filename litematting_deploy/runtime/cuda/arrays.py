"""Arrays on the device: those of other libraries in, ours out, without a copy."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..._optional import require
from ...errors import InputError
from .protocol import Cuda, Stream

_CUDA, _CUDA_MANAGED = 2, 13  # DLPack's kinds of device


@dataclass(frozen=True)
class DeviceArray:
    """A C-contiguous array in device memory.

    address: of its first byte. device: index of the device. owner: what keeps the memory alive. PyTorch, CuPy and
    PyCUDA take it as it is, by `__cuda_array_interface__`; consumers of DLPack need cuda-python. The work that made it
    is done.
    """

    address: int
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    device: int
    owner: Any = field(repr=False)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Where it lies and what it holds, in the third version of the interface; there is no stream to wait for."""
        where = {"shape": self.shape, "typestr": self.dtype.str, "data": (self.address, False), "strides": None}
        return where | {"stream": None, "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's kind of device and the index."""
        return _CUDA, self.device

    def __dlpack__(self, *, dl_device: tuple[int, int] | None = None, **options: Any) -> Any:
        """Return a DLPack capsule. Raises `BufferError` for another device, `DependencyError` without cuda-python."""
        if dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(
                f"this array is on cuda:{self.device} and cannot be exported to DLPack device {dl_device}"
            )
        core = require("cuda.core", "cuda13", "handing out DLPack")
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        buffer = core.Buffer.from_handle(self.address, size, owner=self)
        seen = core.utils.StridedMemoryView.from_buffer(buffer, self.shape, dtype=self.dtype)
        return seen.__dlpack__(**options)


def is_device_array(pixels: Any) -> bool:
    """Return whether `pixels` lies on a CUDA device, as far as it says so."""
    if hasattr(pixels, "__cuda_array_interface__"):
        return True
    return hasattr(pixels, "__dlpack_device__") and int(pixels.__dlpack_device__()[0]) in (_CUDA, _CUDA_MANAGED)


def view(pixels: Any, cuda: Cuda, stream: Stream) -> DeviceArray:
    """Return a uint8 array of another library as it lies on the device; work on `stream` comes after what makes it.

    pixels: (H, W) or (H, W, C). Raises `InputError` for another shape, type or device, and unless it is C-contiguous.
    """
    if isinstance(pixels, DeviceArray):
        array, strides = pixels, None
    elif hasattr(pixels, "__dlpack__"):
        array, strides = _from_dlpack(pixels, stream)
    else:
        array, strides = _from_interface(pixels, cuda)
    if array.dtype != np.uint8:
        raise InputError(f"an array on the device is {array.dtype}, expected uint8, 0 to 255; convert it first")
    if len(array.shape) not in (2, 3):
        raise InputError(f"an array on the device is {array.shape}, expected (H, W, 3) or (H, W)")
    if array.device != cuda.index:
        raise InputError(f"an array is on cuda:{array.device}, but the engine runs on cuda:{cuda.index}; copy it there")
    # NumPy reads none of it, and knows that a side of one pixel may have any stride.
    if strides is not None and not as_strided(np.empty(0, np.uint8), array.shape, strides).flags.c_contiguous:
        raise InputError(
            f"an array {array.shape} on the device has strides {strides}, expected C-contiguous; copy it first, "
            "with .contiguous() or ascontiguousarray()"
        )
    return array


def _from_dlpack(pixels: Any, stream: Stream) -> tuple[DeviceArray, tuple[int, ...] | None]:
    """Return the array and its strides in elements. The producer lets `stream` wait for its own work."""
    utils = require("cuda.core.utils", "cuda13", "taking DLPack")
    try:
        seen = utils.StridedMemoryView.from_dlpack(pixels, stream.handle)
        return DeviceArray(seen.ptr, tuple(seen.shape), seen.dtype, seen.device_id, seen), seen.strides
    except (BufferError, NotImplementedError) as error:  # of types that NumPy has not
        raise InputError(
            f"an array on the device cannot be read through DLPack: {error}; convert it to uint8"
        ) from error


def _from_interface(pixels: Any, cuda: Cuda) -> tuple[DeviceArray, tuple[int, ...] | None]:
    """Return the array and its strides in elements. The interface names no device: it is taken to be that of `cuda`.

    It may say on which stream the array is made, but PyCUDA never does, and version 2 could not: the whole device is
    waited for.
    """
    interface = pixels.__cuda_array_interface__
    dtype = np.dtype(interface["typestr"])
    cuda.synchronize()
    strides = interface.get("strides")
    array = DeviceArray(interface["data"][0], tuple(interface["shape"]), dtype, cuda.index, pixels)
    return array, None if strides is None else tuple(stride // dtype.itemsize for stride in strides)
