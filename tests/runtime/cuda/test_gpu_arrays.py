"""Arrays of PyTorch and CuPy in and out, without a copy, on a real device."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from litematting_deploy.errors import DependencyError, DeviceError, InputError
from litematting_deploy.runtime.cuda import open_cuda
from litematting_deploy.runtime.cuda.arrays import DeviceArray, is_device_array, view
from litematting_deploy.runtime.cuda.protocol import Cuda

pytestmark = pytest.mark.gpu

PIXELS = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)


@pytest.fixture
def cuda() -> Iterator[Cuda]:
    try:
        opened = open_cuda(0)
    except (DeviceError, DependencyError) as error:
        pytest.skip(str(error))
    with opened.active():
        yield opened


@pytest.fixture
def torch(cuda: Cuda) -> Any:
    module = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not module.cuda.is_available():
        pytest.skip(f"PyTorch sees no GPU, though {cuda.gpu} is there")
    return module


@pytest.fixture
def cupy(cuda: Cuda) -> Any:  # noqa: ARG001  # skips where there is no device
    return pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)


def fetched(cuda: Cuda, array: DeviceArray) -> Any:
    stream, host = cuda.stream(), np.empty(array.shape, array.dtype)
    cuda.download(host, array.address, stream)
    stream.synchronize()
    return host


def ours(cuda: Cuda, array: Any) -> DeviceArray:
    stream, buffer = cuda.stream(), cuda.buffer(array.nbytes)
    cuda.upload(buffer.address, array, stream)
    stream.synchronize()
    return DeviceArray(buffer.address, array.shape, array.dtype, cuda.index, buffer)


def test_torch_in(cuda: Cuda, torch: Any) -> None:
    theirs = torch.from_numpy(PIXELS).cuda()
    assert is_device_array(theirs)
    seen = view(theirs, cuda, cuda.stream())
    assert (seen.address, seen.shape, seen.dtype.name) == (theirs.data_ptr(), PIXELS.shape, "uint8")
    np.testing.assert_array_equal(fetched(cuda, seen), PIXELS)
    grey = view(theirs[:, :, 0].contiguous(), cuda, cuda.stream())
    np.testing.assert_array_equal(fetched(cuda, grey), PIXELS[:, :, 0])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda tensor: tensor.permute(1, 0, 2), "expected C-contiguous"),
        (lambda tensor: tensor[:, :, 0], "expected C-contiguous"),
        (lambda tensor: tensor.float(), "is float32, expected uint8"),
        (lambda tensor: tensor.half(), "is float16, expected uint8"),
        (lambda tensor: tensor.bfloat16(), "expected uint8"),
    ],
    ids=["transposed", "a channel", "float32", "float16", "bfloat16"],
)
def test_tensors_that_the_kernels_cannot_read_are_refused(
    cuda: Cuda, torch: Any, changed: Callable[[Any], Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        view(changed(torch.from_numpy(PIXELS).cuda()), cuda, cuda.stream())


@pytest.mark.parametrize("side", [False, True], ids=["default stream", "side stream"])
def test_torchs_own_work_comes_first(cuda: Cuda, torch: Any, side: bool) -> None:
    with torch.cuda.stream(torch.cuda.Stream() if side else torch.cuda.current_stream()):
        heavy = torch.rand(4096, 4096, device="cuda")
        theirs = torch.zeros(64, 64, dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()
        for value in range(1, 6):
            for _ in range(20):
                heavy = (heavy @ heavy).sigmoid()
            theirs.fill_(value)
            stream, host = cuda.stream(), np.empty((64, 64), np.uint8)
            seen = view(theirs, cuda, stream)
            cuda.download(host, seen.address, stream)
            stream.synchronize()
            assert (host == value).all()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_torch_out(cuda: Cuda, torch: Any, dtype: Any) -> None:
    array = ours(cuda, PIXELS[:, :, 0].astype(dtype))
    for theirs in (torch.as_tensor(array, device="cuda"), torch.from_dlpack(array)):
        assert theirs.data_ptr() == array.address
        np.testing.assert_array_equal(theirs.cpu().numpy(), PIXELS[:, :, 0].astype(dtype))


def test_memory_lives_as_long_as_torchs_view_of_it(cuda: Cuda, torch: Any) -> None:
    theirs = torch.from_dlpack(ours(cuda, PIXELS))
    others = [ours(cuda, np.zeros_like(PIXELS)) for _ in range(20)]
    np.testing.assert_array_equal(theirs.cpu().numpy(), PIXELS)
    assert all(other.address != theirs.data_ptr() for other in others)


def test_cupy_in_and_out(cuda: Cuda, cupy: Any) -> None:
    theirs = cupy.asarray(PIXELS)
    seen = view(theirs, cuda, cuda.stream())
    assert seen.address == theirs.data.ptr
    np.testing.assert_array_equal(fetched(cuda, seen), PIXELS)
    with pytest.raises(InputError, match="expected C-contiguous"):
        view(theirs[:, ::2], cuda, cuda.stream())
    array = ours(cuda, PIXELS.astype(np.uint16))
    for taken in (cupy.asarray(array), cupy.from_dlpack(array)):
        assert taken.data.ptr == array.address
        np.testing.assert_array_equal(cupy.asnumpy(taken), PIXELS)
