"""Codes, R'G'B' and light, beside the textbook's formulas in float64."""

import av
import numpy as np
import pytest

from litematting_deploy.errors import InputError
from litematting_deploy.video.colour import Colours, picture_of, planes_of
from tests.images.light import decoded
from tests.video.clips import as_picture, moving, rgb


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("kind", "bits"), [("yuv444p", 8), ("yuv444p10le", 10), ("yuv444p12le", 12)])
def test_codes_are_the_colours_of_the_textbook(matrix: int, full: bool, kind: str, bits: int) -> None:
    codes = moving(1, bits)[0]
    picture = picture_of(codes, kind)
    picture.colorspace, picture.color_range, picture.color_trc, picture.color_primaries = matrix, 2 if full else 1, 1, 1
    colours = Colours.of(picture, "clip")
    planes, found_bits = planes_of(picture, "clip")
    assert found_bits == bits
    signal = colours.signal(planes, bits)
    np.testing.assert_allclose(signal, rgb(codes, bits, matrix, full), atol=1e-5)
    network = colours.network(signal).astype(int)
    assert np.abs(network - np.rint(rgb(codes, bits, matrix, full).clip(0, 1) * 255)).max() <= 1
    if not full:
        for there, back in zip(codes, colours.codes(colours.to_signal(colours.light(signal)), bits), strict=True):
            np.testing.assert_array_equal(there, back)


@pytest.mark.parametrize("kind", ["yuv420p", "yuvj420p", "yuv422p10le", "gray", "gbrp10le", "rgb24"])
def test_subsampling_leaves_luma_and_rgb_is_as_it_is(kind: str) -> None:
    bits = 10 if "10" in kind else 8
    codes = moving(1, bits)[0]
    if kind == "rgb24":
        picture = av.VideoFrame.from_ndarray(np.dstack(codes).astype(np.uint8), "rgb24")
    else:
        picture = as_picture(codes[: 1 if kind == "gray" else 3], kind)
    planes, _ = planes_of(picture, "clip")
    order = (2, 0, 1) if kind == "gbrp10le" else (0, 1, 2)
    if kind in ("gbrp10le", "rgb24"):
        for index, plane in zip(order, planes, strict=True):
            np.testing.assert_array_equal(plane, codes[index])
    else:
        np.testing.assert_array_equal(planes[0], codes[0])
        for plane, wanted in zip(planes[1:], codes[1:], strict=False):
            assert np.abs(plane.astype(float) - wanted).mean() < 2 * (1 << (bits - 8))


def test_what_is_above_white_stays() -> None:
    colours = Colours(1, False, 1, 1)
    codes = [np.full((2, 2), 1000, np.uint16), np.full((2, 2), 512, np.uint16), np.full((2, 2), 512, np.uint16)]
    signal = colours.signal(codes, 10)
    assert signal.min() > 1.05
    np.testing.assert_array_equal(colours.codes(colours.to_signal(colours.light(signal)), 10)[0], codes[0])


def test_light() -> None:
    signal = np.linspace(0, 1, 256, dtype=np.float32)
    as_srgb = Colours(1, False, 1, 1)
    np.testing.assert_allclose(as_srgb.light(signal), decoded(np.arange(256, dtype=np.uint8)), atol=1e-6)
    for transfer, white in ((16, 0.58068888), (18, 0.75)):  # BT.2408: reference white, 203 nits and 75 %
        colours = Colours(9, False, transfer, 9)
        assert colours.light(np.array([[white]], np.float32)) == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(colours.to_signal(colours.light(signal)), signal, atol=2e-3)
        grey = np.full((1, 1, 3), white, np.float32)
        np.testing.assert_array_equal(colours.network(grey), [[[255, 255, 255]]])
    red_2020 = Colours(9, False, 14, 9).network(np.array([[[1, 0, 0]]], np.float32))
    np.testing.assert_array_equal(red_2020, [[[255, 0, 0]]])  # beyond sRGB's own red
    grey_601 = Colours(6, False, 6, 6).network(np.full((1, 1, 3), 0.5, np.float32))
    np.testing.assert_allclose(grey_601, 128, atol=1)


def test_a_transfer_that_is_not_known_is_refused() -> None:
    strange = as_picture(moving(1)[0], "yuv420p")
    strange.color_trc = 9
    with pytest.raises(InputError, match=r"clip: its colours have H.273 transfer 9, expected .*; convert the clip"):
        Colours.of(strange, "clip")


def test_transparent_pixels_are_refused() -> None:
    picture = as_picture([*moving(1)[0], np.full((48, 64), 200, np.uint16)], "yuva444p")
    with pytest.raises(InputError, match="clip: has transparent pixels"):
        planes_of(picture, "clip")


def test_pixels_of_floats_are_refused() -> None:
    with pytest.raises(InputError, match="clip: has pixel format gbrpf32le"):
        planes_of(av.VideoFrame(8, 8, "gbrpf32le"), "clip")
