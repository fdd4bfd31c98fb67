"""Masks by a box, a key colour and a clean plate, against drawn alphas; the trimap is made by the rule of all masks."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy import make_trimap
from litematting_deploy.errors import InputError, LiteMattingError, UsageError
from litematting_deploy.images.colour import srgb_decode
from litematting_deploy.images.photo import read_photo
from litematting_deploy.jobs.trimaps import made_trimap
from litematting_deploy.segmentation.box import mask_from_box, say_beyond
from litematting_deploy.segmentation.key import chroma_of, find_key, mask_from_key
from litematting_deploy.segmentation.maker import MaskMaker
from litematting_deploy.segmentation.pieces import count_pieces, largest_pieces, with_doubtful_holes, without_crumbs
from litematting_deploy.segmentation.plate import exposed, mask_from_plate
from litematting_deploy.specs import TrimapSpec
from tests.images.files import save_exr
from tests.segmentation.scenes import BOX, HW, alpha, before_screen, check, pair

GREEN, BLUE = (0.06, 0.42, 0.1), (0.03, 0.08, 0.5)


@pytest.mark.parametrize(
    ("colour", "key"),
    [(GREEN, "auto"), (GREEN, "green"), (BLUE, "blue"), (GREEN, "#46ac59")],
    ids=["auto", "green", "blue", "a colour"],
)
def test_a_screen_that_is_lit_unevenly(colour: tuple[float, float, float], key: str) -> None:
    check(make_trimap(before_screen(colour), key=key), wrong=0.001)


def test_a_screen_without_noise_has_no_unknown_far_from_the_object() -> None:
    trimap = make_trimap(before_screen(noise=0.6), key="green", unknown_width=3)
    far = np.hypot(*(np.mgrid[: HW[0], : HW[1]] - np.reshape((125, 160), (2, 1, 1)))) > 110
    assert (trimap[far] == 0).all()


def test_chroma_does_not_depend_on_brightness_and_is_oklabs() -> None:
    """Ottosson's example values: red, green and blue of sRGB as L, a, b."""
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    lab = np.array([[0.62796, 0.22486, 0.12585], [0.86644, -0.23389, 0.17950], [0.45201, -0.03246, -0.31153]])
    np.testing.assert_allclose(chroma_of(primaries)[0], lab[:, 1:] / lab[:, :1], atol=2e-4)
    # Half of the light of (188, 99, 137) is (137, 71, 99), but for rounding.
    both = chroma_of(np.array([[[188, 99, 137], [137, 71, 99]]], np.uint8))[0]
    np.testing.assert_allclose(both[0], both[1], atol=4e-3)


def test_the_key_is_the_screens_own_colour() -> None:
    found = find_key(chroma_of(before_screen()), "auto")
    wanted = chroma_of(before_screen(noise=0)[:4, :4]).reshape(-1, 2).mean(axis=0)
    np.testing.assert_allclose(found.chroma, wanted, atol=0.01)
    assert 0 < found.spread < 0.1


def test_no_screen_says_what_to_try() -> None:
    grey = np.full((60, 80, 3), 128, np.uint8)
    with pytest.raises(InputError, match=r"photo: contains hardly any green, so no screen was found; .*`key=#00b140`"):
        mask_from_key(grey, "green", name="photo")
    with pytest.raises(InputError, match="no border with one saturated colour"):
        mask_from_key(grey, "auto")
    with pytest.raises(InputError, match="has no border with one saturated colour, so no screen was found"):
        mask_from_key(pair()[0], "auto")  # a wall of many colours
    with pytest.raises(InputError, match=r"hardly any #d000d0, so no screen was found; give the colour of its screen"):
        mask_from_key(before_screen(), "#d000d0")
    for key in ("red", "#12", "#808080"):
        with pytest.raises(UsageError, match=r"`key` must be .*; got"):
            mask_from_key(grey, key)
    with pytest.raises(InputError, match="`key` found no subject; lower `key_tolerance`"):
        make_trimap(np.full((60, 80, 3), (40, 180, 60), np.uint8), key="green")


@pytest.mark.parametrize(
    ("shift", "gain"), [((0, 0), 1.0), ((2.4, -1.7), 1.2), ((-5.5, 3.3), 0.8)], ids=["still", "moved", "further"]
)
def test_a_clean_plate_that_is_shifted_and_exposed_otherwise(shift: tuple[float, float], gain: float) -> None:
    image, plate = pair(shift, gain)
    check(make_trimap(image, plate=plate), wrong=0.002)


def test_exposure_is_measured_in_light() -> None:
    image, plate = pair((0, 0), 1.2)
    behind = alpha() == 0
    off = image[behind].astype(float) - exposed(image, plate.astype(np.float32))[behind]
    assert np.abs(np.median(off, axis=0)).max() < 1


def test_a_plate_of_something_else_is_refused() -> None:
    image, plate = pair()
    with pytest.raises(InputError, match="is 160x240, the photo is 320x240"):
        mask_from_plate(image, plate[:, :160])
    with pytest.raises(InputError, match=r"is shifted by .* as if the camera had moved"):
        mask_from_plate(image, np.roll(plate, 30, axis=1))
    with pytest.raises(InputError, match="`plate` found no subject; give the photo that shows the subject"):
        make_trimap(plate, plate=plate)


def overlap(mask: NDArray[np.float32]) -> float:
    truth = alpha() > 0.5
    return float(np.count_nonzero((mask > 0.5) & truth) / np.count_nonzero((mask > 0.5) | truth))


def test_a_box_and_strokes() -> None:
    image, _ = pair()
    mask = mask_from_box(image, BOX)
    assert overlap(mask) > 0.85
    x, y, width, height = BOX
    outside = np.ones(HW, bool)
    outside[y : y + height, x : x + width] = False
    assert not mask[outside].any()
    strokes = np.zeros(HW, bool)
    strokes[110:140, 150:190] = True
    assert not mask_from_box(image, BOX, background=strokes)[strokes].any()
    trimaps = [make_trimap(image, box=BOX, sure_foreground=strokes, unknown_width=2) for _ in range(2)]
    assert (trimaps[0][114:136, 154:186] == 255).all()
    np.testing.assert_array_equal(trimaps[0], trimaps[1], "the same each time")


def test_the_band_of_a_box_suits_a_small_subject() -> None:
    """A disk of 60 pixels in a photo of 900 keeps a sure inside; one of 1 % of the photo would not."""
    image = np.random.default_rng(3).normal((60, 120, 50), 4, (600, 900, 3))
    y, x = np.mgrid[:600, :900]
    disk = np.hypot(y - 300, x - 400) < 30
    image[disk] += (150, -80, -20)
    maker = MaskMaker(box=(360, 260, 80, 80))
    made = made_trimap(image.clip(0, 255).astype(np.uint8), TrimapSpec(kind="photo", box=maker.box), maker, "photo.jpg")
    assert (made.values[disk] == 255).mean() > 0.7
    # 4 % of the square root of its area is 2 pixels, which are fewer than the least.
    rows = np.flatnonzero(made.values[300:, 400] == 128)
    assert 4 <= len(rows) <= 8
    assert made.beyond is None


def test_a_box_beyond_the_photo_is_told() -> None:
    assert say_beyond((1030, 430, 570, 570), (1000, 1600)) is None
    told = say_beyond((1030, 430, 1220, 625), (1000, 1600))
    assert told is not None
    assert told.startswith(
        "`box=1030,430,1220,625` reaches beyond the photo, which is 1600x1000; it is left, top, width"
    )


def test_a_large_photo_is_cut_small_and_refined_at_its_size() -> None:
    image, _ = pair()
    large = np.kron(image, np.ones((3, 3, 1), np.uint8))
    mask = mask_from_box(large, tuple(3 * side for side in BOX))  # type: ignore[arg-type]  # four of them
    assert overlap(mask[1::3, 1::3]) > 0.85
    edges = np.abs(np.diff(mask, axis=1)).sum(axis=1)[1::3].mean()
    assert edges < 30, "an edge, and no speckles"


def test_a_box_must_leave_some_background() -> None:
    image, _ = pair()
    with pytest.raises(UsageError, match="covers the whole photo"):
        mask_from_box(image, (0, 0, 320, 240))
    with pytest.raises(UsageError, match="must lie inside the photo, which is 320x240; got 400,0,10,10"):
        mask_from_box(image, (400, 0, 10, 10))
    with pytest.raises(UsageError, match="`sure_background` covers the whole box"):
        mask_from_box(image, BOX, background=np.ones(HW, bool))


def test_what_a_program_gives_in_the_place_of_something_else() -> None:
    image, plate = pair()
    np.testing.assert_array_equal(make_trimap(image, box=np.array(BOX)), make_trimap(image, box=BOX))
    with pytest.raises(InputError, match=r"`plate` must be \(H, W, 3\) uint8 RGB; got \(240, 320\) uint8"):
        make_trimap(image, plate=plate[..., 0])
    with pytest.raises(UsageError, match="`segmenter` must be a Segmenter, or the path of its ONNX; got 3"):
        make_trimap(image, segmenter=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"`box` must be .*; got an array"):
        make_trimap(image, box=np.array([1.5, 2, 30, 40]))


def test_what_is_said_of_a_photo_is_of_what_is_shown(tmp_path: Path) -> None:
    """An OpenEXR photo whose pixels are a part of what is shown; strokes are painted on what is shown."""
    image, plate = pair()
    inner = slice(20, 200), slice(30, 300)
    light = srgb_decode(image[inner].astype(np.float32) / 255)
    windows = {"data": (30, 20, 270, 180), "display": (0, 0, 320, 240)}
    planes = {channel: light[..., index] for index, channel in enumerate("RGB")}
    photo = read_photo(save_exr(tmp_path / "photo.exr", planes, windows=windows))
    strokes = np.zeros(HW, bool)
    strokes[110:140, 150:190] = True
    found = MaskMaker(box=BOX, background=strokes).on(photo)(photo.network, "photo")
    moved = (BOX[0] - 30, BOX[1] - 20, *BOX[2:])
    wanted = mask_from_box(photo.network, moved, background=strokes[inner])
    np.testing.assert_array_equal(found, np.where(strokes[inner], 0, wanted))
    by_plate = MaskMaker(plate=plate).on(photo)(photo.network, "photo")
    np.testing.assert_array_equal(by_plate, mask_from_plate(photo.network, plate[inner]))
    with pytest.raises(InputError, match=r"`plate`: is 100x100, expected the size of the display window"):
        MaskMaker(plate=plate[:100, :100]).on(photo)


@pytest.mark.parametrize("hw", [(1, 1), (1, 40), (5, 5), (9, 12)], ids=str)
def test_the_smallest_photos_have_a_trimap_or_an_error_of_ours(hw: tuple[int, int]) -> None:
    image = np.full((*hw, 3), (40, 160, 60), np.uint8)
    plate = image.copy()
    image[hw[0] // 3 :, hw[1] // 3 :] = (200, 60, 90)
    ways: list[dict[str, Any]] = [{"plate": plate}, {"key": "auto"}, {"key": "#28a03c"}, {"box": (0, 0, *hw[::-1])}]
    for way in ways:
        # Any other error would be one of a library.
        with contextlib.suppress(LiteMattingError):
            assert make_trimap(image, adaptive=True, largest=1, **way).shape == hw


def test_pieces() -> None:
    mask = np.zeros((40, 60), np.float32)
    mask[5:15, 5:15], mask[20:26, 30:36], mask[30, 50] = 1, 1, 0.4
    mask[4, 4:16] = 0.3  # soft, and part of the first
    mask[8, 8] = 0.2
    assert count_pieces(mask) == 2
    largest = largest_pieces(mask, 1)
    np.testing.assert_array_equal(largest[:18], mask[:18])
    assert not largest[18:].any()
    np.testing.assert_array_equal(largest_pieces(mask, 2)[:28], mask[:28])
    assert without_crumbs(mask)[30, 50] == 0
    assert with_doubtful_holes(mask, 0.05)[8, 8] == 0.5
    assert with_doubtful_holes(mask, 0.05)[0, 0] == 0
    joined = np.maximum(mask, 0.1).astype(np.float32)  # a haze joins them
    assert not largest_pieces(joined, 1)[20:26, 30:36].any()


def test_doubt_says_where_a_mask_hesitates() -> None:
    ramp = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (8, 1))
    trimap = make_trimap(ramp, unknown_width=1, doubt=(0.2, 0.6))[4]
    assert trimap.tolist() == [0] * 51 + [128] * 103 + [255] * 102
    default = make_trimap(ramp, unknown_width=1)[4]
    assert (default == 0).sum() == 5
    assert (default == 255).sum() == 5
