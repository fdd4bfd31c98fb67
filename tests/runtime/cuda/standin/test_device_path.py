"""The whole device path through the real bindings: the same alphas as on the host, graphs, tails, overlap."""

import itertools
import threading
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from litematting_deploy.errors import InputError, NotFiniteError
from litematting_deploy.images.photo import Photo
from litematting_deploy.matting.foreground import estimate_foreground
from litematting_deploy.runtime.cuda.arrays import DeviceArray
from tests.runtime.cuda.standin import control
from tests.runtime.cuda.standin.network import HostNetwork
from tests.runtime.cuda.standin.worker import on_standin

pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")

from tests.runtime.cuda.standin.photos import SIZES, on_device, on_host, photo, photos, resident, wanted

pytestmark = pytest.mark.heavy

HW = SIZES[0]
INPUT_CHANNELS = {"image": 3, "trimap": 3, "guide": 2}


@on_standin
@pytest.mark.parametrize("least", [None, 1])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("options", [{}, {"step": 20}, {"plan": "adaptive", "margin": 15}], ids=str)
def test_the_host_s_bits(options: dict[str, Any], batch: int, least: int | None) -> None:
    with on_device(batch=batch, least=least, **options) as matter:
        for frame in (photo(HW), photo(HW, 1)):
            np.testing.assert_array_equal(matter(*frame), wanted(frame, **options))
    assert not [line for line in control.log() if line.startswith("!")]


@on_standin
@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_the_guide_gives_the_same_to_the_level(dtype: str) -> None:
    """Its exponential may differ in the last bit."""
    frame = photo(HW)
    with on_device(0.3) as matter:
        found, there = matter(*frame, dtype=dtype), wanted(frame, 0.3, dtype)
    assert found.dtype == there.dtype == dtype
    difference = np.abs(found.astype(np.float64) - there)
    assert difference.max() <= (2e-6 if dtype == "float32" else 1)
    assert dtype == "float32" or (difference == 0).mean() > 0.999
    assert not np.array_equal(found, wanted(frame, 0.0, dtype))


@on_standin
def test_foreground_colours() -> None:
    image, trimap = photo(HW)
    seen = Photo("a photo", image, image)
    with on_device() as matter:
        alpha = matter(image, trimap)
        control.log()
        found = estimate_foreground(seen, alpha, matter.unmix)
        assert not {"cuMemAlloc", "cuMemFree"} & set(control.calls()), "each would wait for the network"
    there = estimate_foreground(seen, alpha)
    assert np.abs(found.astype(int) - there).max() <= 1
    assert not [line for line in control.log() if line.startswith("!")]


@on_standin
@pytest.mark.parametrize("where", ["host", "device"])
def test_refined_alphas(where: str) -> None:
    """In a sequence the network of the next frame runs meanwhile."""
    frames = [photo(hw, seed) for seed, hw in enumerate(((90, 80), (61, 75), (90, 80)))]
    given = frames if where == "host" else [(resident(image), resident(trimap)) for image, trimap in frames]
    with on_device(refine=True) as matter:
        for alpha, frame in zip(matter.sequence(given), frames, strict=True):
            found = alpha if where == "host" else on_host(alpha)
            assert np.abs(found - wanted(frame, refine=True)).max() < 1 / 255
        control.log()
        matter(*given[0])
        assert not {"cuMemAlloc", "cuMemFree"} & set(control.calls()), "each would wait for the network"
    assert not [line for line in control.log() if line.startswith("!")]


@on_standin
@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16", "float64"])
def test_dtypes(dtype: str) -> None:
    frame = photo(HW)
    with on_device() as matter:
        np.testing.assert_array_equal(matter(*frame, dtype=dtype), wanted(frame, dtype=dtype))


@on_standin
@pytest.mark.parametrize("where", ["host", "device", "mixed"])
def test_a_sequence_of_changing_sizes(where: str) -> None:
    def placed(frame: Any) -> tuple[Any, Any]:
        image, trimap = frame
        return image if where == "host" else resident(image), resident(trimap) if where == "device" else trimap

    with on_device() as matter:
        for _ in range(2):
            for alpha, frame in zip(matter.sequence(map(placed, photos())), photos(), strict=True):
                assert isinstance(alpha, DeviceArray) == (where == "device")
                np.testing.assert_array_equal(on_host(alpha) if where == "device" else alpha, wanted(frame))


@on_standin
def test_two_sequences_and_a_photo_at_a_time() -> None:
    with on_device() as matter:
        both = zip(matter.sequence(photos()), matter.sequence(photos()[::-1]), strict=True)
        for (one, other), frame, last in zip(both, photos(), photos()[::-1], strict=True):
            np.testing.assert_array_equal(matter(*photos()[3]), wanted(photos()[3]))
            np.testing.assert_array_equal(one, wanted(frame))
            np.testing.assert_array_equal(other, wanted(last))


@on_standin
def test_a_sequence_that_nobody_wants_any_more() -> None:
    with on_device() as matter:
        sequence: Any = matter.sequence(photos())
        next(sequence)
        sequence.close()
        np.testing.assert_array_equal(matter(*photo(HW)), wanted(photo(HW)))


@on_standin
def test_a_trimap_on_the_device_is_checked() -> None:
    image, trimap = photo(HW)
    with on_device() as matter:
        with pytest.raises(InputError, match="this one also contains 7"):
            matter(resident(image), resident(np.full_like(trimap, 7)))
        np.testing.assert_array_equal(on_host(matter(resident(image), resident(trimap))), wanted((image, trimap)))


@on_standin
def test_dlpack_in_and_out() -> None:
    """What we hand out through cuda-core comes back as another library's."""
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    image, trimap = photo(HW)
    with on_device() as matter:
        alpha = matter(resident(image), resident(trimap), dtype=np.uint8)
        taken = SimpleNamespace(__dlpack__=alpha.__dlpack__, __dlpack_device__=alpha.__dlpack_device__)
        known = wanted((image, trimap), dtype=np.uint8)
        with pytest.raises(InputError, match="this one also contains"):
            matter(image, taken)  # an alpha is no trimap, as is seen on the device
        np.testing.assert_array_equal(on_host(alpha), known)


@on_standin
@pytest.mark.parametrize(("batch", "least"), [(1, None), (5, None), (1, 1), (5, 1), (5, 2), (2, 2)])
def test_runs_of_as_many_patches_are_recorded_once_and_replayed(batch: int, least: int | None) -> None:
    with on_device(batch=batch, least=least, step=20) as matter:
        patches = len(matter.plan(photo(HW)[1]).corners_yx)
        control.log()
        for seed in range(4):
            np.testing.assert_array_equal(matter(*photo(HW, seed)), wanted(photo(HW, seed), step=20))
        calls = Counter(control.calls())
    full, rest = divmod(patches, batch)
    tail = [batch if least is None else max(rest, least)] if rest else []
    alike = [len(list(runs)) for _, runs in itertools.groupby(([batch] * full + tail) * 4)]
    assert calls["cuStreamBeginCapture"] == calls["cuGraphInstantiateWithFlags"] == sum(runs > 1 for runs in alike)
    assert calls["cuGraphLaunch"] == sum(runs - 1 for runs in alike)  # the first run of each number is not recorded


@on_standin
@pytest.mark.parametrize("where", ["host", "device"])
def test_frames_overlap_and_allocate_nothing_once_the_largest_has_come(where: str) -> None:
    """The next frame is on its way before the host waits for the one before."""
    frames: list[Any] = photos()
    if where == "device":
        frames = [(resident(image), resident(trimap)) for image, trimap in frames]
    with on_device() as matter:
        for _ in matter.sequence(frames[-1:] + frames[-1:] + frames):
            pass
        control.log()
        submitted = [control.calls().count("cuMemcpyHtoDAsync") for _ in matter.sequence(frames)]
        each = sum(submitted) // len(frames)
        assert submitted == [2 * each, *[each] * (len(frames) - 2), 0]
        for _ in matter.sequence(frames):
            pass
        calls = {name for name in control.calls() if "Alloc" in name or "Free" in name or "Create" in name}
        assert calls == ({"cuMemAllocFromPoolAsync", "cuMemFreeAsync"} if where == "device" else set())


@on_standin
def test_threads_share_a_matter() -> None:
    found: dict[int, list[Any]] = {}
    with on_device() as matter:

        def work(seed: int) -> None:
            frame = photo(SIZES[seed], seed)
            found[seed] = [matter(*frame), *matter.sequence([frame] * 2)]
            found[seed].append(on_host(matter(resident(frame[0]), resident(frame[1]))))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(len(SIZES))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for seed, hw in enumerate(SIZES):
        assert len(found.get(seed, ())) == 4, f"thread {seed} failed"
        for alpha in found[seed]:
            np.testing.assert_array_equal(alpha, wanted(photo(hw, seed)))


@on_standin
def test_an_alpha_outlives_its_matter() -> None:
    image, trimap = photo(HW)
    with on_device() as matter:
        alpha = matter(resident(image), resident(trimap))
    del matter
    np.testing.assert_array_equal(on_host(alpha), wanted((image, trimap)))


@on_standin
def test_what_is_not_finite_is_found_and_leaves_the_rest_alone() -> None:
    frames = [photo(HW, seed) for seed in range(3)]
    with on_device(float("inf")) as matter:
        found = list(matter.sequence(frames, go_on=True))
        assert all(isinstance(alpha, NotFiniteError) for alpha in found)
    with on_device() as matter:
        np.testing.assert_array_equal(matter(*frames[0]), wanted(frames[0]))


@on_standin
def test_as_an_engine_it_takes_host_arrays() -> None:
    random = np.random.default_rng(0)
    inputs = {name: random.random((3, depth, 64, 96), np.float32) for name, depth in INPUT_CHANNELS.items()}
    with on_device(batch=4) as matter:
        np.testing.assert_array_equal(matter.engine.run(**inputs), HostNetwork().run(**inputs))
