import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from litematting_deploy.matting.guide import transformable_map
from tests.conftest import golden


@pytest.mark.parametrize("name", ["net_256x384", "net_320x320"])
def test_equals_the_published_guide(name: str) -> None:
    case = golden(name)
    np.testing.assert_allclose(transformable_map(case["trimap"]), case["guide"], atol=1e-6)


def test_equals_an_exact_distance_transform() -> None:
    rng = np.random.default_rng(0)
    trimap = np.full((150, 211), 128, np.uint8)
    trimap[rng.random(trimap.shape) < 0.0005] = 0
    trimap[rng.random(trimap.shape) < 0.0005] = 255
    for channel, value in zip(transformable_map(trimap), (0, 255), strict=True):
        distance = distance_transform_edt(trimap != value)
        np.testing.assert_allclose(channel, np.exp(-(distance**2) / (2 * 16**2)), atol=1e-5)


def test_a_region_that_is_absent_gives_zeros() -> None:
    trimap = np.full((40, 40), 128, np.uint8)
    assert not transformable_map(trimap).any()
    trimap[0, 0] = 255
    background, foreground = transformable_map(trimap)
    assert not background.any()
    assert foreground[0, 0] == 1
