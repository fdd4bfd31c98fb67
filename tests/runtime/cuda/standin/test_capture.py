"""Stream capture through the raw bindings: what it forbids, and that a graph replays what was recorded."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.runtime.cuda.standin.worker import on_standin

pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")

from tests.runtime.cuda.standin.raw import (
    MODE,
    call,
    context,
    event,
    fetched,
    launch,
    memory,
    move,
    refused,
    stream,
)

pytestmark = pytest.mark.heavy


def begun(mode: Any = MODE.RELAXED) -> Any:
    on = stream()
    call("cuStreamBeginCapture", on, mode)
    return on


def in_another_thread(work: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def guarded() -> None:
        context()
        try:
            work()
        except AssertionError as failure:
            failures.append(failure)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@on_standin
@pytest.mark.parametrize("name", ["cuStreamSynchronize", "cuStreamQuery"])
def test_a_captured_stream_cannot_be_waited_for(name: str) -> None:
    context()
    on, address = begun(), memory()
    refused("STREAM_CAPTURE_UNSUPPORTED", name, on)
    refused("STREAM_CAPTURE_INVALIDATED", "cuMemsetD8Async", address, 0, 64, on)
    refused("STREAM_CAPTURE_INVALIDATED", "cuStreamEndCapture", on)
    call("cuStreamSynchronize", on)


@on_standin
def test_nor_can_its_context() -> None:
    context()
    on = begun()
    refused("STREAM_CAPTURE_UNSUPPORTED", "cuCtxSynchronize")
    refused("STREAM_CAPTURE_INVALIDATED", "cuStreamEndCapture", on)
    on = begun()
    in_another_thread(lambda: refused("STREAM_CAPTURE_UNSUPPORTED", "cuCtxSynchronize"))
    refused("STREAM_CAPTURE_INVALIDATED", "cuStreamEndCapture", on)
    call("cuCtxSynchronize")


@on_standin
def test_nor_can_its_events() -> None:
    context()
    on, mark = begun(), event()
    call("cuEventRecord", mark, on)
    refused("CAPTURED_EVENT", "cuEventSynchronize", mark)
    refused("STREAM_CAPTURE_INVALIDATED", "cuStreamEndCapture", on)


@on_standin
@pytest.mark.parametrize("mode", ["GLOBAL", "THREAD_LOCAL", "RELAXED"])
def test_allocations_during_a_capture(mode: str) -> None:
    context()
    own = memory()
    for name, arguments in (("cuMemAlloc", (8,)), ("cuMemFree", (own,)), ("cuMemHostAlloc", (8, 0))):
        on = begun(getattr(MODE, mode))
        if mode == "RELAXED":
            call(name, *arguments)
            call("cuStreamEndCapture", on)
        else:
            refused("STREAM_CAPTURE_UNSUPPORTED", name, *arguments)
            refused("STREAM_CAPTURE_INVALIDATED", "cuStreamEndCapture", on)


@on_standin
@pytest.mark.parametrize("mode", ["GLOBAL", "THREAD_LOCAL"])
def test_allocations_in_another_thread_during_a_capture(mode: str) -> None:
    context()
    on = begun(getattr(MODE, mode))
    if mode == "GLOBAL":
        in_another_thread(lambda: refused("STREAM_CAPTURE_UNSUPPORTED", "cuMemAlloc", 8))
        refused("STREAM_CAPTURE_INVALIDATED", "cuStreamEndCapture", on)
    else:
        in_another_thread(memory)
        call("cuStreamEndCapture", on)


@on_standin
def test_a_capture_ends_where_it_began() -> None:
    context()
    on, other, mark = begun(MODE.THREAD_LOCAL), stream(), event()
    in_another_thread(lambda: refused("STREAM_CAPTURE_WRONG_THREAD", "cuStreamEndCapture", on))
    refused("ILLEGAL_STATE", "cuStreamBeginCapture", on, MODE.RELAXED)
    refused("ILLEGAL_STATE", "cuStreamEndCapture", other)
    call("cuEventRecord", mark, on)
    call("cuStreamWaitEvent", other, mark, 0)
    refused("STREAM_CAPTURE_UNMATCHED", "cuStreamEndCapture", other)


@on_standin
def test_the_default_stream_cannot_be_captured_nor_disturb_a_capture() -> None:
    context()
    address = memory()
    refused("STREAM_CAPTURE_UNSUPPORTED", "cuStreamBeginCapture", 0, MODE.RELAXED)
    on = begun()
    call("cuMemsetD8Async", address, 0, 64, 0)  # which does not wait for streams as we make them
    call("cuStreamEndCapture", on)
    blocking = stream(0)
    call("cuStreamBeginCapture", blocking, MODE.RELAXED)
    refused("STREAM_CAPTURE_IMPLICIT", "cuMemsetD8Async", address, 0, 64, 0)
    refused("STREAM_CAPTURE_INVALIDATED", "cuStreamEndCapture", blocking)


@on_standin
def test_a_capture_cannot_wait_for_work_outside_of_it() -> None:
    context()
    mark, outside = event(), stream()
    call("cuEventRecord", mark, outside)
    on = begun()
    refused("STREAM_CAPTURE_ISOLATION", "cuStreamWaitEvent", on, mark, 0)
    refused("STREAM_CAPTURE_INVALIDATED", "cuStreamEndCapture", on)


@on_standin
def test_two_captures_stay_apart() -> None:
    context()
    one, other, mark = begun(), begun(), event()
    call("cuEventRecord", mark, one)
    refused("STREAM_CAPTURE_MERGE", "cuStreamWaitEvent", other, mark, 0)


@on_standin
@pytest.mark.parametrize("joined", [True, False])
def test_streams_that_are_forked_off_must_be_joined(joined: bool) -> None:
    context()
    address = memory()
    on, other, forked, back = begun(), stream(), event(), event()
    call("cuEventRecord", forked, on)
    call("cuStreamWaitEvent", other, forked, 0)
    call("cuMemsetD8Async", address, 6, 64, other)
    call("cuEventRecord", back, other)
    if not joined:
        refused("STREAM_CAPTURE_UNJOINED", "cuStreamEndCapture", on)
        return
    call("cuStreamWaitEvent", on, back, 0)
    exec_ = call("cuGraphInstantiate", call("cuStreamEndCapture", on), 0)
    call("cuGraphLaunch", exec_, on)
    assert (fetched(address) == 6).all()


@on_standin
def test_a_graph_replays_in_recorded_order() -> None:
    context()
    kernel, source, middle, target = move(), memory(), memory(), memory()
    call("cuMemsetD8Async", target, 1, 64, 0)
    on = begun()
    call("cuMemsetD8Async", source, 2, 64, on)
    call("cuLaunchKernel", *launch(kernel, on, source, middle))
    call("cuMemsetD8Async", source, 3, 64, on)
    call("cuLaunchKernel", *launch(kernel, on, middle, target))
    graph = call("cuStreamEndCapture", on)
    exec_ = call("cuGraphInstantiate", graph, 0)
    call("cuGraphDestroy", graph)
    assert (fetched(target) == 1).all()  # nothing has run
    for _ in range(2):
        call("cuMemsetD8Async", target, 1, 64, on)
        call("cuGraphLaunch", exec_, on)
        assert (fetched(target) == 2).all()
        assert (fetched(source) == 3).all()
    call("cuGraphLaunch", exec_, on)
    call("cuGraphExecDestroy", exec_)  # what was launched goes on
    call("cuStreamSynchronize", on)
    refused("INVALID_HANDLE", "cuGraphLaunch", exec_, on)


@on_standin
def test_a_graph_reads_memory_as_it_is_when_it_runs() -> None:
    context()
    kernel, source, target = move(), memory(), memory()
    on = begun()
    call("cuLaunchKernel", *launch(kernel, on, source, target))
    exec_ = call("cuGraphInstantiate", call("cuStreamEndCapture", on), 0)
    for value in (4, 5):
        call("cuMemsetD8Async", source, value, 64, on)
        call("cuGraphLaunch", exec_, on)
        assert (fetched(target) == value).all()
    call("cuMemFree", source)
    call("cuGraphLaunch", exec_, on)
    refused("ILLEGAL_ADDRESS", "cuStreamSynchronize", on)


@on_standin
@pytest.mark.parametrize("ordered", [True, False])
def test_a_graph_follows_the_order_of_its_stream_only(ordered: bool) -> None:
    context()
    kernel, source, target, up, mark = move(), memory(), memory(), stream(), event()
    on = begun()
    call("cuLaunchKernel", *launch(kernel, on, source, target))
    exec_ = call("cuGraphInstantiate", call("cuStreamEndCapture", on), 0)
    call("cuMemsetD8Async", source, 8, 64, up)
    call("cuEventRecord", mark, up)
    if ordered:
        call("cuStreamWaitEvent", on, mark, 0)
    call("cuGraphLaunch", exec_, on)
    if ordered:
        np.testing.assert_array_equal(fetched(target), np.full(64, 8, np.uint8))
    else:
        refused("LAUNCH_FAILED", "cuCtxSynchronize")


@on_standin
@pytest.mark.parametrize("ordered", [True, False])
def test_branches_of_a_graph_must_be_ordered_as_well(ordered: bool) -> None:
    context()
    kernel, source, target, other, forked, back = move(), memory(), memory(), stream(), event(), event()
    call("cuMemsetD8Async", source, 8, 64, 0)
    call("cuCtxSynchronize")
    on = begun()
    call("cuEventRecord", forked, on)
    call("cuStreamWaitEvent", other, forked, 0)
    call("cuLaunchKernel", *launch(kernel, other, source, target))
    call("cuEventRecord", back, other)
    if ordered:
        call("cuStreamWaitEvent", on, back, 0)
    call("cuMemsetD8Async", source, 9, 64, on)
    if not ordered:
        call("cuStreamWaitEvent", on, back, 0)
    call("cuGraphLaunch", call("cuGraphInstantiate", call("cuStreamEndCapture", on), 0), on)
    if ordered:
        assert (fetched(target) == 8).all()
    else:
        refused("LAUNCH_FAILED", "cuCtxSynchronize")
