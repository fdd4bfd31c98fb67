"""The smaller photo and trimap that the network sees."""

import numpy as np
import pytest

from litematting_deploy.matting.reduced import enlarged, reduced_image, reduced_trimap


@pytest.mark.parametrize(
    ("hw", "scale", "small"), [((7, 12), 0.5, (4, 6)), ((8, 13), 0.75, (6, 10)), ((1, 1), 0.5, (1, 1))]
)
def test_sides_are_rounded_up(hw: tuple[int, int], scale: float, small: tuple[int, int]) -> None:
    assert reduced_image(np.zeros((*hw, 3), np.uint8), scale).shape == (*small, 3)
    assert reduced_trimap(np.zeros(hw, np.uint8), scale).shape == small


def test_pixels_are_means() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    means = image.reshape(3, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(reduced_image(image, 0.5) - means).max() <= 0.5


def test_nothing_unknown_is_lost_and_nothing_known_becomes_unknown() -> None:
    trimap = np.zeros((8, 8), np.uint8)
    trimap[:, 3:] = 255
    assert not (reduced_trimap(trimap, 0.5) == 128).any()
    trimap[5, 6] = 128
    small = reduced_trimap(trimap, 0.5)
    assert np.argwhere(small == 128).tolist() == [[2, 3]]
    assert set(np.unique(small)) == {0, 128, 255}
    assert (reduced_trimap(trimap, 0.75) == 128).any()


def test_an_alpha_keeps_its_place_and_its_range() -> None:
    ramp = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (20, 1))
    step = (ramp > 0.5).astype(np.float32)
    halves = ramp.reshape(10, 2, 20, 2).mean(axis=(1, 3))
    assert np.abs(enlarged(halves, (20, 40)) - ramp)[:, 4:-4].max() < 0.005  # half a pixel would be 0.013
    large = enlarged(step.reshape(10, 2, 20, 2).mean(axis=(1, 3)), (20, 40))
    assert large.min() == 0
    assert large.max() == 1
