"""Crop-and-stitch (paper section 4.3) wholly on a CUDA device: photo and trimap go up once, alpha comes down once."""

import contextlib
from collections import deque
from collections.abc import Callable
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
from .cuda.kernels import Kernels, batch_record, batch_table
from .cuda.protocol import Buffer, Event
from .device_memory import HEADER, DeviceMemory, Layout, Planes, Slot, allocate
from .device_refining import DeviceRefiner, Matte
from .device_unmixing import DeviceUnmixer
from .host_stitch import Progress
from .on_device import OnDevice, Repeated

AHEAD = 2  # batches on the device while progress is reported: enough that it never waits for us
WRITTEN = ("float32", "uint8", "uint16")
"""The dtypes of an alpha that the kernels write: 0..1, 0..255, 0..65535."""


@dataclass(frozen=True)
class Job:
    """An image on its way, to be collected or given up.

    output: header and alpha on the device. on_device: alpha stays there. dtype: that alpha shall have on the host.
    sources: photo and trimap, kept alive. addresses: of both on the device. refine: alpha is refined when it is
    collected; until then it is float32.
    """

    slot: Slot
    layout: Layout
    plan: Plan
    output: Buffer
    on_device: bool
    dtype: "np.dtype[Any]"
    sources: tuple[Any, Any]
    addresses: dict[str, int]
    refine: bool


class DeviceStitcher:
    """Runs images one after the other; the copies of neighbouring images overlap with the computation.

    Copies up, computation and copies down have a stream each. Every image on its way has a slot of its own, so that it
    can be uploaded while the one before is computed and the one before that is downloaded. Any thread may submit and
    collect: what it puts on the streams, it puts there at a time.
    """

    def __init__(self, engine: OnDevice, truncate: bool = False) -> None:
        """truncate: levels as the authors' code makes them, instead of the nearest."""
        cuda = engine.cuda
        self._engine, self._cuda, self._truncate = engine, cuda, truncate
        self._record = batch_record(engine.engine.batch)
        with cuda.active():
            self._kernels = Kernels(cuda)
            # A GPU copies up and down at the same time, if each direction has a stream of its own.
            self._up, self._down = cuda.stream(), cuda.stream()
            self._batch = cuda.buffer(self._record.itemsize)  # the record of the batch that is computed
        self._repeated = Repeated(cuda, engine.stream, engine.engine.capturable)
        self._slots: list[Slot] = []
        self._free: list[Slot] = []
        self._planes = Planes(cuda)

    @property
    def _refiner(self) -> DeviceRefiner:
        return DeviceRefiner(self._cuda, self._kernels)

    @property
    def unmixer(self) -> DeviceUnmixer:
        """What finds foreground colours on this device, also after `close`."""
        return DeviceUnmixer(self._cuda, self._kernels)

    def memory(self, plan: Plan, refine: bool = False) -> DeviceMemory:
        """Return what an image with this plan takes on the device; in a sequence, its source and output come twice.

        refine: its alpha is refined, which takes as much as is said only if it is unknown everywhere.
        """
        engine = self._engine.engine
        layout = Layout(plan.image_hw, plan.patch_hw, np.dtype(np.float32))
        records = 1 + -(-len(plan.corners_yx) // engine.batch)
        image = layout.all_bytes + records * self._record.itemsize
        if refine:
            image += self._refiner.most_bytes(plan.image_hw)
        return DeviceMemory(image, sum(self._engine.sizes.values()), engine.device_bytes)

    def seen(self, pixels: Any) -> Any:
        """Return a device array of any library as a `DeviceArray`, ordered after its producer's work; others as is."""
        if not is_device_array(pixels):
            return pixels
        with self._cuda.active():
            return view(pixels, self._cuda, self._up)

    def submit(
        self,
        image: NDArray[np.uint8] | DeviceArray,
        trimap: NDArray[np.uint8] | DeviceArray,
        planned: Callable[[NDArray[np.uint8] | BitMask], Plan],
        dtype: "np.dtype[Any]",
        progress: Progress | None = None,
        refine: bool = False,
    ) -> Job:
        """Put an image on its way and return, with `progress` only when its last batch is nearly done.

        image (H, W, 3) and trimap (H, W) or (H, W, 1) uint8, on the host or on the device, where they must not change
        until `collect`. If both are on the device, so is the alpha. planned: places the patches by the trimap or, if
        that is on the device, by the mask of its unknown pixels; the copies to the device go on meanwhile. dtype: of
        the alpha, on the device one of `WRITTEN`. refine: `collect` refines the alpha. Raises `DeviceError`,
        `InputError` for other values in a trimap, or `UsageError` for a closed engine or another dtype; nothing is left
        on its way then.
        """
        on_device = isinstance(image, DeviceArray) and isinstance(trimap, DeviceArray)
        # On the host any dtype is a conversion away; on the device the kernels would have to write it.
        if on_device and dtype.name not in WRITTEN:
            raise UsageError(
                f"`dtype` must be {', '.join(WRITTEN[:-1])} or {WRITTEN[-1]} if the alpha stays on the device; got "
                f"{dtype}; convert it there",
                parameter="dtype",
            )
        written = np.dtype(np.float32) if refine else _written(dtype)
        layout = Layout((image.shape[0], image.shape[1]), self._engine.patch_hw, written)
        with self._cuda.active(), contextlib.ExitStack() as on_error:
            with self._engine.lock:
                self._engine.check_open()
                slot = self._free.pop() if self._free else self._new_slot()
                on_error.callback(self._take_back, slot)
                addresses = self._upload(slot, layout, {"image": image, "trimap": trimap})
            plan = planned(self._unknown(slot, layout, trimap) if isinstance(trimap, DeviceArray) else trimap)
            with self._engine.lock:
                self._engine.check_open()  # another thread may have closed it
                slot.fit(layout, output=HEADER if on_device else layout.output_bytes)
                # Alpha that stays is the caller's: it has memory of its own, in which the engine's stream begins.
                stream = self._engine.stream
                kept = allocate(self._cuda, layout.output_bytes, layout, stream) if on_device else None
                output = kept or slot.on_device("output")
                job = Job(slot, layout, plan, output, on_device, dtype, (image, trimap), addresses, refine)
                self._compute(job, progress)
                self._download(job)
            on_error.pop_all()
        return job

    def _new_slot(self) -> Slot:
        """Return one more slot; there are as many as images were ever on their way at a time."""
        self._slots.append(Slot(self._cuda))
        return self._slots[-1]

    def _take_back(self, slot: Slot) -> None:
        """Wait for all three streams; then another image may have the slot."""
        with self._engine.lock:
            for stream in (self._up, self._engine.stream, self._down):
                stream.synchronize()
            self._free.append(slot)

    def give_up(self, job: Job) -> None:
        """Wait for a job whose alpha nobody wants, or no more."""
        with self._cuda.active():
            job.slot.downloaded.synchronize()
        self._free.append(job.slot)

    def collect(
        self, job: Job, progress: Progress | None = None, refining: Progress | None = None
    ) -> NDArray[Any] | DeviceArray:
        """Return the alpha (H, W) of a job: a new host array, or one on the device.

        progress: called once, with all patches done. refining: called after each tile that is refined. Raises
        `NotFiniteError`, `DeviceError`, or `UsageError` for a closed engine.
        """
        with self._cuda.active(), contextlib.ExitStack() as at_last:
            at_last.callback(self.give_up, job)  # then the next image, of any thread, uses the slot
            job.slot.downloaded.synchronize()
            with job.slot.reading:
                self._engine.check_open()  # `close` has freed the slot, or waits for us
                if job.slot.pinned("output")[:4].any():
                    raise self._engine.not_finite()
                alpha = None if job.refine else self._read(job)
            if progress is not None:
                progress(len(job.plan.corners_yx), len(job.plan.corners_yx))
            return self._refined(job, refining) if alpha is None else alpha

    def _read(self, job: Job) -> NDArray[Any] | DeviceArray:
        """Return the alpha of a job, which has come down unless it stays."""
        layout = job.layout
        if job.on_device:
            address = job.output.address + HEADER
            return DeviceArray(address, layout.image_hw, layout.dtype, self._cuda.index, job.output)
        shown = job.slot.pinned("output")[HEADER : layout.output_bytes].view(layout.dtype).reshape(layout.image_hw)
        copied: NDArray[Any] = shown.astype(job.dtype)
        return copied

    def _refined(self, job: Job, progress: Progress | None) -> NDArray[Any] | DeviceArray:
        """Return the alpha of a job whose computation is done, refined: beside the computation of the next image."""
        image, trimap, hw, dtype = *job.addresses.values(), job.layout.image_hw, _written(job.dtype)

        def refining(done: int, total: int) -> None:
            if progress is not None:
                progress(done, total)
                self._engine.check_open()  # it may have closed the engine, which has freed the slot

        with job.slot.reading:
            self._engine.check_open()
            matte = Matte(image, trimap, job.output.address + HEADER, hw)
            alpha = self._refiner(matte, dtype, refining)
            if job.on_device:
                return DeviceArray(alpha.address, hw, dtype, self._cuda.index, alpha)
            pinned, stream = job.slot.pinned("output")[: alpha.nbytes], self._cuda.stream()
            self._cuda.download(pinned, alpha.address, stream)
            stream.synchronize()
            alpha.free()
            copied: NDArray[Any] = pinned.view(dtype).reshape(hw).astype(job.dtype)
            return copied

    def close(self) -> None:
        """Wait for what is on its way, free everything and close the engine."""
        with self._engine.lock, self._cuda.active():
            for stream in (self._up, self._engine.stream, self._down):
                stream.synchronize()
            self._repeated.close()
            for slot in self._slots:
                slot.free()
            self._planes.free()
            self._batch.free()
            self._slots, self._free = [], []
            self._engine.close()

    def _upload(
        self, slot: Slot, layout: Layout, sources: dict[str, NDArray[np.uint8] | DeviceArray]
    ) -> dict[str, int]:
        """Start the copies of image and trimap, as far as they are on the host; return where they are on the device.

        Before it comes the mask of a trimap on the device, which is waited for while the image is copied.
        """
        slot.fit(layout, source=layout.source_bytes)
        if isinstance(trimap := sources["trimap"], DeviceArray):
            slot.fit(layout, mask=layout.mask_bytes)
            at = slot.on_device("mask").address
            self._cuda.zero(at, HEADER, self._up)
            self._kernels.unknown_bits(self._up, trimap.address, at + HEADER, at, layout.image_hw)
            self._cuda.download(slot.pinned("mask")[: layout.mask_bytes], at, self._up)
            slot.seen.record(self._up)
        addresses, pinned, end = {}, slot.pinned("source"), 0
        for name, pixels in sources.items():
            if isinstance(pixels, DeviceArray):
                addresses[name] = pixels.address
                continue
            addresses[name] = slot.on_device("source").address + end
            pinned[end : end + pixels.size].reshape(pixels.shape)[...] = pixels
            end += pixels.size
        if end:
            self._cuda.upload(slot.on_device("source").address, pinned[:end], self._up)
        return addresses

    def _unknown(self, slot: Slot, layout: Layout, trimap: DeviceArray) -> BitMask:
        """Return the mask of the unknown pixels. Raises `InputError` as `as_trimap`."""
        slot.seen.synchronize()
        with slot.reading:
            self._engine.check_open()
            mask = slot.pinned("mask").copy()
        if not mask[:4].any():
            return BitMask(mask[HEADER : layout.mask_bytes].reshape(layout.image_hw[0], -1), layout.image_hw)
        host = np.empty(trimap.shape, np.uint8)
        with self._engine.lock:
            self._cuda.download(host, trimap.address, self._up)
            self._up.synchronize()
        return BitMask.equal(as_trimap(host), UNKNOWN)  # which says what is wrong with it

    def _compute(self, job: Job, progress: Progress | None) -> None:
        """Put everything between the copies on the engine's stream."""
        stream, kernels, plan, slot = self._engine.stream, self._kernels, job.plan, job.slot
        sources = job.addresses
        planes = self._planes.fit(job.layout, stream)
        if not job.layout.padded:
            planes |= sources
        table = batch_table(plan, self._engine.engine.batch, planes, job.output.address)
        slot.fit(job.layout, batches=table.nbytes)
        pinned = slot.pinned("batches")[: table.nbytes]
        pinned[:] = table.view(np.uint8)
        if plan.corners_yx:
            self._cuda.upload(slot.on_device("batches").address, pinned, self._up)
        slot.uploaded.record(self._up)
        stream.wait(slot.uploaded)
        if job.layout.padded:
            around = None if plan.padding == "edge" else 0
            kernels.pad(stream, sources["image"], planes["image"], plan, channels=3, constant=None)
            kernels.pad(stream, sources["trimap"], planes["trimap"], plan, channels=1, constant=around)
        # Slots and planes hold what the last image left there.
        self._cuda.zero(job.output.address, HEADER, stream)
        for name in ("total", "weight"):
            self._cuda.zero(planes[name], job.layout.plane_bytes[name], stream)
        if plan.corners_yx:
            kernels.guide(stream, planes["trimap"], planes["rows"], planes["squared"], plan.padded_hw)
        self._run_batches(job, progress)
        kernels.finish(stream, planes, job.output.address + HEADER, plan, job.layout.dtype, self._truncate)
        slot.computed.record(stream)

    def _run_batches(self, job: Job, progress: Progress | None) -> None:
        """Run batch after batch; report patches when the device has done them, a little later than they were put on
        the stream."""
        engine, stream, size = self._engine, self._engine.stream, self._record.itemsize
        count, batch, table = len(job.plan.corners_yx), engine.engine.batch, job.slot.on_device("batches").address
        waiting: deque[tuple[Event, int]] = deque()
        for index, first in enumerate(range(0, count, batch)):
            done = min(first + batch, count)
            self._cuda.copy(self._batch.address, table + index * size, size, stream)
            computed = engine.computed(done - first)
            self._repeated.enqueue(self._run_batch, computed, engine.state(computed))
            if progress is not None:
                waiting.append((self._cuda.event(), done))
                waiting[-1][0].record(stream)
                self._report(waiting, AHEAD, progress, count)
        if progress is not None:
            self._report(waiting, 0, progress, count)

    def _run_batch(self, count: int) -> None:
        """Gather, run and accumulate `count` patches of the batch whose record lies in `_batch`: one graph."""
        engine, at, patch_hw = self._engine, self._batch.address, self._engine.patch_hw
        self._kernels.gather(engine.stream, at, engine.addresses, patch_hw, count)
        engine.run_engine(count)
        self._kernels.accumulate(engine.stream, at, engine.addresses["alpha"], patch_hw, count)

    def _download(self, job: Job) -> None:
        """Put the copy of the header, and of alpha unless it stays, behind the computation."""
        self._down.wait(job.slot.computed)
        size = HEADER if job.on_device or job.refine else job.layout.output_bytes
        self._cuda.download(job.slot.pinned("output")[:size], job.output.address, self._down)
        job.slot.downloaded.record(self._down)

    def _report(self, waiting: deque[tuple[Event, int]], ahead: int, progress: Progress, total: int) -> None:
        """Wait until at most `ahead` batches are left on the device, and report each that is done.

        Raises `UsageError` where `progress`, which runs within the lock, has closed the engine.
        """
        while len(waiting) > ahead:
            event, done = waiting.popleft()
            event.synchronize()
            progress(done, total)
            self._engine.check_open()


def _written(dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    """Return what the kernels write for an alpha of this dtype."""
    return dtype if dtype.name in WRITTEN else np.dtype(np.float32)
