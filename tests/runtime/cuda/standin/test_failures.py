"""Failures on the device path: the package's own errors, nothing leaked, the caller's context, bad order seen."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from litematting_deploy import Matter
from litematting_deploy.errors import DeviceError, NotFiniteError
from litematting_deploy.runtime.cuda import open_cuda
from litematting_deploy.runtime.on_device import OnDevice
from tests.runtime.cuda.standin import control
from tests.runtime.cuda.standin.worker import on_standin

pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")

from litematting_deploy.runtime.cuda import cuda_python
from tests.runtime.cuda.standin import raw
from tests.runtime.cuda.standin.network import DeviceNetwork
from tests.runtime.cuda.standin.photos import SIZES, on_device, on_host, photo, photos, resident, wanted

pytestmark = pytest.mark.heavy

HW = SIZES[0]
# A failure of these changes nothing, or takes with it what nothing can give back.
NOT_FAILED = ("Free", "Destroy", "Unload", "EndCapture", "cuCtxPush", "cuCtxPop", "cuGetError", "cuCtxGetCurrent")


def nothing_is_held() -> None:
    gc.collect()
    held = control.held()
    assert held == {}, held


@on_standin
@pytest.mark.parametrize("where", ["host", "device"])
def test_nothing_is_held_after_close(where: str) -> None:
    frames: list[Any] = photos()
    if where == "device":
        raw.context()
        own = [(resident(image), resident(trimap)) for image, trimap in frames]
        frames, held = own, control.held()
    else:
        held = {}
    with on_device(least=1) as matter:
        for _ in matter.sequence(frames):
            pass
        matter(*frames[0])
        next(iter(matter.sequence(frames)))
    del matter, _
    gc.collect()
    now = control.held()
    assert now == held, now


@on_standin
def test_pools_of_closed_matters_keep_nothing_back() -> None:
    """An alpha that lives on keeps its own memory only."""
    frame = tuple(map(resident, photo(HW)))
    before = control.held()["device"]
    kept = []
    for _ in range(3):
        with on_device() as matter:
            alphas = [matter(*frame) for _ in range(4)]
            kept.append(alphas[0])
        del matter, alphas
    gc.collect()
    held, own = control.held(), 256 + 4 * HW[0] * HW[1]
    assert held == {"device": before + 3 * own}, held
    np.testing.assert_array_equal(on_host(kept[0]), wanted(photo(HW)))
    del kept
    gc.collect()
    assert control.held() == {"device": before}


def steps(matter: Any, where: str) -> list[Any]:
    """Two photos, the second one from a graph."""
    if where == "host":
        return [matter(*photo(HW)), *matter.sequence([photo((90, 80))])]
    frames = [tuple(map(resident, photo(hw))) for hw in (HW, (90, 80))]
    return [on_host(matter(*frame)) for frame in frames]


def calls_of(where: str) -> list[str]:
    matter = on_device()
    control.log()
    steps(matter, where)
    names = control.calls()
    matter.close()
    return names


@on_standin
@pytest.mark.parametrize("where", ["host", "device"])
def test_each_call_may_fail_once(where: str) -> None:
    """It is the package's error then, the next photo is right, and nothing is left behind after `close`."""
    names = calls_of(where)
    right = [wanted(photo(hw)) for hw in (HW, (90, 80))]
    seen: dict[str, int] = {}
    failed = 0
    for name in names:
        occurrence = seen[name] = seen.get(name, -1) + 1
        if any(part in name for part in NOT_FAILED):
            continue
        matter = on_device()
        control.fail(name, after=occurrence)
        try:
            steps(matter, where)
        except DeviceError as error:
            assert name.removesuffix("WithFlags") in str(error), (name, str(error))  # noqa: PT017
            assert "unknown error" in str(error)  # noqa: PT017
            failed += 1
        except AssertionError as error:
            assert where == "device", (name, error)  # noqa: PT017  # a call of the tests' own
        else:
            pytest.fail(f"{name} failed the {occurrence + 1}. time and nobody said so")
        for found, alpha in zip(steps(matter, where), right, strict=True):
            np.testing.assert_array_equal(found, alpha, err_msg=f"after {name} failed")
        matter.close()
        del matter, found
        gc.collect()
        held = control.held()
        held.pop("device" if where == "device" else "", None)  # photos of the tests
        assert held == {}, f"after {name} failed: {held}"
    assert failed > 20


@on_standin
def test_each_call_may_fail_once_while_it_is_opened() -> None:
    control.log()
    on_device().close()
    names = control.calls()
    gc.collect()
    seen: dict[str, int] = {}
    for name in names:
        occurrence = seen[name] = seen.get(name, -1) + 1
        if any(part in name for part in NOT_FAILED):
            continue
        control.fail(name, after=occurrence)
        with pytest.raises(DeviceError, match=rf"{name.removesuffix('WithFlags')}.*unknown error"):
            on_device().close()
        nothing_is_held()


@on_standin
def test_memory_that_runs_out_says_what_is_needed() -> None:
    matter = on_device()
    control.set_memory(sum(control.held().values()) + 10_000)
    with pytest.raises(DeviceError, match=r"cuMemAlloc: out of memory; a photo of 211x150 needs 1 MB .*`device=cpu`"):
        matter(*photo(HW))
    control.set_memory(1 << 30)
    np.testing.assert_array_equal(matter(*photo(HW)), wanted(photo(HW)))
    matter.close()
    del matter
    nothing_is_held()
    control.set_memory(10_000)
    with pytest.raises(DeviceError, match=r"cuMemAlloc: out of memory; 2 patches of 64x96 need .*`batch`"):
        on_device()
    nothing_is_held()


@on_standin
def test_code_that_does_not_fit_the_device() -> None:
    cuda = open_cuda(0)
    control.set_capability(90)
    with pytest.raises(DeviceError, match="cuModuleLoadData: no kernel image is available for execution on the device"):
        OnDevice(DeviceNetwork(cuda), cuda, 1)


class Outside(DeviceNetwork):
    """Writes four bytes too far."""

    def enqueue(self, addresses: Any, stream: int, count: int | None = None) -> None:
        super().enqueue({**addresses, "alpha": addresses["alpha"] + 4}, stream, count)


@on_standin
def test_an_engine_that_writes_outside_of_its_memory() -> None:
    cuda = open_cuda(0)
    matter = Matter(OnDevice(Outside(cuda), cuda, 1))
    with pytest.raises(DeviceError, match="an illegal memory access was encountered"):
        matter(*photo(HW))
    with pytest.raises(DeviceError, match="an illegal memory access was encountered"):
        matter(*photo(HW))


@contextmanager
def only_current(index: int | None) -> Iterator[None]:
    """The context of a device is current before and after, or none is."""
    raw.context(index or 0)
    if index is None:
        raw.call("cuCtxSetCurrent", 0)
    before = int(raw.call("cuCtxGetCurrent"))
    yield
    after = int(raw.call("cuCtxGetCurrent"))
    assert after == before, (after, before)


@on_standin
@pytest.mark.parametrize("index", [1, None])
def test_the_callers_context_is_current_again_afterwards(index: int | None) -> None:
    with only_current(index):
        cuda = open_cuda(0)
    with only_current(index):
        matter = on_device()
    with only_current(index):
        matter(*photo(HW))
    frames = [tuple(map(resident, photo(hw))) for hw in SIZES]
    with only_current(index):
        alphas = [matter(*frame) for frame in frames]
    with only_current(index):
        sequence: Any = matter.sequence(photos())
        next(sequence)
    with only_current(index):
        sequence.close()
    control.fail("cuEventRecord")
    with only_current(index), pytest.raises(DeviceError, match="unknown error"):
        matter(*photo(HW))
    with only_current(index):
        matter.engine.run(*(np.zeros((1, depth, 64, 96), np.float32) for depth in (3, 3, 2)))
    with only_current(index):
        alphas.clear()
        gc.collect()
    with only_current(index):
        matter.close()
    del cuda


@on_standin
def test_the_device_is_waited_for_while_another_thread_records() -> None:
    """A context that is waited for would spoil each recording in it, so one thread waits for the other."""
    cuda = open_cuda(0)
    raw.context()
    stream, buffer = cuda.stream(), cuda.buffer(64)
    threads: list[threading.Thread] = []
    failures: list[Exception] = []

    def wait() -> None:
        try:
            raw.context()
            cuda.synchronize()
        except DeviceError as error:
            failures.append(error)

    def work() -> None:
        threads.append(threading.Thread(target=wait))
        threads[0].start()
        threads[0].join(0.5)
        cuda.zero(buffer.address, 64, stream)

    graph = cuda.capture(stream, work)
    threads[0].join()
    assert not failures
    graph.launch(stream)
    assert (raw.fetched(buffer.address) == 0).all()


BROKEN = {
    "streams": (cuda_python._Stream, "wait"),
    "events": (cuda_python._Event, "synchronize"),
    "planes": (cuda_python._Stream, "synchronize"),
}


@on_standin
@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("streams", "host"),
        ("streams", "device"),
        ("events", "host"),
        ("planes", "host"),
        ("nothing", "host"),
        ("nothing", "device"),
    ],
)
def test_an_order_that_is_broken_on_purpose_is_seen(what: str, where: str) -> None:
    """Streams do not wait for events, or the host does not, or planes are freed while an image works on them."""

    def run() -> None:
        with on_device() as matter:
            frames: Any = photos() if where == "host" else [tuple(map(resident, frame)) for frame in photos()]
            for alpha, frame in zip(matter.sequence(frames), photos(), strict=True):
                np.testing.assert_array_equal(alpha if where == "host" else on_host(alpha), wanted(frame))

    if what == "nothing":
        run()
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(*BROKEN[what], lambda *_: None)
        with pytest.raises((DeviceError, NotFiniteError, AssertionError)):
            run()
