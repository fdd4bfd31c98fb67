"""Foreground colours by the kernels, on the host and on a device that works late, beside NumPy's and OpenCV's."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import DeviceError, ForegroundError
from litematting_deploy.images.photo import Photo
from litematting_deploy.matting.foreground import estimate_foreground
from litematting_deploy.matting.unmixing import TILE, unmix
from litematting_deploy.runtime import Matter
from litematting_deploy.runtime.cuda.kernels import Kernels
from litematting_deploy.runtime.device_unmixing import DeviceUnmixer
from litematting_deploy.runtime.on_device import OnDevice
from tests.runtime.cuda.host import HostCuda
from tests.runtime.cuda.lazy import LazyCuda
from tests.runtime.test_device import ByAddress
from tests.runtime.test_matter import IMAGE, TRIMAP, RedIsAlpha

Floats = NDArray[np.float32]


def scene(height: int, width: int, kind: str) -> tuple[Floats, Floats]:
    """Light (H, W, 3), some of it above 1, and an alpha of a kind: "noise"; "soft", an edge with much that is known
    around it; or "hard", a rectangle whose edges are near those of tiles."""
    rng = np.random.default_rng(height * 1000 + width)
    light = rng.random((height, width, 3), np.float32) * np.float32(1.3)
    alpha = rng.random((height, width), np.float32)
    if kind == "soft":
        ramp = np.linspace(-3, 4, width, dtype=np.float32) + np.float32(0.2) * alpha
        alpha = np.broadcast_to(ramp, alpha.shape).clip(0, 1)
        light = np.asarray(cv2.blur(light, (9, 9)), np.float32)
    elif kind == "hard":
        alpha[:] = 0
        alpha[TILE + 1 :, 2 * TILE + 1 : 3 * TILE - 1] = 1
    return light, np.ascontiguousarray(alpha, np.float32)


def whole(found: Any, shape: tuple[int, ...]) -> Floats:
    front = np.full((3, *shape[:2]), np.nan, np.float32)
    for window, part in found:
        front[:, *window] = part
    return front


@pytest.mark.parametrize("strip_bytes", [1, 1 << 28], ids=["strips", "at once"])
@pytest.mark.parametrize(
    ("hw", "kind"),
    [
        *(((1, 1), "noise"), ((1, 9), "noise"), ((33, 2), "noise"), ((150, 211), "noise")),
        *(((2 * TILE + 7, 4 * TILE + 31), "soft"), ((2 * TILE + 7, 4 * TILE + 31), "hard")),
    ],
    ids=str,
)
def test_the_colours_are_the_hosts(host_cuda: HostCuda, hw: tuple[int, int], kind: str, strip_bytes: int) -> None:
    light, alpha = scene(*hw, kind)
    before = host_cuda.held_bytes
    bounds = np.float32(0), np.float32(1.2)

    def light_of(window: Any) -> Floats:
        return np.stack(cv2.split(light[window]))

    wanted = whole(unmix(light_of, alpha, bounds), hw)
    found = whole(DeviceUnmixer(host_cuda, Kernels(host_cuda), strip_bytes)(light_of, alpha, bounds), hw)
    assert np.ptp(wanted) > 0.1 or hw == (1, 1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert host_cuda.held_bytes == before


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_used_before_it_is_there_or_after_it_is_freed(host_cuda: HostCuda, seed: int) -> None:
    light, alpha = scene(40, 51, "noise")
    cuda: Any = LazyCuda(host_cuda.folder, seed)

    def light_of(window: Any) -> Floats:
        return np.stack(cv2.split(light[window]))

    found = whole(DeviceUnmixer(cuda, Kernels(cuda))(light_of, alpha, (0, 1.2)), (40, 51))
    np.testing.assert_allclose(found, whole(unmix(light_of, alpha, (0, 1.2)), (40, 51)), atol=1e-5)


def test_the_colours_of_a_photo_that_was_matted_on_a_device(host_cuda: HostCuda) -> None:
    """Also after the engine was closed, which gives its memory back."""
    photo = Photo("a photo", IMAGE, IMAGE)
    with Matter(OnDevice(ByAddress(RedIsAlpha()), host_cuda)) as matter:
        alpha, unmixed = matter(IMAGE, TRIMAP), matter.unmix
    assert isinstance(unmixed, DeviceUnmixer)
    here, there = estimate_foreground(photo, alpha), estimate_foreground(photo, alpha, unmixed)
    assert np.abs(here.astype(int) - there).max() <= 1  # a rounding away
    assert (here != there).mean() < 0.001
    with Matter(RedIsAlpha()) as matter:
        assert matter.unmix is unmix


def test_a_device_without_room_fails_the_colours_alone(host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise DeviceError("GPU 0: out of memory")

    monkeypatch.setattr(host_cuda, "buffer", full)
    photo, alpha = Photo("a photo", IMAGE, IMAGE), np.full(IMAGE.shape[:2], 0.5, np.float32)
    with pytest.raises(ForegroundError, match=r"a photo: its foreground colours cannot be estimated \(GPU 0: out of"):
        estimate_foreground(photo, alpha, DeviceUnmixer(host_cuda, Kernels(host_cuda)))
