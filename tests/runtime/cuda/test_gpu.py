"""The protocol and the kernels on a real device."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from litematting_deploy.errors import DependencyError, DeviceError
from litematting_deploy.matting.patches import Plan, plan_grid
from litematting_deploy.matting.refine import refine
from litematting_deploy.runtime.cuda import open_cuda
from litematting_deploy.runtime.cuda.protocol import Cuda
from tests.runtime.cuda.host import HostCuda
from tests.runtime.cuda.planes import SIZES, Bench, real, scattered
from tests.runtime.test_device_refining import drawn, on

pytestmark = pytest.mark.gpu

RNG = np.random.default_rng(5)


@pytest.fixture
def cuda() -> Iterator[Cuda]:
    try:
        opened = open_cuda(0)
    except (DeviceError, DependencyError) as error:
        pytest.skip(str(error))
    with opened.active():
        yield opened


def test_it_says_what_it_is(cuda: Cuda) -> None:
    assert cuda.index == 0
    assert cuda.gpu
    assert cuda.capability >= (7, 5)
    with pytest.raises(DeviceError, match="no CUDA device 99: "):
        open_cuda(99)


def test_copies_up_and_down(cuda: Cuda) -> None:
    stream, buffer = cuda.stream(), cuda.buffer(1000)
    source = RNG.integers(0, 256, 1000, np.uint8)
    target = np.zeros(990, np.uint8)
    cuda.upload(buffer.address, source, stream)
    cuda.zero(buffer.address + 100, 50, stream)
    cuda.download(target, buffer.address + 10, stream)
    stream.synchronize()
    source[100:150] = 0
    np.testing.assert_array_equal(target, source[10:])
    assert buffer.nbytes == 1000
    buffer.free()


def test_streams_overlap_and_wait_for_events(cuda: Cuda) -> None:
    size = 1 << 27
    up, down, uploaded = cuda.stream(), cuda.stream(), cuda.event()
    assert up.handle != down.handle
    buffer, source, target = cuda.buffer(size), cuda.pinned(size), cuda.pinned(size)
    for value in (1, 2, 3):
        source.bytes[:] = value
        for _ in range(20):
            cuda.zero(buffer.address, size, up)
        cuda.upload(buffer.address, source.bytes, up)
        uploaded.record(up)
        down.wait(uploaded)
        cuda.download(target.bytes, buffer.address, down)
        down.synchronize()
        assert (target.bytes == value).all()
    for memory in (buffer, source, target):
        memory.free()


def test_events_measure_milliseconds(cuda: Cuda) -> None:
    stream, buffer = cuda.stream(), cuda.buffer(1 << 26)
    first, last = cuda.event(timing=True), cuda.event(timing=True)
    first.record(stream)
    for _ in range(10):
        cuda.zero(buffer.address, buffer.nbytes, stream)
    last.record(stream)
    last.synchronize()
    assert 0 < last.milliseconds_since(first) < 1000
    cuda.synchronize()


def test_failures_have_the_drivers_words(cuda: Cuda) -> None:
    with pytest.raises(DeviceError, match=r"cuMemAlloc.*: out of memory"):
        cuda.buffer(1 << 50)
    with pytest.raises(DeviceError, match="cuModuleGetFunction"):
        cuda.module('extern "C" __global__ void there() {}').kernel("elsewhere")
    with pytest.raises(DeviceError, match="does not compile"):
        cuda.module("nonsense")


def test_another_thread(cuda: Cuda) -> None:
    said: list[str] = []

    def work() -> None:
        with pytest.raises(DeviceError, match="context"):
            cuda.synchronize()
        with cuda.active():
            stream, buffer = cuda.stream(), cuda.buffer(10)
            cuda.zero(buffer.address, 10, stream)
            stream.synchronize()
        with pytest.raises(DeviceError, match="context"):  # as it was before
            cuda.synchronize()
        said.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == ["done"]


@pytest.mark.parametrize("padding", ["edge", "background"])
@pytest.mark.parametrize("hw", SIZES, ids=str)
def test_kernels_have_the_bits_of_the_host(cuda: Cuda, host_cuda: HostCuda, hw: tuple[int, int], padding: Any) -> None:
    image, trimap = RNG.integers(0, 256, (*hw, 3), np.uint8), scattered(hw)
    plan = plan_grid(trimap, (33, 46), step=13, padding=padding)
    around = None if padding == "edge" else 0
    corners = np.array([*plan.corners_yx, (-1, -1)], np.int32)
    alphas = RNG.normal(0.5, 0.4, (len(corners), *plan.patch_hw)).astype(np.float32)
    results = []
    for bench in (Bench(cuda), Bench(host_cuda)):
        pixels, known = bench.padded(image, plan, None), bench.padded(trimap, plan, around)
        inputs = bench.gathered(pixels, known, corners, plan)
        guide = inputs.pop("guide")
        finished = [
            bench.stitched(alphas, corners, known, plan, dtype, truncate)
            for dtype in (np.float32, np.uint8, np.uint16)
            for truncate in (False, True)
        ]
        exact = [pixels, known, bench.squared(known), *inputs.values(), *(alpha for alpha, _ in finished)]
        results.append((exact, guide, [bad for _, bad in finished]))
    (here, guide_here, bad_here), (there, guide_there, bad_there) = results
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(guide_here, guide_there, rtol=5e-7, atol=0)  # expf may differ in its last bits
    assert bad_here == bad_there == [0] * 6


def test_kernels_on_a_photo(cuda: Cuda, host_cuda: HostCuda) -> None:
    np.testing.assert_array_equal(Bench(cuda).squared(real()), Bench(host_cuda).squared(real()))


def test_planes_of_more_than_two_billion_bytes(cuda: Cuda) -> None:
    hw = (27000, 27001)
    bench = Bench(cuda)
    try:
        source, target = bench.room(3 * hw[0] * hw[1]), bench.room(3 * hw[0] * hw[1])
    except DeviceError:
        pytest.skip("needs 4.4 GB of device memory")
    last, offset = RNG.integers(0, 256, 300, np.uint8), 3 * hw[0] * hw[1] - 300
    cuda.upload(source + offset, last, bench.stream)
    plan = Plan(hw, hw, (0, 0), (32, 32), (), 0)
    bench.kernels.pad(bench.stream, source, target, plan, channels=3, constant=None)
    np.testing.assert_array_equal(bench.get(target + offset, (300,), np.uint8), last)


class Counter:
    """Adds 1 to a plane of 64 pixels per run."""

    def __init__(self, cuda: Cuda) -> None:
        self.bench = bench = Bench(cuda)
        self.total, weight, bad = (bench.put(np.zeros(size, np.int32)) for size in (64, 64, 1))
        trimap = bench.put(np.full((8, 8), 128, np.uint8))
        plan = Plan((8, 8), (8, 8), (0, 0), (8, 8), ((0, 0),), 1)
        corners = np.zeros((1, 2), np.int32)
        batch = bench.batch(plan, corners, trimap=trimap, total=self.total, weight=weight, bad=bad)
        self._arguments = (bench.stream, batch, bench.put(np.ones((1, 8, 8), np.float32)), plan.patch_hw, 1)

    def __call__(self) -> None:
        self.bench.kernels.accumulate(*self._arguments)

    @property
    def count(self) -> float:
        return float(self.bench.get(self.total, (8, 8), np.float32)[3, 3] * 5 / 4)


def test_a_graph_runs_when_it_is_launched(cuda: Cuda) -> None:
    work = Counter(cuda)
    graph = cuda.capture(work.bench.stream, work)
    assert work.count == 0
    for _ in range(3):
        graph.launch(work.bench.stream)
    assert work.count == pytest.approx(3)
    graph.launch(cuda.stream())
    cuda.synchronize()
    assert work.count == pytest.approx(4)
    graph.free()
    graph.free()


def test_memory_may_be_made_and_freed_while_recording(cuda: Cuda) -> None:
    work = Counter(cuda)

    def untidy() -> None:
        work()
        cuda.buffer(1000).free()
        work()

    graph = cuda.capture(work.bench.stream, untidy)
    graph.launch(work.bench.stream)
    assert work.count == pytest.approx(2)


def test_a_failed_recording_leaves_the_stream_usable(cuda: Cuda) -> None:
    work = Counter(cuda)
    stream = work.bench.stream

    def raises() -> None:
        work()
        raise KeyError("of the work")

    def waits() -> None:
        work()
        stream.synchronize()

    def waits_and_hides_it() -> None:
        try:
            waits()
        except DeviceError:
            work()

    with pytest.raises(KeyError, match="of the work"):
        cuda.capture(stream, raises)
    with pytest.raises(DeviceError, match=r"cuStreamSynchronize: .*captur"):
        cuda.capture(stream, waits)
    with pytest.raises(DeviceError, match="captur"):
        cuda.capture(stream, waits_and_hides_it)
    assert work.count == 0
    work()
    assert work.count == pytest.approx(1)
    graph = cuda.capture(stream, work)
    graph.launch(stream)
    assert work.count == pytest.approx(2)


@pytest.mark.parametrize("tile", [96, 2048])
def test_refined_alphas_are_the_hosts(cuda: Cuda, tile: int) -> None:
    scene = drawn()
    assert np.abs(on(cuda, scene, tile) - refine(*scene)).max() < 1 / 255
