"""Optical flow and its check, on pictures whose motion is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from litematting_deploy.matting.motion import FLOW_PIXELS, LOST, Flow, flows, grey_of


def texture(height: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    """Blotches of some pixels, 0..255."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 3)
    return np.asarray(np.interp(noise, (noise.min(), noise.max()), (0, 255)))


def as_grey(plane: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(plane.clip(0, 255)), np.uint8)


def test_a_shift_is_found_both_ways() -> None:
    whole = texture(140, 180)
    first, second = as_grey(whole[10:-10, 10:-10]), as_grey(whole[6:-14, 13:-7])
    there, back = flows(first, second)
    inner = (slice(20, -20), slice(20, -20))
    # What lies at (x, y) in the first lies at (x - 3, y + 4) in the second.
    np.testing.assert_allclose(np.median(there.vectors[inner], axis=(0, 1)), (-3, 4), atol=0.1)
    np.testing.assert_allclose(np.median(back.vectors[inner], axis=(0, 1)), (3, -4), atol=0.1)
    assert there.trusted[inner].mean() > 0.99
    assert not there.trusted[:, 0].any(), "what leaves the picture"
    assert (there.error[-1] == LOST).all()
    brought = there.bring(second.astype(np.float32))
    assert np.abs(brought - first)[inner].mean() < 1


def test_what_is_covered_is_not_trusted() -> None:
    """A square moves over a still ground: what it covers in the second picture is only in the first."""
    ground, square = texture(120, 160), texture(50, 50, seed=1)
    first, second = ground.copy(), ground.copy()
    first[35:85, 40:90] = square
    second[35:85, 50:100] = square
    there, back = flows(as_grey(first), as_grey(second))
    covered, uncovered = there.trusted[40:80, 92:98], back.trusted[40:80, 42:48]
    assert covered.mean() < 0.25
    assert uncovered.mean() < 0.25
    assert there.trusted[45:75, 50:80].mean() > 0.95
    assert there.trusted[:30].mean() > 0.95
    np.testing.assert_allclose(np.median(there.vectors[45:75, 50:80], axis=(0, 1)), (10, 0), atol=0.2)


def test_large_pictures_are_made_smaller_and_flow_larger_again() -> None:
    image = np.repeat(as_grey(texture(1200, 1600))[:, :, None], 3, axis=2)
    grey = grey_of(image)
    assert grey.size <= FLOW_PIXELS
    assert grey.shape[0] / grey.shape[1] == pytest.approx(0.75, abs=0.002)
    vectors = np.broadcast_to(np.array((2, -1), np.float32), (*grey.shape, 2))
    error = np.full(grey.shape, 0.5, np.float32)
    flow = Flow(np.ascontiguousarray(vectors), error, np.ones(grey.shape, bool)).enlarged((1200, 1600))
    np.testing.assert_allclose(flow.vectors[600, 800], (2 * 1600 / grey.shape[1], -1200 / grey.shape[0]), rtol=1e-5)
    assert flow.error.shape == flow.trusted.shape == (1200, 1600)
    assert grey_of(image[:100, :50]).shape == (100, 50)


@pytest.mark.parametrize("hw", [(5, 7), (1, 40), (33, 12)])
def test_small_pictures_have_flow(hw: tuple[int, int]) -> None:
    there, back = flows(np.full(hw, 90, np.uint8), np.full(hw, 90, np.uint8))
    for flow in (there, back):
        assert flow.error.shape == hw
        np.testing.assert_allclose(flow.vectors, 0, atol=0.01)
