"""Arrays in and out, as far as data formats go: `__cuda_array_interface__` is a dict."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from litematting_deploy.errors import InputError
from litematting_deploy.runtime.cuda.arrays import DeviceArray, is_device_array, view
from tests.runtime.cuda.host import HostCuda, HostStream

STREAM = HostStream()
IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


class Waited(HostCuda):
    """Counts how often the device was waited for."""

    def __init__(self) -> None:
        self.waits = 0

    def synchronize(self) -> None:
        self.waits += 1


def foreign(array: Any, **changes: Any) -> Any:
    """An object whose interface describes `array`."""
    interface = array.__array_interface__ | {"version": 3, "stream": None} | changes
    return SimpleNamespace(__cuda_array_interface__=interface)


def test_what_counts_as_lying_on_a_device() -> None:
    assert is_device_array(foreign(IMAGE))
    assert is_device_array(SimpleNamespace(__dlpack_device__=lambda: (2, 0)))
    assert not is_device_array(SimpleNamespace(__dlpack_device__=lambda: (1, 0)))
    assert not is_device_array(IMAGE)
    assert not is_device_array([[0, 255]])


def test_torch_tensors_on_the_host_are_none_of_them() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assert not is_device_array(torch.zeros(3, 3, dtype=torch.uint8))


@pytest.mark.parametrize("strides", [None, (18, 3, 1)])
@pytest.mark.parametrize("source", [{"stream": None}, {"stream": 1}, {"version": 2}], ids=str)
def test_a_view_copies_nothing_and_comes_after_its_producer(
    strides: tuple[int, ...] | None, source: dict[str, Any]
) -> None:
    cuda, pixels = Waited(), foreign(IMAGE, strides=strides, **source)
    seen = view(pixels, cuda, STREAM)
    assert (seen.address, seen.shape, seen.dtype.name) == (IMAGE.ctypes.data, (4, 6, 3), "uint8")
    assert seen.owner is pixels
    assert cuda.waits == 1
    assert view(seen, cuda, STREAM) is seen
    assert cuda.waits == 1


@pytest.mark.parametrize(
    "array", [IMAGE[:1], IMAGE[:, :, :1].copy(), IMAGE[:1, :1], np.zeros((1, 7), np.uint8)], ids=lambda a: str(a.shape)
)
def test_sides_of_one_pixel_may_have_any_stride(array: Any) -> None:
    strides = tuple(999 if side == 1 else stride for side, stride in zip(array.shape, array.strides, strict=True))
    assert view(foreign(array, strides=strides), Waited(), STREAM).shape == array.shape


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (IMAGE.astype(np.float32), "is float32, expected uint8, 0 to 255; convert it first"),
        (IMAGE.transpose(1, 0, 2), r"strides \(3, 18, 1\), expected C-contiguous; copy it first"),
        (IMAGE[:, ::2], "expected C-contiguous"),
        (IMAGE[::-1], "expected C-contiguous"),
        (np.broadcast_to(IMAGE[:1], IMAGE.shape), "expected C-contiguous"),
        (IMAGE[None], r"is \(1, 4, 6, 3\), expected \(H, W, 3\) or \(H, W\)"),
        (IMAGE.ravel(), r"is \(72,\), expected"),
    ],
    ids=["type", "transposed", "strided", "flipped", "broadcast", "batch", "flat"],
)
def test_arrays_that_the_kernels_cannot_read_are_refused(array: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        view(foreign(array, strides=array.strides), Waited(), STREAM)
    assert "\n" not in str(caught.value)


def test_an_array_of_another_device() -> None:
    there = DeviceArray(IMAGE.ctypes.data, IMAGE.shape, IMAGE.dtype, 1, IMAGE)
    with pytest.raises(InputError, match="is on cuda:1, but the engine runs on cuda:0; copy it there"):
        view(there, Waited(), STREAM)


def test_what_we_hand_out_is_taken_back() -> None:
    ours = DeviceArray(IMAGE.ctypes.data, IMAGE.shape, IMAGE.dtype, 0, IMAGE)
    assert is_device_array(ours)
    assert ours.__dlpack_device__() == (2, 0)
    interface = ours.__cuda_array_interface__
    assert interface["version"] == 3
    assert interface["stream"] is None
    as_host = SimpleNamespace(__array_interface__=interface | {"version": 3})
    np.testing.assert_array_equal(np.asarray(as_host), IMAGE)
    with pytest.raises(BufferError, match="is on cuda:0"):
        ours.__dlpack__(dl_device=(1, 0))


def test_dlpack_goes_through_cuda_core() -> None:
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    with pytest.raises(InputError, match="is on cuda:-1"):  # DLPack's own words for the host
        view(IMAGE, Waited(), SimpleNamespace(handle=-1))  # -1: no stream to wait for
