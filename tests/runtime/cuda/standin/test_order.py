"""Work that nothing puts in order is refused, through the raw bindings; what streams, events and waits order runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.runtime.cuda.standin.worker import on_standin

pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")

from tests.runtime.cuda.standin.raw import call, context, event, fetched, launch, memory, move, pinned, refused, stream

pytestmark = pytest.mark.heavy

BYTES = np.arange(64, dtype=np.uint8)


def wait_by_event(one: Any, other: Any) -> None:
    mark = event(2)
    call("cuEventRecord", mark, one)
    call("cuStreamWaitEvent", other, mark, 0)


def wait_by_recording_too_late(one: Any, other: Any) -> None:
    mark = event(2)
    call("cuEventRecord", mark, other)
    call("cuStreamWaitEvent", other, mark, 0)
    call("cuEventRecord", mark, one)


WAYS: dict[str, tuple[bool, Callable[[Any, Any], None]]] = {
    "event": (True, wait_by_event),
    "synchronised": (True, lambda one, _: call("cuStreamSynchronize", one)),
    "device": (True, lambda *_: call("cuCtxSynchronize")),
    "nothing": (False, lambda *_: None),
    "other stream": (False, lambda _, other: call("cuStreamSynchronize", other)),
    "too late": (False, wait_by_recording_too_late),
    "the wrong way round": (False, lambda one, other: wait_by_event(other, one)),
}


@on_standin
@pytest.mark.parametrize("way", WAYS)
def test_a_kernel_reads_what_a_copy_on_another_stream_wrote(way: str) -> None:
    context()
    kernel, source, target, host = move(), memory(), memory(), pinned()
    host[:] = BYTES
    up, on = stream(), stream()
    ordered, wait = WAYS[way]
    call("cuMemcpyHtoDAsync", source, host.ctypes.data, 64, up)
    wait(up, on)
    call("cuLaunchKernel", *launch(kernel, on, source, target))
    if ordered:
        np.testing.assert_array_equal(fetched(target), BYTES)
    else:
        refused("LAUNCH_FAILED", "cuCtxSynchronize")


@on_standin
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_overwrites_what_a_kernel_on_another_stream_reads(way: str) -> None:
    context()
    kernel, source, target = move(), memory(), memory()
    on, up = stream(), stream()
    call("cuMemcpyHtoDAsync", source, BYTES.ctypes.data, 64, on)
    call("cuLaunchKernel", *launch(kernel, on, source, target))
    ordered, wait = WAYS[way]
    wait(on, up)
    call("cuMemsetD8Async", source, 0, 64, up)
    if ordered:
        np.testing.assert_array_equal(fetched(target), BYTES)
    else:
        refused("LAUNCH_FAILED", "cuCtxSynchronize")


@on_standin
def test_two_streams_may_read_the_same_and_write_beside_each_other() -> None:
    context()
    kernel, source, target = move(), memory(), memory()
    call("cuMemsetD8Async", source, 9, 64, 0)
    call("cuCtxSynchronize")
    call("cuLaunchKernel", *launch(kernel, stream(), source, target, 0, 32))
    call("cuLaunchKernel", *launch(kernel, stream(), source, target, 32, 32))
    assert (fetched(target) == 9).all()


@on_standin
@pytest.mark.parametrize("way", WAYS)
def test_memory_of_a_pool_on_another_stream_than_its_own(way: str) -> None:
    context()
    own, other = stream(), stream()
    address = int(call("cuMemAllocAsync", 64, own))
    ordered, wait = WAYS[way]
    wait(own, other)
    call("cuMemsetD8Async", address, 5, 64, other)
    if ordered:
        assert (fetched(address) == 5).all()
    else:
        refused("LAUNCH_FAILED", "cuCtxSynchronize")


@on_standin
@pytest.mark.parametrize("way", WAYS)
def test_memory_freed_on_another_stream_than_the_one_that_uses_it(way: str) -> None:
    context()
    own, other = stream(), stream()
    address = int(call("cuMemAllocAsync", 64, own))
    call("cuMemsetD8Async", address, 5, 64, own)
    ordered, wait = WAYS[way]
    wait(own, other)
    call("cuMemFreeAsync", address, other)
    if ordered:
        call("cuCtxSynchronize")
    else:
        refused("LAUNCH_FAILED", "cuCtxSynchronize")


@on_standin
@pytest.mark.parametrize("release", ["cuMemFree", "cuMemFreeHost"])
def test_memory_freed_while_work_needs_it(release: str) -> None:
    """The real driver waits here for the whole device, or gives the memory away; neither is what we want."""
    context()
    on, address, host = stream(), memory(), pinned()
    call("cuMemcpyHtoDAsync", address, host.ctypes.data, 64, on)
    freed = address if release == "cuMemFree" else host.ctypes.data
    try:
        refused("LAUNCH_FAILED", release, freed)  # the copy ran already
    except AssertionError:
        refused("ILLEGAL_ADDRESS", "cuCtxSynchronize")  # or runs now


@on_standin
def test_page_locked_memory_that_two_streams_fill() -> None:
    context()
    one, other, host = memory(), memory(), pinned()
    call("cuMemcpyDtoHAsync", host.ctypes.data, one, 64, stream())
    call("cuMemcpyDtoHAsync", host.ctypes.data, other, 64, stream())
    refused("LAUNCH_FAILED", "cuCtxSynchronize")


@on_standin
def test_the_default_stream_and_blocking_streams_wait_for_each_other() -> None:
    context()
    kernel, source, target = move(), memory(), memory()
    blocking = stream(0)
    call("cuMemsetD8Async", source, 3, 64, blocking)
    call("cuLaunchKernel", *launch(kernel, 0, source, target))
    call("cuMemsetD8Async", source, 4, 64, blocking)
    assert (fetched(target) == 3).all()


@on_standin
def test_a_stream_of_ours_does_not_wait_for_the_default_stream() -> None:
    context()
    source = memory()
    call("cuMemsetD8Async", source, 3, 64, 0)
    call("cuMemsetD8Async", source, 4, 64, stream())
    refused("LAUNCH_FAILED", "cuCtxSynchronize")


@on_standin
def test_pageable_memory_is_taken_or_waited_for() -> None:
    context()
    on, address = stream(), memory()
    host, back = BYTES.copy(), np.zeros(64, np.uint8)
    call("cuMemcpyHtoDAsync", address, host.ctypes.data, 64, on)
    host[:] = 0
    call("cuMemcpyDtoHAsync", back.ctypes.data, address, 64, on)
    np.testing.assert_array_equal(back, BYTES)
