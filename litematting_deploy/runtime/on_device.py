"""A device engine together with its device."""

import threading
from collections.abc import Callable, Mapping

import numpy as np

from ..engines import DeviceArtefact, Engine, Gpu
from ..engines.base import CHANNELS, Batch
from ..errors import DeviceError, counted
from .cuda.protocol import Buffer, Cuda, Graph, Stream

FLOAT32 = 4  # bytes


class Repeated:
    """Work that is put on a stream over and over: as it is once, then as one CUDA graph.

    The graph is recorded at the second run of the same number of patches, when whatever the engine allocates or
    compiles at first is done. Another number changes the engine's context, after which TensorRT documents a graph of it
    as undefined, whoever recorded it: such a graph is dropped.
    """

    def __init__(self, cuda: Cuda, stream: Stream, capturable: bool) -> None:
        """capturable: the work may be recorded."""
        self._cuda, self._stream, self._capturable = cuda, stream, capturable
        self._state = 0
        self._graph: Graph | None = None

    def enqueue(self, work: Callable[[int], None], count: int, state: int) -> None:
        """Put a run of `count` patches on the stream.

        work: puts it there, with the same arguments each time. It is not kept: its owner, who keeps this, would not be
        freed with the last reference to it. state: `OnDevice.state` of this run.
        """
        # A first run may allocate memory, which a graph must not.
        if not self._capturable or state != self._state:
            self.close()
            work(count)
            self._state = state
            return
        if self._graph is None:
            self._graph = self._cuda.capture(self._stream, lambda: work(count))
        self._graph.launch(self._stream)

    def close(self) -> None:
        """Give the graph back; a run of it that is on its way is finished."""
        if self._graph is not None:
            self._graph.free()
        self._graph = None


class OnDevice(Engine):
    """A device engine with its device, a stream, and memory for the inputs and the output of one batch.

    As an `Engine` it takes host arrays and copies them; `Matter` sees `cuda` and keeps everything on the device.
    Whoever puts work on `stream`, or uses the memory, holds `lock`: any thread may run the engine.
    """

    def __init__(self, artefact: DeviceArtefact, cuda: Cuda, batch: int | None = None) -> None:
        """batch: patches per run, by default the artefact's own. Raises `ArtefactError` or `DeviceError`."""
        self.cuda, self.lock = cuda, threading.RLock()
        with cuda.active():
            self.stream = cuda.stream()
            self.engine = artefact.open(Gpu(cuda.index, cuda.gpu, cuda.capability, self.stream.handle), batch)
            self._buffers = self._allocated()
        engine = self.engine
        self.name, self.device, self.version = engine.name, engine.device, engine.version
        self.patch_hw, self.precision, self.batch = engine.patch_hw, engine.precision, engine.batch
        self.addresses = {name: buffer.address for name, buffer in self._buffers.items()}
        self._repeated = Repeated(cuda, self.stream, engine.capturable)
        self._state, self._count = 0, 0

    def _allocated(self) -> dict[str, Buffer]:
        """Return memory for each input and for alpha; closes the engine where there is not enough."""
        try:
            return {name: self.cuda.buffer(size) for name, size in self.sizes.items()}
        except DeviceError as error:
            self.engine.close()
            height, width = self.engine.patch_hw
            raise DeviceError(
                f"{error}; {counted(self.engine.batch, 'patch')} of {height}x{width} need "
                f"{sum(self.sizes.values()) / 1e6:.0f} MB in addition to the engine; use a smaller `batch`"
            ) from error

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each input and of alpha, for one batch."""
        height, width = self.engine.patch_hw
        return {name: self.engine.batch * count * height * width * FLOAT32 for name, count in CHANNELS.items()}

    def describe(self) -> str:
        """Return one line for people as `Engine.describe` does, with the name of the GPU and the batch."""
        return f"{super().describe()}, {counted(self.engine.batch, 'patch')} at a time on {self.cuda.gpu}"

    def computed(self, count: int) -> int:
        """Return how many patches a run for `count` computes: `batch`, or as few as the engine takes."""
        least = self.engine.least
        return self.engine.batch if least is None else max(count, least)

    def state(self, count: int) -> int:
        """Return a number for the engine as it computes `count` patches, which is new where it ran others before."""
        if count != self._count:
            self._state, self._count = self._state + 1, count
        return self._state

    def run_engine(self, count: int) -> None:
        """Put a run of the engine on `stream`, from and to `addresses`. count: as many patches as `computed` says."""
        counted = () if self.engine.least is None else (count,)
        self.engine.enqueue(self.addresses, self.stream.handle, *counted)

    def enqueue(self) -> None:
        """Put a run of `batch` patches on `stream`, from and to `addresses`."""
        self.check_open()
        batch = self.engine.batch
        self._repeated.enqueue(self.run_engine, batch, self.state(batch))

    def upload(self, inputs: Mapping[str, Batch]) -> None:
        """Put the copies of image, trimap and guide, each of exactly `batch` patches, on `stream`."""
        for name, array in inputs.items():
            self.cuda.upload(self.addresses[name], np.ascontiguousarray(array), self.stream)

    def download(self, alpha: Batch) -> None:
        """Put the copy to `alpha` (batch, 1, H, W) on `stream`."""
        self.cuda.download(alpha, self.addresses["alpha"], self.stream)

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        alpha = np.empty((self.engine.batch, 1, *self.patch_hw), np.float32)
        with self.lock, self.cuda.active():
            self.check_open()  # another thread may have closed it
            self.upload({"image": image, "trimap": trimap, "guide": guide})
            self.enqueue()
            self.download(alpha)
            self.stream.synchronize()
        return alpha

    def close(self) -> None:
        """Wait for the work on the stream, then close the engine and free its memory."""
        with self.lock, self.cuda.active():
            if self.closed:
                return
            self.closed = True
            self.stream.synchronize()
            self._repeated.close()
            self.engine.close()
            for buffer in self._buffers.values():
                buffer.free()
