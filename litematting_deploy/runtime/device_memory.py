"""What one image needs on the device, as sizes that are known before anything is allocated, and the memory itself."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from .cuda.protocol import Buffer, Cuda, PinnedBuffer, Stream

HEADER = 256  # bytes before alpha or mask in its buffer, which hold the flag for values that must not be; aligned


@dataclass(frozen=True)
class Layout:
    """Sizes in bytes of what an image takes, for patches of a size and the kind of alpha that comes out.

    One image has its own source (photo, trimap) and output; the planes between are shared by all images, which are
    computed one after the other.
    """

    image_hw: tuple[int, int]
    patch_hw: tuple[int, int]
    dtype: "np.dtype[Any]"

    @property
    def pixels(self) -> int:
        """The pixels of the image."""
        return self.image_hw[0] * self.image_hw[1]

    @property
    def padded_hw(self) -> tuple[int, int]:
        """Height and width of the image where photo and trimap are continued around themselves to fill a patch."""
        return max(self.image_hw[0], self.patch_hw[0]), max(self.image_hw[1], self.patch_hw[1])

    @property
    def padded(self) -> bool:
        """Whether they have to be."""
        return self.image_hw != self.padded_hw

    @property
    def source_bytes(self) -> int:
        """Bytes of photo and trimap, which lie one behind the other."""
        return 4 * self.pixels

    @property
    def output_bytes(self) -> int:
        """Bytes of header and alpha."""
        return HEADER + self.pixels * self.dtype.itemsize

    @property
    def mask_bytes(self) -> int:
        """Bytes of header and the mask of the unknown pixels of a trimap that lies on the device."""
        return HEADER + self.image_hw[0] * -(-self.image_hw[1] // 8)

    @property
    def plane_bytes(self) -> dict[str, int]:
        """Bytes of each of the shared planes, by name."""
        count = self.padded_hw[0] * self.padded_hw[1]
        sizes = {"rows": 2 * count, "squared": 4 * count, "total": 4 * count, "weight": 4 * count}
        return sizes | ({"image": 3 * count, "trimap": count} if self.padded else {})

    @property
    def all_bytes(self) -> int:
        """Bytes of everything that the image takes beside the engine, but for the table of its patches."""
        return self.source_bytes + self.output_bytes + sum(self.plane_bytes.values())


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes on the device for one photo.

    image: its source, output and planes. engine_io: inputs and output of one batch. engine: what the engine takes
    beside, None where its library does not say.
    """

    image: int
    engine_io: int
    engine: int | None

    def __str__(self) -> str:
        known = self.image + self.engine_io + (self.engine or 0)
        engine = "whatever its library takes" if self.engine is None else f"{self.engine / 1e6:.0f} MB"
        return (
            f"{known / 1e6:.0f} MB{' and more' if self.engine is None else ''}: planes of the image "
            f"{self.image / 1e6:.0f} MB, inputs and output of a batch {self.engine_io / 1e6:.0f} MB, engine {engine}"
        )


class Slot:
    """Memory of one image on its way, on the device and pinned on the host. Grows, never shrinks.

    source: photo and trimap. mask: header and bits of the unknown pixels. batches: the table of the patches. output:
    header and alpha. reading: held while the host reads what came down, or alpha is refined, which `free` waits for.
    """

    def __init__(self, cuda: Cuda) -> None:
        self._cuda, self.reading = cuda, threading.RLock()
        self.seen, self.uploaded, self.computed, self.downloaded = (cuda.event() for _ in range(4))
        self._device: dict[str, Buffer] = {}
        self._pinned: dict[str, PinnedBuffer] = {}

    def fit(self, layout: Layout, **sizes: int) -> None:
        """Make room for so many bytes by name, on the device and pinned. Nothing may work on those now."""
        for name, size in sizes.items():
            if name in self._device:
                if self._device[name].nbytes >= size:
                    continue
                # Freed before more is asked for: there may be no room for both.
                self._device.pop(name).free()
                self._pinned.pop(name).free()
            pinned = self._cuda.pinned(size)
            self._device[name], self._pinned[name] = allocate(self._cuda, size, layout), pinned

    def on_device(self, name: str) -> Buffer:
        """Return the memory of a name on the device, of at least the size that was asked for."""
        return self._device[name]

    def pinned(self, name: str) -> NDArray[np.uint8]:
        """Return that on the host, from and to which it is copied."""
        return self._pinned[name].bytes

    def free(self) -> None:
        """Free all of it, once nobody reads it. No stream may work on the slot now."""
        with self.reading:
            for buffer in self._device.values():
                buffer.free()
            for pinned in self._pinned.values():
                pinned.free()
            self._device, self._pinned = {}, {}


class Planes:
    """The shared planes, by name. Each grows, never shrinks: after the largest image, nothing is allocated."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._buffers: dict[str, Buffer] = {}

    def fit(self, layout: Layout, stream: Stream) -> dict[str, int]:
        """Return the addresses of the planes for `layout`.

        Waits for `stream` before it frees what the last image worked on. Raises `DeviceError`.
        """
        sizes, buffers = layout.plane_bytes, self._buffers
        if small := [name for name, size in sizes.items() if name not in buffers or buffers[name].nbytes < size]:
            stream.synchronize()
            for name in buffers.keys() & small:  # all of them first: there may be no room for both
                buffers.pop(name).free()
            buffers.update({name: allocate(self._cuda, sizes[name], layout) for name in small})
        return {name: buffers[name].address for name in sizes}

    def free(self) -> None:
        """Free all planes. Nothing may work on them now."""
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers = {}


def allocate(cuda: Cuda, nbytes: int, layout: Layout, stream: Stream | None = None) -> Buffer:
    """Return a buffer, as `Cuda.buffer` does.

    Raises `DeviceError`, which says what the whole image needs, where there is no room for it.
    """
    try:
        return cuda.buffer(nbytes, stream)
    except DeviceError as error:
        height, width = layout.image_hw
        raise DeviceError(
            f"{error}; a photo of {width}x{height} needs {layout.all_bytes / 1e6:.0f} MB in addition to the engine; "
            "use a smaller `batch`, crop the photo, or use `device=cpu`"
        ) from error
