"""The device path on a device that works late and in any order its streams allow."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy import Matter
from litematting_deploy.engines import Engine
from litematting_deploy.errors import DeviceError, NotFiniteError, UsageError
from litematting_deploy.runtime.cuda.arrays import DeviceArray
from litematting_deploy.runtime.on_device import OnDevice
from tests.runtime.cuda.host import HostCuda
from tests.runtime.cuda.lazy import LazyCuda
from tests.runtime.test_device import ByAddress, Resident
from tests.runtime.test_matter import RedIsAlpha

SEEDS = range(12)
Photo = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class LateEngine(ByAddress):
    """Runs when its stream comes to it."""

    def __init__(self, cuda: LazyCuda, engine: Engine | None = None) -> None:
        super().__init__(engine or RedIsAlpha())
        self._cuda = cuda

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        fixed = dict(addresses)
        self._cuda.later(stream, lambda: ByAddress.enqueue(self, fixed, stream, count))


@pytest.fixture(params=SEEDS)
def late(request: pytest.FixtureRequest, host_cuda: HostCuda) -> Iterator[Matter]:
    cuda = LazyCuda(host_cuda.folder, request.param)
    with Matter(OnDevice(LateEngine(cuda), cuda, 2)) as matter:
        yield matter


@pytest.fixture(params=[False, True], ids=["one size", "sizes"])
def photos(request: pytest.FixtureRequest) -> list[Photo]:
    random = np.random.default_rng(0)
    sizes = [tuple(random.integers(20, 150, 2)) if request.param else (70, 90) for _ in range(5)]
    known = np.array([0, 128, 255], np.uint8)
    return [(random.integers(0, 256, (*hw, 3), np.uint8), random.choice(known, hw)) for hw in sizes]


def wanted(photo: Photo) -> Any:
    return Matter(RedIsAlpha())(*photo)


def test_a_sequence(late: Matter, photos: list[Photo]) -> None:
    for found, photo in zip(late.sequence(photos), photos, strict=True):
        np.testing.assert_array_equal(found, wanted(photo))


def test_a_sequence_of_device_arrays(late: Matter, photos: list[Photo]) -> None:
    frames = ((Resident(image), Resident(trimap)) for image, trimap in photos)
    for found, photo in zip(late.sequence(frames), photos, strict=True):
        assert isinstance(found, DeviceArray)
        array = np.ctypeslib.as_array(found.owner.bytes)[256:].view(np.float32).reshape(found.shape)
        np.testing.assert_array_equal(array, wanted(photo))


@pytest.mark.parametrize("on_device", ["image", "trimap"])
def test_a_sequence_half_on_the_device(late: Matter, photos: list[Photo], on_device: str) -> None:
    def frame(image: Any, trimap: Any) -> tuple[Any, Any]:
        return (Resident(image), trimap) if on_device == "image" else (image, Resident(trimap))

    for found, photo in zip(late.sequence(frame(*photo) for photo in photos), photos, strict=True):
        np.testing.assert_array_equal(found, wanted(photo))


def test_other_photos_while_sequences_are_open(late: Matter, photos: list[Photo]) -> None:
    both = zip(late.sequence(photos), late.sequence(photos[::-1]), strict=True)
    for (one, other), photo, last in zip(both, photos, photos[::-1], strict=True):
        np.testing.assert_array_equal(late(*photos[2]), wanted(photos[2]))
        np.testing.assert_array_equal(one, wanted(photo))
        np.testing.assert_array_equal(other, wanted(last))


def test_given_up_in_the_middle(late: Matter, photos: list[Photo]) -> None:
    for number in range(1, 4):
        sequence = late.sequence(photos)
        for _ in range(number):
            next(sequence)
        sequence.close()  # type: ignore[attr-defined]  # it is a generator
        np.testing.assert_array_equal(late(*photos[number]), wanted(photos[number]))


def test_after_an_error_in_the_middle(late: Matter, photos: list[Photo]) -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    for photo in photos:
        with pytest.raises(KeyboardInterrupt):
            late(*photos[0], stop)
        np.testing.assert_array_equal(late(*photo), wanted(photo))


def test_a_frame_that_fails_does_not_take_the_one_before_along(late: Matter, photos: list[Photo]) -> None:
    def frames() -> Iterator[Photo]:
        yield from photos[:2]
        raise OSError("the third cannot be read")

    found: list[Any] = []
    with pytest.raises(OSError, match="the third"):
        found += late.sequence(frames())  # as far as it comes
    sequence = late.sequence(frames())
    for photo in photos[:2]:
        np.testing.assert_array_equal(next(sequence), wanted(photo))
    with pytest.raises(OSError, match="the third"):
        next(sequence)


class RootOfRed(RedIsAlpha):
    """No number where red is black."""

    def _run(self, image: Any, trimap: Any, guide: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return np.sqrt(super()._run(image, trimap, guide) - np.float32(1e-4))


@pytest.mark.parametrize("seed", SEEDS[:3])
@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_frame_that_is_not_finite_fails_alone(
    host_cuda: HostCuda, photos: list[Photo], seed: int, on_host: bool, at: int
) -> None:
    """Wherever it is in a sequence; without `go_on` the frames before it come, and the sequence ends with it."""
    frames = [(np.maximum(image, 1), trimap) for image, trimap in photos]
    frames[at][0][frames[at][1] == 128] = 0
    good = [None if index == at else Matter(RootOfRed())(*frame) for index, frame in enumerate(frames)]
    cuda = LazyCuda(host_cuda.folder, seed)
    given: Any = frames if on_host else [(Resident(image), Resident(trimap)) for image, trimap in frames]

    def check(found: Any, index: int) -> None:
        array = found
        if isinstance(found, DeviceArray):
            array = np.ctypeslib.as_array(found.owner.bytes)[256:].view(np.float32).reshape(found.shape)
        np.testing.assert_array_equal(array, good[index])

    with Matter(OnDevice(LateEngine(cuda, RootOfRed()), cuda, 2)) as matter:
        for index, found in enumerate(matter.sequence(given, go_on=True)):
            if index == at:
                assert isinstance(found, NotFiniteError)
                assert "by-address: the alpha of this image contains NaN or infinity" in str(found)
            else:
                check(found, index)
        sequence = matter.sequence(given)
        for index in range(at):
            check(next(sequence), index)
        with pytest.raises(NotFiniteError):
            next(sequence)
        check(matter(*given[1]), 1)


def test_memory_that_runs_out_once(late: Matter, photos: list[Photo], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(nbytes: int, *_: Any) -> Any:
        raise DeviceError(f"out of memory: {nbytes}")

    cuda = late.engine.cuda  # type: ignore[attr-defined]  # it is OnDevice
    for kind in ("pinned", "buffer"):
        with monkeypatch.context() as scarce:
            scarce.setattr(cuda, kind, full)
            with pytest.raises(DeviceError, match="out of memory"):
                late(np.zeros((300, 300, 3), np.uint8), np.full((300, 300), 128, np.uint8))
        np.testing.assert_array_equal(late(*photos[0]), wanted(photos[0]))


def test_closed_twice_and_not_used_again(late: Matter, photos: list[Photo]) -> None:
    late(*photos[0])
    late.close()
    late.close()
    with pytest.raises(UsageError, match="this Matter is closed"):
        late(*photos[0])
    with pytest.raises(UsageError, match="by-address: the engine is closed"):
        late.engine.run(*(np.zeros((1, channels, 64, 64), np.float32) for channels in (3, 3, 2)))


def test_an_engine_whose_batch_does_not_fit(host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> Any:
        raise DeviceError("out of memory")

    closed: list[bool] = []
    engine = ByAddress(RedIsAlpha())
    monkeypatch.setattr(host_cuda, "buffer", full)
    monkeypatch.setattr(engine, "close", lambda: closed.append(True))
    with pytest.raises(DeviceError, match=r"out of memory; 7 patches of 64x64 need 1 MB .*`batch`"):
        OnDevice(engine, host_cuda, 7)
    assert closed
