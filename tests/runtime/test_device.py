"""Crop-and-stitch on a device, proved on the host: the same pipeline and kernels, run by a C++ compiler's loops."""

import ctypes
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from litematting_deploy import Matter, load_engine
from litematting_deploy.engines import DeviceArtefact, DeviceEngine, Engine, Gpu
from litematting_deploy.engines.base import CHANNELS
from litematting_deploy.engines.device import checked_batch
from litematting_deploy.errors import ArtefactError, DeviceError, InputError, UsageError
from litematting_deploy.images.mask import read_trimap
from litematting_deploy.images.photo import read_image
from litematting_deploy.runtime.cuda.arrays import DeviceArray
from litematting_deploy.runtime.cuda.kernels import Kernels
from litematting_deploy.runtime.on_device import OnDevice
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP
from tests.runtime.cuda.host import HostCuda
from tests.runtime.test_matter import IMAGE, RNG, TRIMAP, RedIsAlpha


def at(address: int, shape: tuple[int, ...]) -> Any:
    """float32 host memory as an array."""
    count = int(np.prod(shape))
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address)).reshape(shape)


class ByAddress(DeviceEngine, DeviceArtefact):
    """A host engine that is given addresses, as those of a GPU are."""

    name, device, version = "by-address", "cuda:0", "0"
    capturable, device_bytes = True, 1000

    def __init__(self, engine: Engine) -> None:
        self.engine, self.patch_hw, self.precision = engine, engine.patch_hw, engine.precision
        self.calls = 0

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        assert gpu.stream
        self.batch = checked_batch(batch, self.engine.batch, self.name)
        return self

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        self.calls += 1
        assert (count is None) == (self.least is None)
        arrays = {name: at(addresses[name], (count or self.batch, CHANNELS[name], *self.patch_hw)) for name in CHANNELS}
        alpha = arrays.pop("alpha")
        alpha[:] = self.engine._run(**{name: array.copy() for name, array in arrays.items()})

    def close(self) -> None:
        self.engine.close()


@pytest.fixture
def on_device(host_cuda: HostCuda) -> Callable[..., OnDevice]:
    def make(engine: Engine, batch: int | None = None) -> OnDevice:
        return OnDevice(ByAddress(engine), host_cuda, batch)

    return make


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("patch_hw", [(64, 64), (32, 96), (160, 224), (64, 256)], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"step": 13}, {"plan": "adaptive"}, {"plan": "adaptive", "margin": 15}], ids=str
)
def test_equals_the_host_to_the_bit(
    on_device: Callable[..., OnDevice], patch_hw: tuple[int, int], options: dict[str, Any], batch: int
) -> None:
    wanted = Matter(RedIsAlpha(patch_hw), **options)(IMAGE, TRIMAP)
    with Matter(on_device(RedIsAlpha(patch_hw), batch), **options) as matter:
        np.testing.assert_array_equal(matter(IMAGE, TRIMAP), wanted)


@pytest.mark.parametrize("hw", [(1, 1), (1, 300), (33, 2)], ids=str)
def test_images_smaller_than_a_patch(on_device: Callable[..., OnDevice], hw: tuple[int, int]) -> None:
    image, trimap = RNG.integers(0, 256, (*hw, 3), np.uint8), np.full(hw, 128, np.uint8)
    with Matter(on_device(RedIsAlpha())) as matter:
        np.testing.assert_array_equal(matter(image, trimap), Matter(RedIsAlpha())(image, trimap))


def test_the_engine_sees_what_it_sees_on_the_host(on_device: Callable[..., OnDevice]) -> None:
    here, there = RedIsAlpha(), RedIsAlpha()
    Matter(here, batch=4)(IMAGE, TRIMAP)
    Matter(on_device(there, 4))(IMAGE, TRIMAP)
    assert len(here.calls) == len(there.calls)
    for one, other in zip(here.calls, there.calls, strict=True):
        count = len(one["image"])
        for name in ("image", "trimap"):
            np.testing.assert_array_equal(other[name][:count], one[name])
        np.testing.assert_allclose(other["guide"][:count], one["guide"], atol=2e-7)
        assert not any(array[count:].any() for array in other.values())


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("published", [False, True])
def test_levels(on_device: Callable[..., OnDevice], dtype: Any, top: int, published: bool) -> None:
    engine = RedIsAlpha((640, 640))
    wanted = Matter(engine, published=published)(IMAGE, TRIMAP, dtype=dtype)
    with Matter(on_device(engine), published=published) as matter:
        found = matter(IMAGE, TRIMAP, dtype=dtype)
    assert found.dtype == dtype
    assert found.max() == top
    np.testing.assert_array_equal(found, wanted)


def test_the_network_itself(on_device: Callable[..., OnDevice], small_onnx: Path) -> None:
    image, trimap = read_image(EXAMPLE)[::4, ::4].copy(), read_trimap(EXAMPLE_TRIMAP)[::4, ::4].copy()
    with Matter.load(small_onnx, step=48) as matter:
        wanted = matter(image, trimap, dtype=np.uint8)
    with Matter(on_device(load_engine(small_onnx), 4), step=48) as matter:
        found = matter(image, trimap, dtype=np.uint8)
    difference = np.abs(found.astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.99


def test_a_photo_is_one_warm_up_and_then_one_graph(host_cuda: HostCuda) -> None:
    engine = ByAddress(RedIsAlpha(batch=2))
    before = host_cuda.captures
    with Matter(OnDevice(engine, host_cuda), step=32) as matter:
        plan = matter.plan(TRIMAP)
        for _ in range(2):
            matter(IMAGE, TRIMAP)
    assert engine.calls == 2 * -(-len(plan.corners_yx) // 2)
    assert host_cuda.captures == before + 1


def test_one_graph_gathers_runs_and_accumulates(host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is recorded, a batch is the copy of its record and the launch of the graph, whatever the photo."""
    photos = [(RNG.integers(0, 256, (*hw, 3), np.uint8), np.full(hw, 128, np.uint8)) for hw in ((90, 99), (200, 70))]
    calls: list[str] = []
    with Matter(OnDevice(ByAddress(RedIsAlpha(batch=2)), host_cuda), step=32) as matter:
        for _ in range(2):
            matter(*photos[0])
        for name in ("copy", "capture"):
            monkeypatch.setattr(host_cuda, name, noted(calls, name, getattr(host_cuda, name)))
        for name in ("gather", "accumulate"):
            monkeypatch.setattr(Kernels, name, noted(calls, name, getattr(Kernels, name)))
        for photo in photos:
            calls.clear()
            np.testing.assert_array_equal(matter(*photo), Matter(RedIsAlpha(), step=32)(*photo))
            runs = -(-len(matter.plan(photo[1]).corners_yx) // 2)
            assert calls == ["copy", "gather", "accumulate"] * runs  # the host's graph plays its calls again


def noted(calls: list[str], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def note(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return call(*arguments, **options)

    return note


def test_an_engine_that_cannot_be_recorded_is_called_every_time(host_cuda: HostCuda) -> None:
    engine, before = ByAddress(RedIsAlpha()), host_cuda.captures
    engine.capturable = False
    with Matter(OnDevice(engine, host_cuda, 4), step=64) as matter:
        np.testing.assert_array_equal(matter(IMAGE, TRIMAP), Matter(RedIsAlpha(), step=64)(IMAGE, TRIMAP))
    assert (engine.calls, host_cuda.captures) == (3, before)


def test_progress_and_memory(on_device: Callable[..., OnDevice]) -> None:
    steps: list[tuple[int, int]] = []
    with Matter(on_device(RedIsAlpha(), 5), step=64) as matter:
        matter(IMAGE, TRIMAP, lambda done, total: steps.append((done, total)))
        memory = matter.device_memory(matter.plan(TRIMAP))
    assert steps == [(5, 12), (10, 12), (12, 12)]
    assert memory is not None
    pixels = IMAGE.shape[0] * IMAGE.shape[1]
    assert memory.image == pixels * (3 + 1 + 4 + 14) + 256 + (3 + 1) * (56 + 5 * 8)
    assert memory.engine_io == 5 * 9 * 64 * 64 * 4
    assert memory.engine == 1000
    assert str(memory) == "1 MB: planes of the image 1 MB, inputs and output of a batch 1 MB, engine 0 MB"
    unknown = dataclasses.replace(memory, engine=None)
    assert str(unknown).endswith("engine whatever its library takes")
    assert str(unknown).startswith("1 MB and more: ")
    assert Matter(RedIsAlpha()).device_memory(matter.plan(TRIMAP)) is None


def test_memory_is_what_was_promised_and_is_given_back(host_cuda: HostCuda) -> None:
    held = host_cuda.held_bytes
    matter = Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda))
    matter(IMAGE, TRIMAP)
    memory = matter.device_memory(matter.plan(TRIMAP))
    assert memory is not None
    assert host_cuda.held_bytes - held == memory.image + memory.engine_io
    matter.close()
    assert host_cuda.held_bytes == held


def test_a_smaller_photo_is_for_engines_on_the_host(on_device: Callable[..., OnDevice]) -> None:
    engine = on_device(RedIsAlpha())
    with pytest.raises(UsageError, match="works on a CUDA device, where the network takes little time; use `quality="):
        Matter(engine, quality="fast")
    with Matter(engine, quality="best") as matter:
        assert matter.placement.endswith(", refined")


def test_a_sequence_of_changing_sizes(on_device: Callable[..., OnDevice]) -> None:
    sizes = [(150, 211), (90, 80), (20, 30), (150, 211), (151, 211)]
    frames = [
        (RNG.integers(0, 256, (*hw, 3), np.uint8), RNG.choice(np.array([0, 128, 255], np.uint8), hw)) for hw in sizes
    ]
    wanted = list(Matter(RedIsAlpha()).sequence(frames))
    with Matter(on_device(RedIsAlpha())) as matter:
        for found, alpha in zip(matter.sequence(iter(frames)), wanted, strict=True):
            np.testing.assert_array_equal(found, alpha)
        next(iter(matter.sequence(frames)))  # given up in the middle
        np.testing.assert_array_equal(matter(*frames[1]), wanted[1])
        assert not list(matter.sequence([]))


def test_nothing_unknown_runs_nothing(on_device: Callable[..., OnDevice]) -> None:
    engine = RedIsAlpha()
    trimap = np.where(TRIMAP == 128, np.uint8(255), TRIMAP)
    with Matter(on_device(engine)) as matter:
        np.testing.assert_array_equal(matter(IMAGE, trimap, allow_no_unknown=True), trimap / 255)
        assert not engine.calls


class Resident:
    """A host array that says it lies on the device, as the host's device does."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = array.__array_interface__ | {"version": 3, "stream": None}


def test_device_arrays_in_and_out(on_device: Callable[..., OnDevice]) -> None:
    wanted = Matter(RedIsAlpha())(IMAGE, TRIMAP)
    with Matter(on_device(RedIsAlpha())) as matter:
        alpha = matter(Resident(IMAGE), Resident(TRIMAP))
        assert isinstance(alpha, DeviceArray)
        np.testing.assert_array_equal(at(alpha.address, alpha.shape), wanted)
        np.testing.assert_array_equal(matter(Resident(IMAGE), TRIMAP), wanted)
        np.testing.assert_array_equal(matter(IMAGE, Resident(TRIMAP)), wanted)
        with pytest.raises(InputError, match="image is 211x150, trimap 10x150"):
            matter(Resident(IMAGE), Resident(np.ascontiguousarray(TRIMAP[:, :10])))
        with pytest.raises(InputError, match="this one also contains 7"):
            matter(Resident(IMAGE), Resident(np.full_like(TRIMAP, 7)))


def test_as_an_engine_it_takes_host_arrays(on_device: Callable[..., OnDevice], small_onnx: Path) -> None:
    inputs = {name: RNG.random((3, CHANNELS[name], 64, 64), np.float32) for name in ("image", "trimap", "guide")}
    with load_engine(small_onnx) as host, on_device(load_engine(small_onnx), 4) as device:
        np.testing.assert_allclose(device.run(**inputs), host.run(**inputs), atol=1e-4)
        assert device.describe() == "by-address 0 on cuda:0, 64x64 fp32, 4 patches at a time on the host"


@pytest.mark.parametrize("hw", [(150, 211), (20, 30), (64, 300)], ids=str)
@pytest.mark.parametrize("options", [{}, {"step": 20}], ids=["adaptive", "grid"])
def test_only_a_bit_a_pixel_of_a_trimap_comes_down(
    host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch, hw: tuple[int, int], options: dict[str, Any]
) -> None:
    image, trimap = RNG.integers(0, 256, (*hw, 3), np.uint8), RNG.choice(np.array([0, 128, 255], np.uint8), hw)
    down: list[int] = []
    download = host_cuda.download

    def counted(target: Any, address: int, stream: Any) -> None:
        down.append(target.nbytes)
        download(target, address, stream)

    with Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda), **options) as matter:
        monkeypatch.setattr(host_cuda, "download", counted)
        alpha = matter(Resident(image), Resident(trimap[..., None]))
        np.testing.assert_array_equal(at(alpha.address, hw), Matter(RedIsAlpha(), **options)(image, trimap))
    assert down == [256 + hw[0] * -(-hw[1] // 8), 256]


@pytest.mark.parametrize("least", [1, 2])
def test_a_run_computes_the_patches_that_are_left(host_cuda: HostCuda, least: int) -> None:
    """An engine that takes fewer patches than a batch computes no others, and a graph is of one number of patches."""
    inner = RedIsAlpha()
    engine, before = ByAddress(inner), host_cuda.captures
    engine.least = least
    with Matter(OnDevice(engine, host_cuda, 5), step=64) as matter:
        for _ in range(3):
            np.testing.assert_array_equal(matter(IMAGE, TRIMAP), Matter(RedIsAlpha(), step=64)(IMAGE, TRIMAP))
        assert [len(call["image"]) for call in inner.calls] == [5, 5, 2] * 3
        spots = np.zeros_like(TRIMAP)
        spots[5, 5] = 128
        matter(IMAGE, spots)
        assert len(inner.calls[-1]["image"]) == least
    assert host_cuda.captures == before + 3 + (least == 2)  # the second run of 5 in each photo, and of 2 after a tail


class OneContext(ByAddress):
    """Has one context, as an engine of TensorRT. changes: of the number of patches that it computes."""

    least, changes, count = 1, 0, 0

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        if count != self.count:
            self.count, self.changes = count or 0, self.changes + 1
        super().enqueue(addresses, stream, count)


def test_no_graph_is_launched_after_its_context_changed(host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changed it: TensorRT does not define what such a graph computes."""
    engine, capture, launched = OneContext(RedIsAlpha()), host_cuda.capture, []

    def recorded(stream: Any, work: Callable[[], None]) -> Any:
        graph, changes = capture(stream, work), engine.changes

        def launch(stream: Any) -> None:
            assert engine.changes == changes
            launched.append(engine.count)
            graph.launch(stream)

        return SimpleNamespace(launch=launch, free=graph.free)

    monkeypatch.setattr(host_cuda, "capture", recorded)
    wanted = Matter(RedIsAlpha(), step=64)(IMAGE, TRIMAP)
    inputs = {name: np.zeros((5, CHANNELS[name], 64, 64), np.float32) for name in ("image", "trimap", "guide")}
    with OnDevice(engine, host_cuda, 5) as shared:
        first, second = Matter(shared, step=64), Matter(shared, step=64)
        for matter in (first, first, second, first, second):
            np.testing.assert_array_equal(matter(IMAGE, TRIMAP), wanted)
            for _ in range(2):
                shared.run(**inputs)
    assert launched == [5] * 10


def test_one_patch_at_a_time_unless_told_otherwise(on_device: Callable[..., OnDevice]) -> None:
    assert on_device(RedIsAlpha()).batch == 1


class Slow(ByAddress):
    """Takes a while, in which other threads go on."""

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        time.sleep(0.002)
        super().enqueue(addresses, stream, count)


def test_threads_share_a_matter(host_cuda: HostCuda) -> None:
    photos = [(RNG.integers(0, 256, (90 + 9 * n, 99, 3), np.uint8), np.full((90 + 9 * n, 99), 128)) for n in range(4)]
    wanted = [Matter(RedIsAlpha())(*photo) for photo in photos]
    found: dict[int, list[Any]] = {}
    with Matter(OnDevice(Slow(RedIsAlpha()), host_cuda)) as matter:

        def work(index: int) -> None:
            found[index] = [matter(*photos[index]) for _ in range(3)]
            found[index] += matter.sequence([photos[index]] * 3)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(photos))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for index, alpha in enumerate(wanted):
        assert len(found[index]) == 6
        for other in found[index]:
            np.testing.assert_array_equal(other, alpha)


class Unclamped(RedIsAlpha):
    """Leaves the clamp to the stitching; not a number where red is black."""

    def _run(self, image: Any, trimap: Any, guide: Any) -> Any:
        red = super()._run(image, trimap, guide)
        return np.where(red == 0, np.float32(np.nan), red * np.float32(3) - np.float32(1))


def test_an_engine_may_leave_the_clamp_to_the_stitching(on_device: Callable[..., OnDevice]) -> None:
    """So that no clamp can hide what is not finite."""
    image = np.maximum(IMAGE, 1)
    red = image[..., 0] / np.float32(255)
    wanted = np.where(TRIMAP == 128, np.clip(red * 3 - 1, 0, 1), TRIMAP == 255)
    for engine in (Unclamped(), on_device(Unclamped())):
        with Matter(engine) as matter:
            np.testing.assert_allclose(matter(image, TRIMAP), wanted, atol=2e-6)
            with pytest.raises(ArtefactError, match="alpha of this image contains NaN or infinity"):
                matter(np.zeros_like(IMAGE), TRIMAP)


class Broken(RedIsAlpha):
    def _run(self, image: Any, trimap: Any, guide: Any) -> Any:
        return np.full_like(image[:, :1], np.nan) + trimap[:, :1] + guide[:, :1]


def test_what_is_not_finite_is_not_stitched(on_device: Callable[..., OnDevice]) -> None:
    with (
        Matter(on_device(Broken())) as matter,
        pytest.raises(ArtefactError, match="by-address: the alpha of this image contains NaN or infinity"),
    ):
        matter(IMAGE, TRIMAP)


def test_too_little_memory_says_how_much_is_needed(
    on_device: Callable[..., OnDevice], host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(nbytes: int, *_: Any) -> Any:
        raise DeviceError(f"cuMemAlloc of {nbytes}: out of memory")

    with Matter(on_device(RedIsAlpha())) as matter:
        monkeypatch.setattr(host_cuda, "buffer", full)
        with pytest.raises(DeviceError, match=r"out of memory; a photo of 211x150 needs 1 MB .*`device=cpu`"):
            matter(IMAGE, TRIMAP)
