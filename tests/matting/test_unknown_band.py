"""How wide the unknown band is: by the object's size, and by what the photo shows."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.matting.trimap import from_mask
from litematting_deploy.matting.unknown_band import Band

SIZE, RADIUS = 480, 110
CENTRE = SIZE // 2


def test_what_may_be_said() -> None:
    assert Band.parse("15", "unknown_width") == Band(15)
    assert Band.parse(" 2.5% ", "unknown_width") == Band(2.5, percent=True)
    assert Band.parse("1.5", "unknown_width") == Band(1.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *((text, "a number, .* or a percentage") for text in ("", "wide", "%", "2 px", "nan", "inf", "nan%")),
        *((text, "at least 1 pixel") for text in ("0", "-3")),
        *((text, "above 0% and up to 100%") for text in ("0%", "101%")),
    ],
)
def test_a_width_that_no_band_has_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"`unknown_width` must be {words}") as caught:
        Band.parse(text, "unknown_width")
    assert caught.value.parameter == "unknown_width"


def square(shape: tuple[int, int], *boxes: tuple[int, int, int]) -> NDArray[np.uint8]:
    mask = np.zeros(shape, np.uint8)
    for y, x, side in boxes:
        mask[y : y + side, x : x + side] = 255
    return mask


def band_width(trimap: NDArray[np.uint8], row: int, start: int) -> int:
    """Unknown pixels in a row from column `start` to the left."""
    return int(np.argmax(trimap[row, start::-1] != 128))


def test_every_object_by_its_own_size() -> None:
    mask = square((500, 900), (100, 100, 300), (200, 600, 100))
    trimap = from_mask(mask, Band(4, percent=True))
    assert band_width(trimap, 250, 99) == 12
    assert band_width(trimap, 250, 599) == 4
    twice = from_mask(np.kron(mask, np.ones((2, 2), np.uint8)), Band(4, percent=True))
    assert band_width(twice, 500, 199) == 24
    assert band_width(twice, 500, 1199) == 8


def test_one_object_has_the_band_of_so_many_pixels() -> None:
    mask = square((300, 300), (50, 50, 200))
    np.testing.assert_array_equal(from_mask(mask, Band(5, percent=True)), from_mask(mask, 10))
    speck = square((60, 60), (20, 20, 9))
    np.testing.assert_array_equal(from_mask(speck, Band(2, percent=True)), from_mask(speck, 3))


def test_a_strand_cut_off_by_the_mask_has_the_band_of_its_object() -> None:
    mask = square((400, 500), (100, 150, 200))
    mask[180:183, 120:140] = 255  # 10 pixels from the object, whose band is 20
    mask[350:353, 20:40] = 255
    trimap = from_mask(mask, Band(10, percent=True))
    assert band_width(trimap, 181, 119) == 20
    assert band_width(trimap, 351, 19) == 3


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("relative", [False, True])
def test_a_mask_without_an_edge(value: int, relative: bool) -> None:
    mask, photo = np.full((40, 50), value, np.uint8), np.zeros((40, 50, 3), np.uint8)
    assert (from_mask(mask, Band(10, relative), photo=photo) == value).all()


def hairy_disk(strands: int, noise: float, outwards: bool = True) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A disk whose right half is hairy: alpha (S, S) 0..1, photo (S, S, 3), and a mask of the bare disk.

    Strands of 1 pixel reach 20 to 50 pixels over the mask's edge, or gaps as long and thin into it.
    """
    rng, scale, bits = np.random.default_rng(7), 2, 3
    alpha = np.zeros((SIZE * scale,) * 2, np.uint8)
    cv2.circle(alpha, (CENTRE * scale,) * 2, RADIUS * scale, 255, -1, cv2.LINE_AA)
    for angle in rng.uniform(-np.pi / 2, np.pi / 2, strands):
        ends = RADIUS + np.array((-3, rng.uniform(20, 50)) if outwards else (3, -rng.uniform(20, 50)))
        along = np.linspace(ends[0], ends[1], 12)
        turned = angle + rng.normal(0, 0.1) * np.linspace(0, 1, 12)
        points = scale * (CENTRE + along[:, None] * np.stack([np.cos(turned), np.sin(turned)], axis=1))
        line = [np.rint(points * 2**bits).astype(np.int32)]
        cv2.polylines(alpha, line, False, 255 if outwards else 0, scale, cv2.LINE_AA, bits)
    small = cv2.resize(alpha, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[:, :, None] / np.float64(255)
    behind = np.linspace(180, 130, SIZE)[:, None, None]
    photo = small * (90, 60, 40) + (1 - small) * behind + rng.normal(0, noise, (SIZE, SIZE, 3))
    mask = cv2.circle(np.zeros((SIZE, SIZE), np.uint8), (CENTRE, CENTRE), RADIUS, 255, -1)
    return small[:, :, 0], photo.clip(0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("outwards", [True, False], ids=["strands", "gaps"])
@pytest.mark.parametrize("noise", [0, 3, 8])
@pytest.mark.parametrize("strands", [25, 80, 300])
def test_wide_at_the_hairy_side_and_narrow_at_the_smooth_one(strands: int, noise: float, outwards: bool) -> None:
    alpha, photo, mask = hairy_disk(strands, noise, outwards)
    fractional = (alpha > 0.02) & (alpha < 0.98)
    fixed, adaptive = from_mask(mask, 15) == 128, from_mask(mask, 15, photo=photo) == 128
    assert fixed[fractional].mean() < 0.7
    assert adaptive[fractional].mean() >= 0.99
    smooth = np.s_[:, : CENTRE - 70]  # the strands bend
    assert fixed[smooth].sum() <= adaptive[smooth].sum() <= 1.02 * fixed[smooth].sum()
    distance = np.where(mask == 0, distance_transform_edt(mask == 0), distance_transform_edt(mask))
    assert adaptive[fixed].all()
    assert not adaptive[distance > 4 * 15].any()


def test_a_photo_with_grain_or_grass_all_over_is_not_hairy() -> None:
    _, _, mask = hairy_disk(0, 0)
    rng = np.random.default_rng(3)
    grass = cv2.GaussianBlur(rng.normal(120, 120, (SIZE, SIZE, 3)), (0, 0), 1.0).clip(0, 255).astype(np.uint8)
    fixed, adaptive = (np.mean(from_mask(mask, 15, photo=photo) == 128) for photo in (None, grass))
    assert adaptive < 1.1 * fixed


def test_no_crumbs_of_sure_pixels_in_the_hair() -> None:
    _, photo, mask = hairy_disk(80, 3)
    sure = (from_mask(mask, 15, photo=photo) != 128).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(sure, connectivity=4)
    assert stats[1:, cv2.CC_STAT_AREA].min() >= 15**2


def test_a_photo_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"m\.png: is 9x9, its photo is 8x9; the sizes must match"):
        from_mask(np.eye(9, dtype=np.uint8) * 255, 3, "m.png", np.zeros((9, 8, 3), np.uint8))


def test_an_adaptive_band_leaves_no_islands_of_foreground() -> None:
    """A smooth spot in the midst of fur, which is no surer than the fur around it; the body beyond is sure."""
    rng = np.random.default_rng(0)
    mask, photo = np.zeros((120, 300), np.uint8), np.full((120, 300, 3), 120, np.uint8)
    mask[30:] = 255
    photo[30:78] = rng.integers(0, 256, (48, 300, 1))
    photo[46:66, 120:180] = 120
    narrow, wide = (from_mask(mask, 10, photo=photo, adaptive=adaptive) for adaptive in (False, True))
    assert (wide == 128).sum() > 1.5 * (narrow == 128).sum()
    count, _ = cv2.connectedComponents((wide == 255).astype(np.uint8))
    assert count == 2, "the body alone"
    assert (wide[85:] == 255).all()
    assert (wide[56, 150], narrow[56, 150]) == (128, 255)
