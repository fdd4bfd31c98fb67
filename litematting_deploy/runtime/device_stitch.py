"""Crop-and-stitch (paper section 4.3) wholly on a CUDA device: photo and trimap go up once, alpha comes down once."""

import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..matting.bit_mask import BitMask
from ..matting.inputs import as_trimap
from ..matting.patches import Plan
from ..matting.trimap import UNKNOWN
from .cuda.arrays import DeviceArray, is_device_array, view
from .cuda.kernels import Kernels
from .cuda.protocol import Buffer, Event, PinnedBuffer
from .device_memory import CORNER_BYTES, HEADER, DeviceMemory, Layout, Planes, Slot, allocate
from .host_stitch import Progress
from .on_device import OnDevice

AHEAD = 2  # batches on the device while progress is reported: enough that it never waits for us
WRITTEN = ("float32", "uint8", "uint16")
"""The dtypes of an alpha that the kernels write: 0..1, 0..255, 0..65535."""


@dataclass(frozen=True)
class Job:
    """An image on its way, to be collected or given up.

    output: header and alpha on the device. on_device: alpha stays there. dtype: that alpha shall have on the host.
    sources: photo and trimap, kept alive.
    """

    slot: Slot
    layout: Layout
    output: Buffer
    on_device: bool
    dtype: "np.dtype[Any]"
    sources: tuple[Any, Any]


class DeviceStitcher:
    """Runs images one after the other; the copies of neighbouring images overlap with the computation.

    Copies up, computation and copies down have a stream each. Every image on its way has a slot of its own, so that it
    can be uploaded while the one before is computed and the one before that is downloaded. Any thread may submit and
    collect: what it puts on the streams, it puts there at a time.
    """

    def __init__(self, engine: OnDevice, truncate: bool = False) -> None:
        """truncate: levels as the authors' code makes them, instead of the nearest."""
        engine.cuda.activate()
        self._engine, self._cuda, self._truncate = engine, engine.cuda, truncate
        self._kernels = Kernels(engine.cuda)
        # A GPU copies up and down at the same time, if each direction has a stream of its own.
        self._up, self._down = engine.cuda.stream(), engine.cuda.stream()
        self._slots: list[Slot] = []
        self._free: list[Slot] = []
        self._planes = Planes(engine.cuda)
        self._bits: tuple[Buffer, PinnedBuffer] | None = None

    def memory(self, plan: Plan) -> DeviceMemory:
        """Return what an image with this plan takes on the device; in a sequence, its source and output come twice."""
        layout = Layout(plan, self._engine.engine.batch, np.dtype(np.float32))
        return DeviceMemory(layout.all_bytes, sum(self._engine.sizes.values()), self._engine.engine.device_bytes)

    def seen(self, pixels: Any) -> Any:
        """Return a device array of any library as a `DeviceArray`, ordered after its producer's work; others as is."""
        self._cuda.activate()
        return view(pixels, self._cuda, self._up) if is_device_array(pixels) else pixels

    def unknown(self, trimap: DeviceArray) -> BitMask:
        """Return the mask of the unknown pixels of a trimap (H, W) or (H, W, 1) uint8, an eighth of its size.

        It is made on the device, while the computation of other images goes on. Raises `InputError` as `as_trimap`.
        """
        hw = trimap.shape[0], trimap.shape[1]
        width = -(-hw[1] // 8)
        with self._engine.lock:
            if 0 not in hw and trimap.shape[2:] in ((), (1,)):
                nbytes = HEADER + hw[0] * width
                buffer, pinned = self._room_for_bits(nbytes)
                self._cuda.zero(buffer.address, HEADER, self._up)
                bits, strange = buffer.address + HEADER, buffer.address
                self._kernels.unknown_bits(self._up, trimap.address, bits, strange, hw)
                self._cuda.download(pinned.bytes[:nbytes], buffer.address, self._up)
                self._up.synchronize()
                # The kernel leaves a mark here where a value is none of 0, 128 and 255.
                if not pinned.bytes[:4].any():
                    return BitMask(pinned.bytes[HEADER:nbytes].reshape(hw[0], width).copy(), hw)
            host = np.empty(trimap.shape, np.uint8)
            self._cuda.download(host, trimap.address, self._up)
            self._up.synchronize()
        return BitMask.equal(as_trimap(host), UNKNOWN)  # which says what is wrong with it

    def _room_for_bits(self, nbytes: int) -> tuple[Buffer, PinnedBuffer]:
        """Return device memory and pinned memory of at least this size, which the next call may hand out again."""
        if self._bits is None or self._bits[0].nbytes < nbytes:
            self._free_bits()
            self._bits = self._cuda.buffer(nbytes), self._cuda.pinned(nbytes)
        return self._bits

    def _free_bits(self) -> None:
        """Free the memory for masks."""
        for memory in self._bits or ():
            memory.free()
        self._bits = None

    def submit(
        self,
        image: NDArray[np.uint8] | DeviceArray,
        trimap: NDArray[np.uint8] | DeviceArray,
        plan: Plan,
        dtype: "np.dtype[Any]",
        progress: Progress | None = None,
    ) -> Job:
        """Put an image on its way and return, with `progress` only when its last batch is nearly done.

        image (H, W, 3) and trimap (H, W) uint8, on the host or on the device, where they must not change until
        `collect`. If both are on the device, so is the alpha. dtype: of the alpha, on the device one of `WRITTEN`.
        Raises `DeviceError`, or `UsageError` for a closed engine or another dtype; nothing is left on its way then.
        """
        self._cuda.activate()
        on_device = isinstance(image, DeviceArray) and isinstance(trimap, DeviceArray)
        # On the host any dtype is a conversion away; on the device the kernels would have to write it.
        if on_device and dtype.name not in WRITTEN:
            raise UsageError(
                f"`dtype` must be {', '.join(WRITTEN[:-1])} or {WRITTEN[-1]} where alpha stays on the device; got "
                f"{dtype}; convert it there",
                parameter="dtype",
            )
        written = dtype if dtype.name in WRITTEN else np.dtype(np.float32)
        layout = Layout(plan, self._engine.engine.batch, written)
        with self._engine.lock, contextlib.ExitStack() as on_error:
            self._engine.check_open()
            slot = self._free.pop() if self._free else self._new_slot()
            on_error.callback(self._free.append, slot)
            # Called before the slot is handed back, since copies to and from it may still be under way.
            on_error.callback(self._synchronize)
            slot.fit(layout, on_device)
            # Alpha that stays there is the caller's: it has memory of its own, in which the engine's stream begins.
            stream = self._engine.stream
            output = allocate(self._cuda, layout.output_bytes, layout, stream) if on_device else slot.output
            job = Job(slot, layout, output, on_device, dtype, (image, trimap))
            self._compute(job, self._upload(job), progress)
            self._download(job)
            on_error.pop_all()
        return job

    def _new_slot(self) -> Slot:
        """Return one more slot; there are as many as images were ever on their way at a time."""
        self._slots.append(Slot(self._cuda))
        return self._slots[-1]

    def _synchronize(self) -> None:
        """Wait for all three streams."""
        for stream in (self._up, self._engine.stream, self._down):
            stream.synchronize()

    def give_up(self, job: Job) -> None:
        """Wait for a job whose alpha nobody wants, or no more."""
        self._cuda.activate()
        job.slot.downloaded.synchronize()
        self._free.append(job.slot)

    def collect(self, job: Job, progress: Progress | None = None) -> NDArray[Any] | DeviceArray:
        """Return the alpha (H, W) of a job: a new host array, or one on the device.

        progress: called once, with all patches done. Raises `NotFiniteError` or `DeviceError`.
        """
        layout = job.layout
        with contextlib.ExitStack() as at_last:
            at_last.callback(self.give_up, job)  # then the next image, of any thread, uses the slot
            self._cuda.activate()
            job.slot.downloaded.synchronize()
            pinned = job.slot.pinned_output
            if pinned[:4].any():
                raise self._engine.not_finite()
            if job.on_device:
                address = job.output.address + HEADER
                alpha: NDArray[Any] | DeviceArray = DeviceArray(
                    address, layout.plan.image_hw, layout.dtype, self._cuda.index, job.output
                )
            else:
                shown = pinned[HEADER : layout.output_bytes].view(layout.dtype).reshape(layout.plan.image_hw)
                alpha = shown.astype(job.dtype)  # a copy
        if progress is not None:
            progress(len(layout.plan.corners_yx), len(layout.plan.corners_yx))
        return alpha

    def close(self) -> None:
        """Wait for what is on its way and free everything."""
        with self._engine.lock:
            self._cuda.activate()
            self._synchronize()
            for slot in self._slots:
                slot.free()
            self._slots, self._free = [], []
            self._planes.free()
            self._free_bits()

    def _upload(self, job: Job) -> dict[str, int]:
        """Copy corners, photo and trimap in one go, as far as they are on the host; return where the latter two are."""
        slot, end = job.slot, job.layout.corner_bytes
        pinned = slot.pinned_source
        pinned[:end] = job.layout.corner_table().view(np.uint8).reshape(-1)
        addresses = {}
        for name, pixels in zip(("image", "trimap"), job.sources, strict=True):
            if isinstance(pixels, DeviceArray):
                addresses[name] = pixels.address
                continue
            addresses[name] = slot.source + end
            pinned[end : end + pixels.size].reshape(pixels.shape)[...] = pixels
            end += pixels.size
        if end:
            self._cuda.upload(slot.source, pinned[:end], self._up)
        slot.uploaded.record(self._up)
        return addresses

    def _compute(self, job: Job, sources: dict[str, int], progress: Progress | None) -> None:
        """Put everything between the copies on the engine's stream. sources: addresses of photo and trimap."""
        stream, kernels, plan = self._engine.stream, self._kernels, job.layout.plan
        planes = self._planes.fit(job.layout, stream)
        stream.wait(job.slot.uploaded)
        if job.layout.padded:
            around = None if plan.padding == "edge" else 0
            kernels.pad(stream, sources["image"], planes["image"], plan, channels=3, constant=None)
            kernels.pad(stream, sources["trimap"], planes["trimap"], plan, channels=1, constant=around)
        else:
            planes |= sources
        # Slots and planes hold what the last image left there.
        self._cuda.zero(job.output.address, HEADER, stream)
        for name in ("total", "weight"):
            self._cuda.zero(planes[name], job.layout.plane_bytes[name], stream)
        if plan.corners_yx:
            kernels.guide(stream, planes["trimap"], planes["rows"], planes["squared"], plan.padded_hw)
        self._run_batches(job, planes, progress)
        kernels.finish(stream, planes, job.output.address + HEADER, plan, job.layout.dtype, self._truncate)
        job.slot.computed.record(stream)

    def _run_batches(self, job: Job, planes: Mapping[str, int], progress: Progress | None) -> None:
        """Gather, run and accumulate batch after batch; report patches when the device has done them, a little later
        than they were put on the stream."""
        engine, stream, plan, batch = self._engine, self._engine.stream, job.layout.plan, job.layout.batch
        count = len(plan.corners_yx)
        waiting: deque[tuple[Event, int]] = deque()
        for first in range(0, count, batch):
            corners = job.slot.source + first * CORNER_BYTES
            done = min(first + batch, count)
            self._kernels.gather(stream, planes, corners, engine.addresses, plan, engine.computed(done - first))
            engine.enqueue(done - first)
            for index in range(done - first):
                alpha = engine.addresses["alpha"]
                self._kernels.accumulate(stream, alpha, corners, index, planes, job.output.address, plan)
            if progress is not None:
                waiting.append((self._cuda.event(), done))
                waiting[-1][0].record(stream)
                _report(waiting, AHEAD, progress, count)
        if progress is not None:
            _report(waiting, 0, progress, count)

    def _download(self, job: Job) -> None:
        """Put the copy of the header, and of alpha unless it stays, behind the computation."""
        self._down.wait(job.slot.computed)
        size = HEADER if job.on_device else job.layout.output_bytes
        self._cuda.download(job.slot.pinned_output[:size], job.output.address, self._down)
        job.slot.downloaded.record(self._down)


def _report(waiting: deque[tuple[Event, int]], ahead: int, progress: Progress, total: int) -> None:
    """Wait until at most `ahead` batches are left on the device, and report each that is done."""
    while len(waiting) > ahead:
        event, done = waiting.popleft()
        event.synchronize()
        progress(done, total)
