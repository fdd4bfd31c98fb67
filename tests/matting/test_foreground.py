import numpy as np
import pytest
from numpy.typing import NDArray
from pymatting import estimate_foreground_ml

from litematting_deploy.matting.foreground import estimate_foreground


def scene(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """A red disc with a soft edge over blue: photo, alpha, true foreground colour."""
    yy, xx = np.mgrid[:height, :width]
    distance = np.hypot(yy - height / 2, xx - width / 2)
    alpha = np.clip((min(height, width) * 0.35 - distance) / 30 + 0.5, 0, 1).astype(np.float32)
    red, blue = np.array([0.9, 0.2, 0.1], np.float32), np.array([0.1, 0.2, 0.8], np.float32)
    photo = red * alpha[:, :, None] + blue * (1 - alpha[:, :, None])
    return np.rint(photo * 255).astype(np.uint8), alpha, red


def test_colours_of_soft_pixels_are_those_of_the_foreground() -> None:
    photo, alpha, red = scene(200, 300)
    estimated = estimate_foreground(photo, alpha)
    soft = (alpha > 0.1) & (alpha < 1)
    assert np.abs(photo[soft] / 255 - red).mean() > 0.2
    assert np.abs(estimated[soft] / 255 - red).mean() < 0.03


def test_opaque_pixels_keep_the_photo() -> None:
    photo, alpha, _ = scene(120, 160)
    assert np.array_equal(estimate_foreground(photo, alpha)[alpha == 1], photo[alpha == 1])


@pytest.mark.parametrize("strip_rows", [128, 200, 331, 735, 736, 800])
def test_strips_equal_the_whole_where_it_shows(strip_rows: int) -> None:
    photo, alpha, _ = scene(800, 240)
    whole = estimate_foreground_ml(photo / np.float32(255), alpha).clip(0, 1)
    strips = estimate_foreground(photo, alpha, strip_pixels=strip_rows * 240, overlap_rows=64)
    shown = np.abs(strips / 255 - whole) * alpha[:, :, None]
    assert shown.max() < 0.03
    assert shown.mean() < 0.002
