"""Crop-and-stitch (paper section 4.3) wholly on a CUDA device: photo and trimap go up once, alpha comes down once."""

import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..matting.patches import Plan
from .cuda.arrays import DeviceArray, is_device_array, view
from .cuda.kernels import Kernels
from .cuda.protocol import Buffer
from .device_memory import CORNER_BYTES, HEADER, DeviceMemory, Layout, Planes, Slot, allocate
from .host_stitch import Progress
from .on_device import OnDevice

AHEAD = 2  # batches on the device while progress is reported: enough that it never waits for us


@dataclass(frozen=True)
class Job:
    """An image on its way, to be collected or given up.

    output: header and alpha on the device. on_device: alpha stays there. sources: photo and trimap, kept alive.
    """

    slot: Slot
    layout: Layout
    output: Buffer
    on_device: bool
    sources: tuple[Any, Any]


class DeviceStitcher:
    """Runs images one after the other; the copies of neighbouring images overlap with the computation.

    Copies up, computation and copies down have a stream each. Every image on its way has a slot of its own, so that it
    can be uploaded while the one before is computed and the one before that is downloaded.
    """

    def __init__(self, engine: OnDevice, truncate: bool = False) -> None:
        """truncate: levels as the authors' code makes them, instead of the nearest."""
        engine.cuda.activate()
        self._engine, self._cuda, self._truncate = engine, engine.cuda, truncate
        self._kernels = Kernels(engine.cuda)
        self._up, self._down = engine.cuda.stream(), engine.cuda.stream()
        self._slots: list[Slot] = []
        self._free: list[Slot] = []
        self._planes = Planes(engine.cuda)

    def memory(self, plan: Plan, dtype: "np.dtype[Any]" = np.dtype(np.float32)) -> DeviceMemory:
        """What an image with this plan takes on the device; in a sequence, its source and output come twice."""
        layout = Layout(plan, self._engine.engine.batch, dtype)
        return DeviceMemory(layout.all_bytes, sum(self._engine.sizes.values()), self._engine.engine.device_bytes)

    def seen(self, pixels: Any) -> Any:
        """A device array of any library as a `DeviceArray`, ordered after its producer's work; host arrays as is."""
        self._cuda.activate()
        return view(pixels, self._cuda, self._up) if is_device_array(pixels) else pixels

    def fetched(self, pixels: NDArray[np.uint8] | DeviceArray) -> NDArray[np.uint8]:
        """On the host, whatever `seen` gave; the computation of other images goes on beside."""
        if not isinstance(pixels, DeviceArray):
            return pixels
        host = np.empty(pixels.shape, np.uint8)
        self._cuda.download(host, pixels.address, self._up)
        self._up.synchronize()
        return host

    def submit(
        self,
        image: NDArray[np.uint8] | DeviceArray,
        trimap: NDArray[np.uint8] | DeviceArray,
        plan: Plan,
        dtype: "np.dtype[Any]" = np.dtype(np.float32),
        progress: Progress | None = None,
    ) -> Job:
        """Put an image on its way and return, with `progress` only when its last batch is nearly done.

        image (H, W, 3) and trimap (H, W) uint8, on the host or on the device, where they must not change until
        `collect`. If both are on the device, so is the alpha. Whatever is raised here, nothing is left on its way.
        """
        self._engine.check_open()
        self._cuda.activate()
        layout = Layout(plan, self._engine.engine.batch, dtype)
        on_device = isinstance(image, DeviceArray) and isinstance(trimap, DeviceArray)
        slot = self._free_slot()
        with contextlib.ExitStack() as on_error:
            on_error.callback(self._free.append, slot)
            on_error.callback(self._synchronize)
            slot.fit(layout, on_device)
            output = allocate(self._cuda, layout.output_bytes, layout) if on_device else slot.output
            job = Job(slot, layout, output, on_device, (image, trimap))
            self._compute(job, *self._upload(job), progress)
            self._download(job)
            on_error.pop_all()
        return job

    def _free_slot(self) -> Slot:
        if not self._free:
            self._slots.append(Slot(self._cuda))
            self._free.append(self._slots[-1])
        return self._free.pop()

    def _synchronize(self) -> None:
        for stream in (self._up, self._engine.stream, self._down):
            stream.synchronize()

    def give_up(self, job: Job) -> None:
        """Wait for a job whose alpha nobody wants."""
        job.slot.downloaded.synchronize()
        self._free.append(job.slot)

    def collect(self, job: Job, progress: Progress | None = None) -> NDArray[Any] | DeviceArray:
        """The alpha (H, W) of a job: a new host array, or one on the device. Raises `ArtefactError`, `DeviceError`."""
        layout = job.layout
        self.give_up(job)
        if progress is not None:
            progress(len(layout.plan.corners_yx), len(layout.plan.corners_yx))
        pinned = job.slot.pinned_output
        if pinned[:4].view(np.int32)[0]:
            raise self._engine.not_finite()
        if job.on_device:
            address = job.output.address + HEADER
            return DeviceArray(address, layout.plan.image_hw, layout.dtype, self._cuda.index, job.output)
        return pinned[HEADER : layout.output_bytes].view(layout.dtype).reshape(layout.plan.image_hw).copy()

    def close(self) -> None:
        """Wait for what is on its way and free everything."""
        self._cuda.activate()
        self._synchronize()
        for slot in self._slots:
            slot.free()
        self._slots, self._free = [], []
        self._planes.free()

    def _upload(self, job: Job) -> tuple[int, int]:
        """Addresses of photo and trimap, after copying those that are on the host, and the corners, in one go."""
        slot, layout = job.slot, job.layout
        pinned, base = slot.pinned_source, slot.source
        end = layout.corner_bytes
        pinned[:end] = layout.corner_table().view(np.uint8).reshape(-1)
        addresses = []
        for pixels in job.sources:
            if isinstance(pixels, DeviceArray):
                addresses.append(pixels.address)
                continue
            addresses.append(base + end)
            pinned[end : end + pixels.size].reshape(pixels.shape)[...] = pixels
            end += pixels.size
        if end:
            self._cuda.upload(base, pinned[:end], self._up)
        slot.uploaded.record(self._up)
        return addresses[0], addresses[1]

    def _compute(self, job: Job, image: int, trimap: int, progress: Progress | None) -> None:
        stream, kernels, plan = self._engine.stream, self._kernels, job.layout.plan
        planes = self._planes.fit(job.layout, stream)
        stream.wait(job.slot.uploaded)
        if job.layout.padded:
            size = {"image_hw": plan.image_hw, "padded_hw": plan.padded_hw, "offset_yx": plan.offset_yx}
            around = None if plan.padding == "edge" else 0
            kernels.pad(stream, image, planes["image"], **size, channels=3, constant=None)
            kernels.pad(stream, trimap, planes["trimap"], **size, channels=1, constant=around)
            image, trimap = planes["image"], planes["trimap"]
        flag = job.output.address
        for address, nbytes in ((flag, HEADER), *((planes[n], job.layout.plane_bytes[n]) for n in ("total", "weight"))):
            self._cuda.zero(address, nbytes, stream)
        if plan.corners_yx:
            kernels.guide(stream, trimap, planes["rows"], planes["squared"], plan.padded_hw)
        self._run_batches(job, image, trimap, planes, progress)
        kernels.finish(
            stream,
            planes["total"],
            planes["weight"],
            trimap,
            flag + HEADER,
            hw=plan.padded_hw,
            image_hw=plan.image_hw,
            offset_yx=plan.offset_yx,
            dtype=job.layout.dtype,
            truncate=self._truncate,
        )
        job.slot.computed.record(stream)

    def _run_batches(
        self, job: Job, image: int, trimap: int, planes: dict[str, int], progress: Progress | None
    ) -> None:
        engine, stream, layout = self._engine, self._engine.stream, job.layout
        size = {"hw": layout.plan.padded_hw, "patch_hw": layout.plan.patch_hw}
        count, batch = len(layout.plan.corners_yx), layout.batch
        ticks = _Ticks(self, progress, count)
        for first in range(0, count, batch):
            corners = job.slot.source + first * CORNER_BYTES
            self._kernels.gather(
                stream, image, trimap, planes["squared"], corners, engine.addresses, **size, batch=batch
            )
            engine.enqueue()
            for index in range(min(batch, count - first)):
                self._kernels.accumulate(
                    stream,
                    engine.addresses["alpha"],
                    corners,
                    index,
                    trimap,
                    planes["total"],
                    planes["weight"],
                    job.output.address,
                    **size,
                )
            ticks.add(min(first + batch, count))
        ticks.finish()

    def _download(self, job: Job) -> None:
        self._down.wait(job.slot.computed)
        size = HEADER if job.on_device else job.layout.output_bytes
        self._cuda.download(job.slot.pinned_output[:size], job.output.address, self._down)
        job.slot.downloaded.record(self._down)


class _Ticks:
    """Reports patches when the device has done them, a little behind what was put on the stream."""

    def __init__(self, stitcher: DeviceStitcher, progress: Progress | None, total: int) -> None:
        self._stitcher, self._progress, self._total = stitcher, progress, total
        self._waiting: deque[tuple[Any, int]] = deque()

    def add(self, done: int) -> None:
        if self._progress is None:
            return
        event = self._stitcher._cuda.event()
        event.record(self._stitcher._engine.stream)
        self._waiting.append((event, done))
        if len(self._waiting) > AHEAD:
            self._report()

    def finish(self) -> None:
        while self._waiting:
            self._report()

    def _report(self) -> None:
        event, done = self._waiting.popleft()
        event.synchronize()
        if self._progress is not None:
            self._progress(done, self._total)
