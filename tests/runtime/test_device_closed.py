"""A matter on a device that is closed while it is used: a `UsageError`, and nothing works on memory that is gone."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from litematting_deploy import Matter
from litematting_deploy.engines.base import CHANNELS
from litematting_deploy.errors import UsageError
from litematting_deploy.runtime.on_device import OnDevice
from tests.runtime.cuda.host import HostCuda
from tests.runtime.test_device import ByAddress, Resident, Slow
from tests.runtime.test_matter import IMAGE, TRIMAP, RedIsAlpha

CLOSED = "is closed; open"
INPUTS = {name: np.zeros((1, CHANNELS[name], 64, 64), np.float32) for name in ("image", "trimap", "guide")}


def test_between_two_alphas_of_a_sequence(host_cuda: HostCuda) -> None:
    matter = Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda))
    alphas = matter.sequence([(IMAGE, TRIMAP)] * 4)
    next(alphas)
    matter.close()
    with pytest.raises(UsageError, match=CLOSED):
        next(alphas)


def test_by_what_yields_the_frames(host_cuda: HostCuda) -> None:
    matter = Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda))

    def frames() -> Iterator[Any]:
        yield IMAGE, TRIMAP
        matter.close()
        yield IMAGE, TRIMAP

    with pytest.raises(UsageError, match=CLOSED):
        list(matter.sequence(frames()))


@pytest.mark.parametrize("call", [1, 2, 12])
def test_by_what_is_told_of_progress(host_cuda: HostCuda, call: int) -> None:
    """It runs while patches are on their way."""
    engine, before = ByAddress(RedIsAlpha()), host_cuda.held_bytes
    matter = Matter(OnDevice(engine, host_cuda), step=64)
    told: list[int] = []

    def progress(done: int, _: int) -> None:
        told.append(done)
        if len(told) == call:
            matter.close()

    with pytest.raises(UsageError, match=CLOSED):
        matter(IMAGE, TRIMAP, progress)
    assert len(told) == call
    assert engine.calls <= call + 2
    assert host_cuda.held_bytes == before


@pytest.mark.parametrize("close", ["matter", "engine"])
@pytest.mark.parametrize("work", ["photo", "on the device", "refined", "engine"])
def test_by_another_thread(host_cuda: HostCuda, work: str, close: str) -> None:
    engine = OnDevice(Slow(RedIsAlpha()), host_cuda)
    matter = Matter(engine)
    resident = Resident(IMAGE), Resident(TRIMAP)
    calls: dict[str, Callable[[], Any]] = {
        "photo": lambda: matter(IMAGE, TRIMAP),
        "on the device": lambda: matter(*resident),
        "refined": lambda: matter.refining(True)(IMAGE, TRIMAP),
        "engine": lambda: engine.run(**INPUTS),
    }
    found: list[Exception] = []

    def used() -> None:
        try:
            while True:
                calls[work]()
        except Exception as error:  # noqa: BLE001  # looked at below
            found.append(error)

    threads = [threading.Thread(target=used) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    closes: dict[str, Callable[[], None]] = {"matter": matter.close, "engine": engine.close}
    closes[close]()
    for thread in threads:
        thread.join()
    assert [type(error) for error in found] == [UsageError] * 4, found
    assert all(CLOSED in str(error) for error in found)
