"""What Python programs give a `Matter`: what is clear is taken, the rest is answered with the package's own errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from litematting_deploy import Matter
from litematting_deploy.errors import InputError, LiteMattingError, NotFiniteError, UsageError
from litematting_deploy.runtime.on_device import OnDevice
from tests.runtime.cuda.host import HostCuda
from tests.runtime.test_device import ByAddress, Resident
from tests.runtime.test_matter import RedIsAlpha

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 30, 3), np.uint8)
IMAGE[0, 0, 0] = 255
TRIMAP = np.full((20, 30), 128, np.uint8)
TRIMAP[10:] = 255
ALPHA = np.where(TRIMAP == 128, IMAGE[..., 0] / np.float32(255), np.float32(1))


@pytest.fixture(params=["host", "device"])
def matter(request: pytest.FixtureRequest) -> Matter:
    """A matter whose alpha is the red channel, with its engine on the host or on a device."""
    engine = RedIsAlpha()
    if request.param == "host":
        return Matter(engine)
    host_cuda: HostCuda = request.getfixturevalue("host_cuda")
    return Matter(OnDevice(ByAddress(engine), host_cuda))


def spellings(name: str) -> list[Any]:
    return [name, np.dtype(name), getattr(np, name)]


@pytest.mark.parametrize("name", ["uint8", "uint16", "float16", "float32", "float64"])
def test_alpha_comes_in_the_dtype_asked_for_however_it_is_spelled(matter: Matter, name: str) -> None:
    top = np.iinfo(name).max if name.startswith("u") else 1
    for dtype in spellings(name):
        alpha = matter(IMAGE, TRIMAP, dtype=dtype)
        (again,) = matter.sequence([(IMAGE, TRIMAP)], dtype=dtype)
        assert alpha.dtype == again.dtype == np.dtype(name)
        assert alpha.max() == top
        np.testing.assert_allclose(alpha / top, ALPHA, atol=1e-3 if name == "float16" else 0.51 / 255)
        np.testing.assert_array_equal(alpha, again)


@pytest.mark.parametrize("dtype", ["uint32", np.int64, int, bool, "alpha", ">u2", None, object, [1]], ids=str)
def test_other_dtypes_are_refused(matter: Matter, dtype: Any) -> None:
    accepted = r"`dtype` must be uint8, uint16, float16, float32 or float64; got"
    with pytest.raises(UsageError, match=accepted) as failure:
        matter(IMAGE, TRIMAP, dtype=dtype)
    assert failure.value.parameter == "dtype"
    with pytest.raises(UsageError, match=accepted):
        list(matter.sequence([(IMAGE, TRIMAP)], dtype=dtype))


@pytest.mark.parametrize(
    "given",
    [
        lambda array: Image.fromarray(array),
        lambda array: array.tolist(),
        lambda array: tuple(map(tuple, array.tolist())),
        lambda array: array.astype(np.int64),
        lambda array: torch.from_numpy(array.copy()),
        lambda array: memoryview(array),
        lambda array: np.asfortranarray(array),
    ],
    ids=["PIL", "lists", "tuples", "int64", "torch", "memoryview", "Fortran"],
)
def test_anything_that_is_clearly_a_photo_or_a_trimap_is_taken(matter: Matter, given: Callable[[Any], Any]) -> None:
    wanted = matter(IMAGE, TRIMAP)
    np.testing.assert_array_equal(matter(given(IMAGE), given(TRIMAP)), wanted)
    np.testing.assert_array_equal(next(matter.sequence([(given(IMAGE), given(TRIMAP))])), wanted)
    np.testing.assert_array_equal(matter(IMAGE, TRIMAP[..., None]), wanted)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_in_0_to_1_are_taken_where_the_caller_says_so(matter: Matter, dtype: Any) -> None:
    floats = IMAGE.astype(dtype) / dtype(255)
    with pytest.raises(InputError, match=r"`image` must be \(H, W, 3\) uint8 RGB; got .* float.*`unit_range=True`"):
        matter(floats, TRIMAP)
    wanted = matter(IMAGE, TRIMAP)
    np.testing.assert_array_equal(matter(floats, TRIMAP, unit_range=True), wanted)
    np.testing.assert_array_equal(next(matter.sequence([(floats, TRIMAP)], unit_range=True)), wanted)


def changed(value: float) -> Any:
    floats = IMAGE.astype(np.float32) / 255
    floats[3, 4, 1] = value
    return floats


@pytest.mark.parametrize(
    ("image", "unit_range", "words"),
    [
        (changed(1.5), True, "`image` must be between 0 and 1 with `unit_range=True`; got values from 0 to 1.5"),
        (changed(float("nan")), True, "got nan"),
        (changed(-0.25), True, "got values from -0.25 to 1"),
        (IMAGE, True, "`image` must be floats between 0 and 1 with `unit_range=True`; got uint8"),
        (IMAGE.astype(np.uint16) * 257, False, "got (20, 30, 3) uint16; scale it to 0 to 255"),
        (IMAGE.astype(int) + 1, False, "`image` must be between 0 and 255; got values from 1 to 256"),
        (IMAGE > 100, False, "got (20, 30, 3) bool"),
        (IMAGE[..., 0], False, "got (20, 30) uint8"),
        (np.dstack([IMAGE, IMAGE]), False, "got (20, 30, 6) uint8"),
        (IMAGE[:0], False, "got (0, 30, 3) uint8"),
        (Image.fromarray(IMAGE).convert("RGBA"), False, "got a PIL image of mode RGBA; convert it with convert('RGB')"),
        (Image.fromarray(IMAGE[..., 0]), False, "got a PIL image of mode L; convert it with convert('RGB')"),
        ([[[1, 2, 3]], [[1, 2]]], False, "`image` cannot be read as an array"),
        ("photo.png", False, "got () <U9; read a file with read_image"),
        (None, False, "got () object"),
    ],
    ids=range(15),
)
def test_other_photos_are_refused(matter: Matter, image: Any, unit_range: bool, words: str) -> None:
    with pytest.raises(InputError) as failure:
        matter(image, TRIMAP, unit_range=unit_range)
    assert words in str(failure.value)
    assert failure.value.parameter == "image"


@pytest.mark.parametrize(
    ("trimap", "words"),
    [
        (
            TRIMAP > 128,
            "`trimap` must be (H, W) uint8 of 0, 128 and 255; got a Boolean mask",
        ),
        (Image.fromarray(TRIMAP > 128), "got a Boolean mask"),
        (TRIMAP / 255, "got (20, 30) float64; scale it to 0, 128 and 255"),
        (TRIMAP + 1, "a trimap contains only 0, 128, 255; this one also contains"),
        (TRIMAP.astype(int) - 1, "a trimap contains only 0, 128, 255; this one also contains 127"),
        (TRIMAP.astype(int) * 2, "`trimap` must be between 0 and 255; got values from 256 to 510"),
        (np.dstack([TRIMAP] * 3), "got (20, 30, 3) uint8"),
        (Image.fromarray(TRIMAP).convert("P"), "got a PIL image of mode P; convert it with convert('L')"),
        (TRIMAP[:, :10], "image is 30x20, trimap 10x20"),
    ],
    ids=range(9),
)
def test_other_trimaps_are_refused(matter: Matter, trimap: Any, words: str) -> None:
    with pytest.raises(InputError) as failure:
        matter(IMAGE, trimap)
    assert words in str(failure.value)


def test_a_trimap_without_unknown_pixels_is_taken_where_the_caller_says_so(matter: Matter) -> None:
    """It may well be a mask, which the commands refuse, too; in a sequence another trimap tells."""
    hard = np.where(TRIMAP == 128, np.uint8(0), TRIMAP)
    words = r"`trimap`: has no unknown pixels.*make_trimap.*`allow_no_unknown`"
    with pytest.raises(InputError, match=words) as failure:
        matter(IMAGE, hard)
    assert failure.value.parameter == "trimap"
    np.testing.assert_array_equal(matter(IMAGE, hard, allow_no_unknown=True), hard / 255)
    mixed = list(matter.sequence([(IMAGE, hard), (IMAGE, TRIMAP), (IMAGE, hard)]))
    np.testing.assert_allclose(mixed, [hard / 255, ALPHA, hard / 255], atol=1e-6)
    alphas = matter.sequence([(IMAGE, hard)] * 2)
    np.testing.assert_array_equal([next(alphas), next(alphas)], [hard / 255] * 2)
    with pytest.raises(InputError, match="`frames`: has no unknown pixels") as failure:
        next(alphas)
    assert failure.value.parameter == "frames"
    assert len(list(matter.sequence([(IMAGE, hard)] * 2, allow_no_unknown=True))) == 2
    assert list(matter.sequence([])) == []


@pytest.mark.parametrize(
    ("call", "parameter"),
    [
        (lambda _: Matter(3), "engine"),  # type: ignore[arg-type]  # that is what is tested
        (lambda _: Matter("m.onnx"), "engine"),  # type: ignore[arg-type]
        (lambda matter: matter.plan(None), "trimap"),
        (lambda matter: matter.plan(IMAGE), "trimap"),
        (lambda matter: matter(IMAGE, TRIMAP, 3), "progress"),
        (lambda matter: matter.sequence([(IMAGE, TRIMAP)], progress=3), "progress"),
        (lambda matter: matter.sequence(3), "frames"),
        (lambda matter: matter.sequence(None), "frames"),
        (lambda matter: next(matter.sequence([IMAGE])), "frames"),
    ],
    ids=["number", "path", "no plan", "a photo's plan", "progress", "of many", "a number of frames", "none", "no pair"],
)
def test_what_is_no_argument_is_one_line_at_once(matter: Matter, call: Callable[[Matter], Any], parameter: str) -> None:
    with pytest.raises((UsageError, InputError)) as failure:
        call(matter)
    assert failure.value.parameter == parameter
    assert len(str(failure.value)) < 200


def test_what_the_callers_own_function_raises_is_no_failed_frame(matter: Matter) -> None:
    mine = NotFiniteError("mine")

    def stop(*_: int) -> None:
        raise mine

    for job in (
        lambda: matter(IMAGE, TRIMAP, stop),
        lambda: list(matter.sequence([(IMAGE, TRIMAP)] * 3, progress=stop, go_on=True)),
    ):
        with pytest.raises(NotFiniteError) as failure:
            job()
        assert failure.value is mine
    assert len(list(matter.sequence([(IMAGE, TRIMAP)] * 3))) == 3, "and the matter works on"


def test_a_closed_matter_says_so(matter: Matter) -> None:
    with matter:
        waiting = matter.sequence([(IMAGE, TRIMAP)])
    matter.close()
    with pytest.raises(UsageError, match="this Matter is closed; open another"):
        matter(IMAGE, TRIMAP)
    with pytest.raises(UsageError, match="this Matter is closed; open another"):
        matter.sequence([(IMAGE, TRIMAP)])
    with pytest.raises(UsageError, match="closed"):
        next(waiting)


def test_a_closed_engine_says_so(small_onnx: Any) -> None:
    matter = Matter.load(small_onnx)
    matter.engine.close()
    with pytest.raises(UsageError, match="onnxruntime-cpu: the engine is closed; open it again"):
        matter(IMAGE, TRIMAP)


def test_what_lies_on_a_device_is_refused_where_the_engine_works_on_the_host() -> None:
    with pytest.raises(InputError, match="`image` is on a CUDA device, but the engine runs on the host"):
        Matter(RedIsAlpha())(Resident(IMAGE), TRIMAP)


def test_on_a_device_alpha_is_of_what_the_kernels_write(host_cuda: HostCuda) -> None:
    with Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda)) as matter:
        assert matter(Resident(IMAGE), Resident(TRIMAP), dtype="uint8").dtype == np.uint8
        with pytest.raises(
            UsageError, match="`dtype` must be float32, uint8 or uint16 if the alpha stays on the device"
        ):
            matter(Resident(IMAGE), Resident(TRIMAP), dtype=np.float16)


def test_all_of_these_are_errors_of_the_package() -> None:
    assert issubclass(InputError, LiteMattingError)
    assert issubclass(UsageError, LiteMattingError)
