"""What the driver is asked for, call by call, by a stand-in of it: no device is needed."""

import ctypes
import gc
import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from litematting_deploy import Matter
from litematting_deploy.engines import DeviceArtefact, DeviceEngine, Gpu
from litematting_deploy.errors import DeviceError
from litematting_deploy.runtime.cuda import open_cuda
from litematting_deploy.runtime.cuda.protocol import Cuda
from litematting_deploy.runtime.on_device import OnDevice

pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")

from litematting_deploy.runtime.cuda import cuda_python  # imports cuda-bindings

CONTEXT, CALLERS = 7, 3  # the device's own, and that of whoever calls
WITHOUT_CONTEXT = ("cuInit", "cuDevice", "cuCtx", "cuGetErrorString")
ANSWERS = {
    "cuDeviceGetCount": (2,),
    "cuDeviceGet": (1,),
    "cuDeviceGetName": (b"A GPU\0and more",),
    "cuDevicePrimaryCtxRetain": (CONTEXT,),
    "cuMemPoolCreate": (50,),
    "cuMemGetInfo": (30, 100),
    "cuEventElapsedTime": (2.5,),
    "cuGetErrorString": (b"what the driver says",),
}
MAKERS = (
    *("cuStreamCreate", "cuEventCreate", "cuMemAlloc", "cuMemAllocFromPoolAsync", "cuMemHostAlloc"),
    *("cuModuleLoadData", "cuModuleGetFunction", "cuStreamEndCapture", "cuGraphInstantiate"),
)


class Driver:
    """Notes every call; those in `failing` fail, those that make something give the next number from 100 on.

    contexts: the stack of this thread. All calls but `WITHOUT_CONTEXT` have to come while the device's is current.
    """

    def __init__(self, real: Any) -> None:
        self._real, self._handles = real, itertools.count(100)
        self.calls: list[tuple[Any, ...]] = []
        self.failing: set[str] = set()
        self.contexts = [CALLERS]
        self.pools, self.pinned = True, False
        self._kept: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("CU") or name == "cuuint64_t":
            return getattr(self._real, name)
        return lambda *arguments: self._answer(name, *arguments)

    def _answer(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        status = self._real.CUresult
        if name == "cuDeviceGetAttribute":
            parts = {"MAJOR": 8, "MINOR": 9, "POOLS_SUPPORTED": int(self.pools)}
            return status.CUDA_SUCCESS, next(parts[part] for part in parts if part in arguments[0].name)
        self.calls.append((name, *arguments))
        if name == "cuCtxPushCurrent":
            self.contexts.append(arguments[0])
        elif name == "cuCtxPopCurrent":
            self.contexts.pop()
        elif not name.startswith(WITHOUT_CONTEXT):
            assert self.contexts[-1] == CONTEXT, f"{name} while another context is current"
        if name in self.failing:
            return (status.CUDA_ERROR_INVALID_VALUE,)
        if name == "cuMemcpyDtoHAsync":  # what lies on this device is all 0
            target, _, nbytes, _ = arguments
            ctypes.memset(target, 0, nbytes)
        if name == "cuMemHostAlloc" and self.pinned:  # memory that can be read and written
            self._kept.append(np.zeros(arguments[0], np.uint8))
            return status.CUDA_SUCCESS, self._kept[-1].ctypes.data
        return status.CUDA_SUCCESS, *((next(self._handles),) if name in MAKERS else ANSWERS.get(name, ()))

    def since(self) -> list[tuple[Any, ...]]:
        """The calls since this was last asked."""
        calls, self.calls = self.calls, []
        return calls


def released(name: str, handle: int) -> list[tuple[Any, ...]]:
    return [("cuCtxPushCurrent", CONTEXT), (name, handle), ("cuCtxPopCurrent",)]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    stand_in = Driver(cuda_python.driver)
    monkeypatch.setattr(cuda_python, "driver", stand_in)
    monkeypatch.setattr(cuda_python, "compiled", lambda source, _: source.encode())
    return stand_in


@pytest.fixture
def cuda(driver: Driver) -> Iterator[Cuda]:
    opened = open_cuda(1)
    assert isinstance(opened, cuda_python.CudaPython)
    assert opened._pool is not None
    with opened.active():
        driver.since()
        yield opened
    opened._pool.free()  # while the stand-in is there, and not when this is collected


def test_a_device_is_opened_in_its_primary_context(driver: Driver) -> None:
    cuda = open_cuda(1)
    assert (cuda.index, cuda.gpu, cuda.capability) == (1, "A GPU", (8, 9))
    assert [call[0] for call in driver.since()] == [
        *("cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDevicePrimaryCtxRetain"),
        *("cuCtxPushCurrent", "cuMemPoolCreate", "cuMemPoolSetAttribute", "cuCtxPopCurrent"),
    ]
    assert driver.contexts == [CALLERS]
    with pytest.raises(DeviceError, match=r"^no CUDA device 2: there are 2, cuda:0 to cuda:1$"):
        open_cuda(2)


def test_what_is_made_is_released_once_in_its_context(cuda: Cuda, driver: Driver) -> None:
    stream, timed, untimed = cuda.stream(), cuda.event(timing=True), cuda.event()
    buffer, empty, pinned, module = cuda.buffer(8), cuda.buffer(0), cuda.pinned(0), cuda.module("source")
    assert driver.since() == [
        ("cuStreamCreate", 1),  # does not wait for the default stream
        *(("cuEventCreate", 0), ("cuEventCreate", 2)),
        *(("cuMemAlloc", 8), ("cuMemAlloc", 1), ("cuMemHostAlloc", 1, 0), ("cuModuleLoadData", b"source")),
    ]
    assert (stream.handle, buffer.address, buffer.nbytes) == (100, 103, 8)
    for memory in (buffer, buffer, pinned):
        memory.free()
    assert driver.since() == [*released("cuMemFree", 103), *released("cuMemFreeHost", 105)]
    assert pinned.bytes.size == 0
    kernel = module.kernel("one")
    del module, empty, timed
    assert driver.since() == [
        ("cuModuleGetFunction", 106, b"one"),
        *(*released("cuMemFree", 104), *released("cuEventDestroy", 101)),
    ]
    del kernel, untimed, stream
    assert driver.since() == [
        *(*released("cuModuleUnload", 106), *released("cuEventDestroy", 102), *released("cuStreamDestroy", 100)),
    ]


def test_work_goes_to_its_stream(cuda: Cuda, driver: Driver) -> None:
    stream, event, later = cuda.stream(), cuda.event(timing=True), cuda.event(timing=True)
    kernel = cuda.module("source").kernel("one")
    host = np.zeros(6, np.uint8)
    at = host.ctypes.data
    driver.since()
    cuda.zero(5, 6, stream)
    cuda.upload(5, host, stream)
    cuda.download(host, 5, stream)
    cuda.copy(1, 2, 3, stream)
    event.record(stream)
    stream.wait(event)
    kernel.launch(stream, (1, 2, 3), (4, 5, 6), 7, np.int32(8), np.float32(0.5))
    stream.synchronize()
    event.synchronize()
    cuda.synchronize()
    assert (later.milliseconds_since(event), cuda.memory()) == (2.5, (30, 100))
    types = tuple(cuda_python._TYPES[kind] for kind in (int, np.int32, np.float32))
    assert driver.since() == [
        ("cuMemsetD8Async", 5, 0, 6, 100),
        ("cuMemcpyHtoDAsync", 5, at, 6, 100),
        ("cuMemcpyDtoHAsync", at, 5, 6, 100),
        ("cuMemcpyDtoDAsync", 1, 2, 3, 100),
        *(("cuEventRecord", 101, 100), ("cuStreamWaitEvent", 100, 101, 0)),
        ("cuLaunchKernel", 104, 1, 2, 3, 4, 5, 6, 0, 100, ((7, 8, 0.5), types), 0),
        *(("cuStreamSynchronize", 100), ("cuEventSynchronize", 101), ("cuCtxSynchronize",)),
        *(("cuEventElapsedTime", 101, 102), ("cuMemGetInfo",)),
    ]
    with pytest.raises(DeviceError, match=r"a host array of \(3,\) with strides \(2,\) cannot be copied"):
        cuda.upload(5, host[::2], stream)
    with pytest.raises(DeviceError, match="cannot be copied as one block"):
        cuda.download(host[::2], 5, stream)
    assert driver.since() == []


def test_a_graph_is_recorded_and_launched(cuda: Cuda, driver: Driver) -> None:
    stream = cuda.stream()
    driver.since()
    graph = cuda.capture(stream, lambda: cuda.zero(5, 6, stream))
    relaxed = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    assert driver.since() == [
        *(("cuStreamBeginCapture", 100, relaxed), ("cuMemsetD8Async", 5, 0, 6, 100)),
        *(("cuStreamEndCapture", 100), ("cuGraphInstantiate", 101, 0), ("cuGraphDestroy", 101)),
    ]
    graph.launch(stream)
    graph.free()
    graph.free()
    assert driver.since() == [("cuGraphLaunch", 102, 100), *released("cuGraphExecDestroy", 102)]


def test_a_recording_that_fails_is_ended(cuda: Cuda, driver: Driver) -> None:
    stream = cuda.stream()
    driver.since()

    def fails() -> None:
        raise KeyError("of the work")

    with pytest.raises(KeyError, match="of the work"):
        cuda.capture(stream, fails)
    assert [call[0] for call in driver.since()] == ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphDestroy"]
    driver.failing = {"cuGraphInstantiate"}
    with pytest.raises(DeviceError, match=r"^cuGraphInstantiate: what the driver says$"):
        cuda.capture(stream, lambda: None)
    assert driver.since()[-1] == ("cuGraphDestroy", 102)
    driver.failing = {"cuStreamEndCapture"}
    with pytest.raises(DeviceError, match=r"^cuStreamEndCapture: what the driver says$"):
        cuda.capture(stream, lambda: None)
    assert [call[0] for call in driver.since()][-2:] == ["cuStreamEndCapture", "cuGetErrorString"]


def test_memory_that_runs_out_is_an_error_with_the_drivers_words(cuda: Cuda, driver: Driver) -> None:
    driver.failing = {"cuMemAlloc"}
    with pytest.raises(DeviceError, match=r"^cuMemAlloc: what the driver says$"):
        cuda.buffer(8)


@pytest.mark.parametrize("pools", [True, False])
def test_memory_of_a_stream_comes_from_a_pool_where_there_are_any(driver: Driver, pools: bool) -> None:
    driver.pools = pools
    cuda = open_cuda(1)
    with cuda.active():
        stream = cuda.stream()
        driver.since()
        buffer = cuda.buffer(0, stream)
        address = buffer.address
        buffer.free()
        buffer.free()
    made, *freed, _ = driver.since()
    if pools:
        assert made == ("cuMemAllocFromPoolAsync", 1, 50, 100)
        assert freed == [("cuCtxPushCurrent", CONTEXT), ("cuMemFreeAsync", address, 0), ("cuCtxPopCurrent",)]
    else:
        assert made == ("cuMemAlloc", 1)
        assert freed == released("cuMemFree", address)


def test_a_pool_ends_with_the_device_but_not_with_its_buffers(driver: Driver) -> None:
    cuda = open_cuda(1)
    with cuda.active():
        buffer = cuda.buffer(8, cuda.stream())
    driver.since()
    del cuda
    assert ("cuMemPoolDestroy", 50) in driver.since()
    buffer.free()
    assert ("cuMemFreeAsync", buffer.address, 0) in driver.since()


def test_nobody_waits_for_the_device_while_a_thread_records(cuda: Cuda, driver: Driver) -> None:
    """Which would spoil the recording."""
    waiting = threading.Thread(target=cuda.synchronize)

    def work() -> None:
        waiting.start()
        waiting.join(0.05)
        driver.calls.append(("the end of the work",))

    cuda.capture(cuda.stream(), work)
    waiting.join()
    names = [call[0] for call in driver.since()]
    assert names.index("the end of the work") < names.index("cuStreamEndCapture") < names.index("cuCtxSynchronize")


class Idle(DeviceEngine, DeviceArtefact):
    """An engine that does nothing."""

    name, device, version, precision = "idle", "cuda:1", "0", "fp32"
    patch_hw, batch, capturable, device_bytes = (64, 64), 2, False, None

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        return self

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None: ...
    def close(self) -> None: ...


def resident(shape: tuple[int, ...]) -> Any:
    """An array that says it lies on the device."""
    interface = {"shape": shape, "typestr": "|u1", "data": (5, False), "strides": None, "version": 3, "stream": None}
    return SimpleNamespace(__cuda_array_interface__=interface)


@pytest.mark.parametrize("on_device", [False, True], ids=["from the host", "on the device"])
def test_frames_allocate_nothing_once_the_largest_has_come(cuda: Cuda, driver: Driver, on_device: bool) -> None:
    """Not even where sizes change, where a photo is smaller than a patch, or where alpha stays on the device."""
    driver.pinned = True
    sizes = [(150, 211), (150, 211), (90, 80), (20, 300), (150, 211), (120, 200)]

    def frame(hw: tuple[int, int]) -> tuple[Any, Any]:
        if on_device:
            return resident((*hw, 3)), resident(hw)
        return np.zeros((*hw, 3), np.uint8), np.full(hw, 128, np.uint8)

    with Matter(OnDevice(Idle(), cuda)) as matter:
        for _ in matter.sequence([frame((20, 300)), *map(frame, sizes)], allow_no_unknown=True):
            pass
        driver.since()
        for _ in matter.sequence(map(frame, sizes * 2), allow_no_unknown=True):
            pass
        calls = Counter(call[0] for call in driver.since())
    memory = {
        name: count for name, count in calls.items() if name.startswith("cuMem") and ("Alloc" in name or "Free" in name)
    }
    frames = 2 * len(sizes)
    assert memory == ({"cuMemAllocFromPoolAsync": frames, "cuMemFreeAsync": frames} if on_device else {})


@pytest.mark.parametrize("pooled", [True, False])
def test_whoever_calls_keeps_the_context_that_was_current(driver: Driver, pooled: bool) -> None:
    """A library's own context, before and after, and after what fails; and ours while we call the driver."""
    driver.pinned, driver.pools = True, pooled
    photo = np.zeros((90, 80, 3), np.uint8), np.full((90, 80), 128, np.uint8)
    with Matter(OnDevice(Idle(), open_cuda(1))) as matter:
        assert driver.contexts == [CALLERS]
        matter(*photo)
        assert driver.contexts == [CALLERS]
        sequence = matter.sequence([photo, (resident((90, 80, 3)), resident((90, 80))), photo])
        next(sequence)
        assert driver.contexts == [CALLERS]
        sequence.close()  # type: ignore[attr-defined]  # it is a generator
        matter.engine.run(*(np.zeros((2, channels, 64, 64), np.float32) for channels in (3, 3, 2)))
        driver.failing = {"cuMemcpyHtoDAsync"}
        with pytest.raises(DeviceError, match="cuMemcpyHtoDAsync"):
            matter(*photo)
        assert driver.contexts == [CALLERS]
    assert driver.contexts == [CALLERS]


@pytest.mark.parametrize("trimap_on_device", [False, True], ids=["host", "device"])
def test_a_photo_is_on_its_way_before_it_is_planned(driver: Driver, trimap_on_device: bool) -> None:
    """The copy is asked for, and nothing waits for it until the plan is made; then the patches follow."""
    driver.pinned = True
    with Matter(OnDevice(Idle(), open_cuda(1))) as matter:
        place = matter._plan

        def noted(*arguments: Any) -> Any:
            driver.calls.append(("plan",))
            return place(*arguments)

        matter._plan = noted  # type: ignore[assignment]
        trimap = resident((90, 80)) if trimap_on_device else np.full((90, 80), 128, np.uint8)
        driver.since()
        matter(np.zeros((90, 80, 3), np.uint8), trimap, allow_no_unknown=True)  # the stand-in computes no mask
        calls = driver.since()
    names = [call[0] for call in calls if call[0].startswith(("cuMemcpy", "cuStream", "cuEvent", "plan"))]
    before = [name for name in names[: names.index("plan")] if not name.endswith("Create")]
    assert before == (
        # the mask comes down, and is all that is waited for, beside the photo that goes up
        ["cuMemcpyDtoHAsync", "cuEventRecord", "cuMemcpyHtoDAsync", "cuEventSynchronize"]
        if trimap_on_device
        else ["cuMemcpyHtoDAsync"]
    )
    first = next(call for call in calls if call[0] == "cuMemcpyHtoDAsync")
    assert first[3] == 90 * 80 * (3 if trimap_on_device else 4)


def test_what_is_dropped_is_freed_at_once(driver: Driver) -> None:
    """Nothing of a Matter refers back to it, so that its memory does not wait for Python's collector."""
    driver.pinned = True
    matter = Matter(OnDevice(Idle(), open_cuda(1)))
    matter(np.zeros((90, 80, 3), np.uint8), np.full((90, 80), 128, np.uint8))
    made = Counter(call[0] for call in driver.since())
    gc.disable()
    del matter
    gc.enable()
    freed = Counter(call[0] for call in driver.since())
    assert freed["cuMemFree"] == made["cuMemAlloc"] > 0
    assert freed["cuMemFreeHost"] == made["cuMemHostAlloc"]
    assert freed["cuStreamDestroy"] == made["cuStreamCreate"]
