"""Refinement by the kernels, on the host and on a device that works late, beside NumPy's and OpenCV's."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import DeviceError, UsageError
from litematting_deploy.images.mask import read_trimap
from litematting_deploy.images.photo import read_image
from litematting_deploy.matting.patches import to_levels
from litematting_deploy.matting.refine import refine
from litematting_deploy.runtime import Matter
from litematting_deploy.runtime.cuda.arrays import DeviceArray
from litematting_deploy.runtime.cuda.kernels import Kernels
from litematting_deploy.runtime.device_refining import DeviceRefiner, Matte
from litematting_deploy.runtime.on_device import OnDevice
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP
from tests.matting.test_refine import blurred, strands
from tests.runtime.cuda.host import HostCuda
from tests.runtime.cuda.lazy import LazyCuda
from tests.runtime.test_device import ByAddress, Resident, at
from tests.runtime.test_device_order import LateEngine
from tests.runtime.test_matter import IMAGE, TRIMAP, RedIsAlpha

Floats = NDArray[np.float32]
Scene = tuple[NDArray[np.uint8], NDArray[np.uint8], Floats]


def drawn(height: int = 240, width: int = 320, unknown: str = "band") -> Scene:
    image, trimap, alpha = strands(height, width)
    if unknown == "all":
        trimap[:] = 128
    elif unknown == "none":
        trimap[trimap == 128] = 0
    elif unknown == "two spots":
        trimap[trimap == 128] = 0
        trimap[40:61, 90:140] = trimap[-30:-9, -40:-17] = 128
    return image, trimap, blurred(alpha, 2)


def dandelion() -> Scene:
    """The example, at a quarter of its size."""
    image, trimap = read_image(EXAMPLE)[::4, ::4].copy(), read_trimap(EXAMPLE_TRIMAP)[::4, ::4].copy()
    rough = cv2.GaussianBlur(image[:, :, 1], (0, 0), 2).astype(np.float32) / np.float32(255)
    return image, trimap, rough


def on(cuda: Any, scene: Scene, tile: int = 2048, dtype: Any = np.float32, told: Any = None) -> NDArray[Any]:
    """What a device refines, whose alpha has known pixels as the trimap has them."""
    image, trimap, alpha = scene
    alpha = np.where(trimap == 128, alpha, trimap == 255).astype(np.float32)
    places, stream = [], cuda.stream()
    for plane in (image, trimap, alpha):
        places.append(cuda.buffer(plane.nbytes))
        cuda.upload(places[-1].address, np.ascontiguousarray(plane), stream)
    stream.synchronize()
    given = [int(place.address) for place in places]
    matte = Matte(given[0], given[1], given[2], (trimap.shape[0], trimap.shape[1]))
    refined = DeviceRefiner(cuda, Kernels(cuda), tile)(matte, np.dtype(dtype), told)
    found = np.empty(trimap.shape, dtype)
    cuda.download(found, refined.address, stream)
    stream.synchronize()
    for place in (*places, refined):
        place.free()
    return found


@pytest.mark.parametrize("tile", [96, 2048])
@pytest.mark.parametrize(
    "scene",
    [
        *(drawn, dandelion, lambda: drawn(203, 251), lambda: drawn(203, 251, "all")),
        *(lambda: drawn(203, 251, "two spots"), lambda: drawn(19, 300, "all")),
    ],
    ids=["drawn", "photo", "odd", "all unknown", "two spots", "narrow"],
)
def test_alphas_are_the_hosts(host_cuda: HostCuda, scene: Callable[[], Scene], tile: int) -> None:
    before, given = host_cuda.held_bytes, scene()
    wanted, steps = refine(*given), []
    found = on(host_cuda, given, tile, told=lambda done, total: steps.append((done, total)))
    assert np.abs(found - wanted).max() < 1 / 255
    assert np.abs(wanted - given[2])[given[1] == 128].max() > 0.1
    known = given[1] != 128
    np.testing.assert_array_equal(found[known], given[1][known] / 255)
    assert steps == [(number + 1, steps[-1][1]) for number in range(steps[-1][1])]
    assert (len(steps) > 4) == (tile == 96)
    assert host_cuda.held_bytes == before


@pytest.mark.parametrize("hw", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 1), (17, 3)], ids=str)
def test_small_and_narrow_photos(host_cuda: HostCuda, hw: tuple[int, int]) -> None:
    prior = np.full(hw, 0.25, np.float32)
    scene = np.full((*hw, 3), 9, np.uint8), np.full(hw, 128, np.uint8), prior
    np.testing.assert_allclose(on(host_cuda, scene), prior, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.uint16])
def test_without_unknown_pixels(host_cuda: HostCuda, dtype: Any) -> None:
    scene = drawn(203, 251, "none")
    wanted = scene[1] / np.float32(255) * (1 if dtype == np.float32 else np.iinfo(dtype).max)
    np.testing.assert_array_equal(on(host_cuda, scene, dtype=dtype), wanted)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_levels(host_cuda: HostCuda, dtype: Any) -> None:
    scene = drawn(61, 75)
    np.testing.assert_array_equal(on(host_cuda, scene, dtype=dtype), to_levels(on(host_cuda, scene), dtype))


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_used_before_it_is_there_or_after_it_is_freed(host_cuda: HostCuda, seed: int) -> None:
    scene = drawn(61, 75)
    found = on(LazyCuda(host_cuda.folder, seed), scene, 32, np.uint16)
    np.testing.assert_array_equal(found, on(host_cuda, scene, 32, np.uint16))


@pytest.mark.parametrize("seed", range(4))
def test_a_sequence_works_on_no_other_frame(host_cuda: HostCuda, seed: int) -> None:
    """The network of the next frame is on its way while an alpha is refined."""
    cuda, frames = (
        LazyCuda(host_cuda.folder, seed),
        [(IMAGE[:70, n : n + 90], TRIMAP[:70, n : n + 90]) for n in range(4)],
    )
    with Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda), refine=True) as matter:
        wanted = list(matter.sequence(frames))
    with Matter(OnDevice(LateEngine(cuda), cuda, 2), refine=True) as matter:
        np.testing.assert_array_equal(list(matter.sequence(frames)), wanted)
        on_device = [tuple(Resident(np.ascontiguousarray(plane)) for plane in frame) for frame in frames]
        for alpha, there in zip(matter.sequence(on_device), wanted, strict=True):  # type: ignore[arg-type]
            np.testing.assert_array_equal(at(alpha.address, alpha.shape), there)


@pytest.mark.parametrize(("hw", "tile"), [((1, 1), 2048), ((203, 251), 2048), ((301, 470), 64)], ids=str)
def test_it_takes_no_more_memory_than_it_says(
    host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch, hw: tuple[int, int], tile: int
) -> None:
    buffer, seen, before = host_cuda.buffer, [0], host_cuda.held_bytes

    def counted(nbytes: int, stream: Any = None) -> Any:
        found = buffer(nbytes, stream)
        seen.append(host_cuda.held_bytes - before)
        return found

    monkeypatch.setattr(host_cuda, "buffer", counted)
    on(host_cuda, (np.zeros((*hw, 3), np.uint8), np.full(hw, 128, np.uint8), np.zeros(hw, np.float32)), tile)
    own, most = 8 * hw[0] * hw[1], DeviceRefiner(host_cuda, Kernels(host_cuda), tile).most_bytes(hw)
    assert 0.9 * most < max(seen) - own <= most
    assert host_cuda.held_bytes == before


@pytest.fixture
def matter(host_cuda: HostCuda) -> Any:
    with Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda), refine=True) as matter:
        yield matter


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_host_arrays_in_and_out(matter: Matter, dtype: str) -> None:
    wanted = Matter(RedIsAlpha(), refine=True)(IMAGE, TRIMAP, dtype=dtype)
    steps: list[float] = []
    found = matter(IMAGE, TRIMAP, lambda done, total: steps.append(done / total), dtype=dtype)
    both = list(matter.sequence([(IMAGE, TRIMAP)] * 2, dtype=dtype))
    assert found.dtype == wanted.dtype == both[1].dtype
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1
    assert np.abs(found / top - wanted / top).max() < 1 / 255
    np.testing.assert_array_equal(both, [found] * 2)
    assert steps == sorted(steps)
    assert steps[-1] == 1


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_device_arrays_in_and_out(matter: Matter, dtype: str) -> None:
    wanted = matter(IMAGE, TRIMAP, dtype=dtype)
    for given in ((Resident(IMAGE), TRIMAP), (IMAGE, Resident(TRIMAP))):
        np.testing.assert_array_equal(matter(*given, dtype=dtype), wanted)
    alpha = matter(Resident(IMAGE), Resident(TRIMAP), dtype=dtype)
    assert isinstance(alpha, DeviceArray)
    assert alpha.dtype == dtype
    found = at(alpha.address, alpha.shape) if dtype == "float32" else alpha.owner.bytes.reshape(alpha.shape)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(matter.refining(False)(IMAGE, TRIMAP), Matter(RedIsAlpha())(IMAGE, TRIMAP))


def test_no_pixels_come_down(host_cuda: HostCuda, matter: Matter, monkeypatch: pytest.MonkeyPatch) -> None:
    down: list[int] = []
    download = host_cuda.download

    def counted(target: Any, address: int, stream: Any) -> None:
        down.append(target.nbytes)
        download(target, address, stream)

    monkeypatch.setattr(host_cuda, "download", counted)
    matter(Resident(IMAGE), Resident(TRIMAP))
    mask, flag, *rest = down
    assert (mask, flag) == (256 + 150 * 27, 256)
    assert rest[:4] == [5 * 7, 3 * 4, 2 * 2, 1]  # which blocks have unknown pixels
    assert set(rest[4:]) == {16}


@pytest.mark.parametrize("call", [12, 13, 16])
def test_closed_by_what_is_told_of_progress(host_cuda: HostCuda, call: int) -> None:
    """After the last patch, after the first tile and after the last one."""
    before, told = host_cuda.held_bytes, []
    matter = Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda), step=64, refine=True)

    def progress(done: int, _: int) -> None:
        told.append(done)
        if len(told) == call:
            matter.close()

    with pytest.raises(UsageError, match="is closed; open"):
        matter(IMAGE, TRIMAP, progress)
    assert len(told) == call
    assert host_cuda.held_bytes == before


def test_a_device_without_room_says_so_and_keeps_nothing(
    host_cuda: HostCuda, matter: Matter, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, before, buffer = matter(IMAGE, TRIMAP), host_cuda.held_bytes, host_cuda.buffer

    def full(nbytes: int, stream: Any = None) -> Any:
        if nbytes == 72 * IMAGE.shape[0] * IMAGE.shape[1]:
            raise DeviceError("GPU 0: out of memory")
        return buffer(nbytes, stream)

    with monkeypatch.context() as patch:
        patch.setattr(host_cuda, "buffer", full)
        with pytest.raises(
            DeviceError, match=r"GPU 0: out of memory; to refine an alpha takes 2 MB more; .*`device=cpu`"
        ):
            matter(IMAGE, TRIMAP)
    assert host_cuda.held_bytes == before
    np.testing.assert_array_equal(matter(IMAGE, TRIMAP), wanted)


def test_memory_is_counted(host_cuda: HostCuda, matter: Matter) -> None:
    plan = matter.plan(TRIMAP)
    refined, plain = matter.device_memory(plan), matter.refining(False).device_memory(plan)
    assert refined is not None
    assert plain is not None
    assert refined.image - plain.image == DeviceRefiner(host_cuda, Kernels(host_cuda)).most_bytes((150, 211))
