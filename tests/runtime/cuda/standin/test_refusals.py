"""What the stand-in refuses as the driver does, through the raw bindings: contexts, handles, memory, code."""

import threading

import numpy as np
import pytest

from litematting_deploy.runtime.cuda.compile import compiled
from tests.runtime.cuda.standin import control
from tests.runtime.cuda.standin.network import SOURCE
from tests.runtime.cuda.standin.worker import on_standin

pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")

from tests.runtime.cuda.standin.raw import (
    call,
    context,
    event,
    fetched,
    launch,
    memory,
    move,
    pinned,
    refused,
    stream,
)

pytestmark = pytest.mark.heavy

BYTES = np.arange(64, dtype=np.uint8)


@on_standin
def test_calls_before_cuinit() -> None:
    refused("NOT_INITIALIZED", "cuDeviceGetCount")
    refused("NOT_INITIALIZED", "cuMemAlloc", 8)


@on_standin
def test_devices_that_are_not_there() -> None:
    context()
    refused("INVALID_DEVICE", "cuDeviceGet", call("cuDeviceGetCount"))


@on_standin
def test_calls_without_a_current_context() -> None:
    own = context()
    address = memory()
    call("cuCtxSetCurrent", 0)
    for name, arguments in (("cuMemAlloc", (8,)), ("cuMemFree", (address,)), ("cuStreamCreate", (1,))):
        refused("INVALID_CONTEXT", name, *arguments)
    refused("INVALID_CONTEXT", "cuCtxSynchronize")
    refused("INVALID_CONTEXT", "cuCtxPopCurrent")
    call("cuCtxPushCurrent", own)
    call("cuMemFree", address)
    assert int(call("cuCtxPopCurrent")) == int(own)


@on_standin
def test_a_context_is_current_in_its_thread_only() -> None:
    context()
    said: list[str] = []

    def other() -> None:
        try:
            refused("INVALID_CONTEXT", "cuMemAlloc", 8)
            said.append("refused")
        except AssertionError as error:
            said.append(str(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert said == ["refused"]


@on_standin
def test_a_context_that_was_released() -> None:
    own = context()
    call("cuDevicePrimaryCtxRelease", 0)
    refused("INVALID_CONTEXT", "cuMemAlloc", 8)
    refused("INVALID_CONTEXT", "cuCtxPushCurrent", own)


@on_standin
def test_streams_and_events_of_another_context() -> None:
    context(1)
    there, event_there = stream(), event()
    context(0)
    kernel, source, target = move(), memory(), memory()
    refused("INVALID_HANDLE", "cuLaunchKernel", *launch(kernel, there, source, target))
    refused("INVALID_HANDLE", "cuEventRecord", event_there, stream())
    context(1)
    refused("INVALID_HANDLE", "cuLaunchKernel", *launch(kernel, stream(), source, target))


@on_standin
def test_memory_of_another_device() -> None:
    context(1)
    there = memory()
    context(0)
    call("cuLaunchKernel", *launch(move(), stream(), there, memory()))
    refused("ILLEGAL_ADDRESS", "cuCtxSynchronize")


@on_standin
def test_handles_that_were_destroyed() -> None:
    context()
    kernel_module = call("cuModuleLoadData", compiled(SOURCE, (8, 9)))
    kernel = call("cuModuleGetFunction", kernel_module, b"move")
    on, mark = stream(), event()
    source, target = memory(), memory()
    call("cuModuleUnload", kernel_module)
    refused("INVALID_HANDLE", "cuLaunchKernel", *launch(kernel, on, source, target))
    call("cuStreamDestroy", on)
    refused("INVALID_HANDLE", "cuStreamSynchronize", on)
    call("cuEventDestroy", mark)
    refused("INVALID_HANDLE", "cuEventRecord", mark, stream())
    refused("INVALID_HANDLE", "cuEventDestroy", mark)


@on_standin
def test_access_outside_of_an_allocation() -> None:
    context()
    on, kernel, source, target = stream(), move(), memory(64), memory(63)
    call("cuLaunchKernel", *launch(kernel, on, source, target, count=63))
    call("cuStreamSynchronize", on)
    call("cuLaunchKernel", *launch(kernel, on, source, target, count=64))
    refused("ILLEGAL_ADDRESS", "cuStreamSynchronize", on)


@on_standin
def test_access_before_an_allocation() -> None:
    context()
    call("cuLaunchKernel", *launch(move(), stream(), memory(), memory(), first=-1, count=4))
    refused("ILLEGAL_ADDRESS", "cuCtxSynchronize")


@on_standin
@pytest.mark.parametrize("address", [0, 8, 0xA5A5A5A5A5A5A5A5])
def test_pointers_that_nobody_set(address: int) -> None:
    context()
    call("cuLaunchKernel", *launch(move(), stream(), address, memory()))
    refused("ILLEGAL_ADDRESS", "cuCtxSynchronize")


@on_standin
def test_what_failed_stays_failed() -> None:
    context()
    address = memory()
    call("cuLaunchKernel", *launch(move(), stream(), 0, address))
    refused("ILLEGAL_ADDRESS", "cuCtxSynchronize")
    refused("ILLEGAL_ADDRESS", "cuMemAlloc", 8)
    refused("ILLEGAL_ADDRESS", "cuMemFree", address)
    context(1)
    memory()


@on_standin
@pytest.mark.parametrize("name", ["cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemsetD8Async", "cuMemcpyDtoDAsync"])
def test_copies_beyond_an_allocation(name: str) -> None:
    context()
    on, own, other = stream(), memory(64), memory(65)
    host = np.zeros(65, np.uint8).ctypes.data
    sides = {
        "cuMemcpyHtoDAsync": (own, host),
        "cuMemcpyDtoHAsync": (host, own),
        "cuMemsetD8Async": (own, 0),
        "cuMemcpyDtoDAsync": (other, own),
    }
    refused("INVALID_VALUE", name, *sides[name], 65, on)
    call(name, *sides[name], 64, on)
    call("cuStreamSynchronize", on)


@on_standin
def test_use_after_free() -> None:
    context()
    on, kernel, source, target = stream(), move(), memory(), memory()
    call("cuMemFree", source)
    refused("INVALID_VALUE", "cuMemcpyDtoHAsync", np.empty(64, np.uint8).ctypes.data, source, 64, on)
    call("cuLaunchKernel", *launch(kernel, on, source, target))
    refused("ILLEGAL_ADDRESS", "cuStreamSynchronize", on)


@on_standin
def test_use_after_a_free_on_the_stream() -> None:
    context()
    on, kernel, target = stream(), move(), memory()
    source = int(call("cuMemAllocAsync", 64, on))
    call("cuLaunchKernel", *launch(kernel, on, source, target))
    call("cuMemFreeAsync", source, on)
    call("cuStreamSynchronize", on)
    call("cuLaunchKernel", *launch(kernel, on, source, target))
    refused("ILLEGAL_ADDRESS", "cuStreamSynchronize", on)


@on_standin
def test_double_free() -> None:
    context()
    on, one, other = stream(), memory(), int(call("cuMemAllocAsync", 8, stream()))
    call("cuMemFree", one)
    refused("INVALID_VALUE", "cuMemFree", one)
    call("cuCtxSynchronize")
    call("cuMemFreeAsync", other, on)
    refused("INVALID_VALUE", "cuMemFreeAsync", other, on)
    refused("INVALID_VALUE", "cuMemFree", other)
    host = pinned()
    call("cuMemFreeHost", host.ctypes.data)
    refused("INVALID_VALUE", "cuMemFreeHost", host.ctypes.data)


@on_standin
def test_frees_of_what_is_no_allocation() -> None:
    context()
    address = memory()
    refused("INVALID_VALUE", "cuMemFree", address + 8)
    refused("INVALID_VALUE", "cuMemFreeHost", address)
    refused("INVALID_VALUE", "cuMemFree", pinned().ctypes.data)
    refused("INVALID_VALUE", "cuMemAlloc", 0)


@on_standin
def test_memory_that_runs_out() -> None:
    context()
    control.set_memory(1000)
    address = memory(600)
    assert call("cuMemGetInfo") == (400, 1000)
    refused("OUT_OF_MEMORY", "cuMemAlloc", 401)
    refused("OUT_OF_MEMORY", "cuMemAllocAsync", 401, stream())
    call("cuMemFree", address)
    memory(1000)


@on_standin
def test_code_for_other_devices() -> None:
    context()
    refused("NO_BINARY_FOR_GPU", "cuModuleLoadData", compiled(SOURCE, (9, 0)))
    refused("NO_BINARY_FOR_GPU", "cuModuleLoadData", compiled(SOURCE, (7, 5)))
    refused("INVALID_IMAGE", "cuModuleLoadData", b"neither a cubin nor PTX\0")
    call("cuModuleLoadData", compiled(SOURCE, (8, 6)))
    ptx = compiled(SOURCE, (99, 0))
    refused("NO_BINARY_FOR_GPU", "cuModuleLoadData", ptx)
    control.set_capability(999)
    call("cuModuleGetFunction", call("cuModuleLoadData", ptx), b"move")


@on_standin
def test_kernels_that_the_code_has_not() -> None:
    context()
    own = call("cuModuleLoadData", compiled(SOURCE, (8, 9)))
    refused("NOT_FOUND", "cuModuleGetFunction", own, b"gather")


@on_standin
def test_grids_and_blocks_that_are_too_large() -> None:
    context()
    arguments = launch(move(), stream(), memory(), memory())
    for place, size in ((1, 0), (2, 65536), (3, 65536), (4, 1025), (5, 2)):
        changed = [*arguments]
        changed[place] = size
        refused("INVALID_VALUE", "cuLaunchKernel", *changed)


@on_standin
def test_times_of_events_that_have_none() -> None:
    context()
    on, timed, untimed, later = stream(), event(), event(2), event()
    refused("INVALID_HANDLE", "cuEventElapsedTime", timed, later)
    for mark in (timed, untimed, later):
        call("cuEventRecord", mark, on)
    refused("INVALID_HANDLE", "cuEventElapsedTime", timed, untimed)
    call("cuStreamSynchronize", on)
    assert call("cuEventElapsedTime", timed, later) >= 0


@on_standin
def test_functions_that_the_stand_in_lacks_are_missing() -> None:
    context()
    with pytest.raises(RuntimeError, match="not found"):
        call("cuProfilerStart")


@on_standin
def test_what_is_allowed_works() -> None:
    """So that refusing everything is no way to pass."""
    context()
    on, kernel, source, target = stream(), move(), memory(), memory()
    call("cuMemcpyHtoDAsync", source, BYTES.ctypes.data, 64, on)
    call("cuMemsetD8Async", target, 7, 64, on)
    call("cuLaunchKernel", *launch(kernel, on, source, target, 8, 16))
    wanted = np.full(64, 7, np.uint8)
    wanted[8:24] = BYTES[8:24]
    np.testing.assert_array_equal(fetched(target), wanted)
    assert call("cuDriverGetVersion") >= 12000
    assert b"invalid argument" in call("cuGetErrorString", 1)
    assert not [line for line in control.log() if line.startswith("!")]
