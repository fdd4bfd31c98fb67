from typing import Any

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.matting.inputs import network_image, one_hot
from litematting_deploy.matting.trimap import decode, from_mask


def grey(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.array([values], np.uint8)


def test_the_three_encodings() -> None:
    assert decode(grey(0, 128, 255)).tolist() == [[0, 128, 255]]
    assert decode(grey(0, 1, 127, 254, 255), "between").tolist() == [[0, 128, 128, 128, 255]]
    assert decode(grey(0, 1, 2), "labels").tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("values", "encoding", "words"),
    [
        pytest.param(
            grey(0, 127, 127, 255),
            "exact",
            r"a trimap contains only 0, 128, 255; this one also contains 127 \(2 px\)\. .*`trimap_encoding=between`",
            id="exact",
        ),
        pytest.param(grey(0, 128), "labels", "contains only 0, 1, 2; this one also contains 128", id="labels"),
        pytest.param(np.zeros((2, 2), np.float32), "exact", r"\(H, W\) uint8", id="floats"),
    ],
)
def test_strange_values_are_named_with_the_fix(values: Any, encoding: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"t\.png: .*{words}"):
        decode(values, encoding, name="t.png")


@pytest.mark.parametrize("unknown", [1, 5, 15])
def test_binary_mask_gets_a_band_of_that_width_on_both_sides(unknown: int) -> None:
    yy, xx = np.mgrid[:90, :120]
    mask = (((yy - 45) ** 2 + (xx - 60) ** 2 < 35**2) * 255).astype(np.uint8)
    trimap = from_mask(mask, unknown)
    wanted = np.full(mask.shape, 128, np.uint8)
    wanted[distance_transform_edt(mask == 255) > unknown] = 255
    wanted[distance_transform_edt(mask == 0) > unknown] = 0
    np.testing.assert_array_equal(trimap, wanted)
    assert set(np.unique(trimap)) == {0, 128, 255}


def test_soft_mask_is_unknown_where_it_is_soft() -> None:
    mask = np.repeat(np.linspace(0, 255, 200).astype(np.uint8)[None], 20, axis=0)
    trimap = from_mask(mask, 3)
    assert (trimap[(mask > 5) & (mask < 250)] == 128).all()
    assert trimap[0, 0] == 0
    assert trimap[0, -1] == 255


@pytest.mark.parametrize("value", [0, 255])
def test_mask_without_an_edge(value: int) -> None:
    assert (from_mask(np.full((9, 9), value, np.uint8), 15) == value).all()


def test_band_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        from_mask(np.zeros((4, 4), np.uint8), 0)


def test_network_inputs() -> None:
    planes = one_hot(grey(0, 128, 255))
    assert planes.shape == (3, 1, 3)
    assert planes[:, 0].tolist() == np.eye(3).tolist()
    image = np.array([[[255, 51, 0]]], np.uint8)
    assert network_image(image).ravel().tolist() == pytest.approx([1, 0.2, 0])
    assert network_image(image).dtype == np.float32


def test_masks_of_zero_and_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"m\.png: its brightest value is 1 of 255, .* scale the mask"):
        from_mask(np.eye(9, dtype=np.uint8), 3, "m.png")
