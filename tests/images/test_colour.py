"""Levels and light, against float64 and Pillow's colour management."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from litematting_deploy.errors import InputError
from litematting_deploy.images.colour import SRGB, Space, levels_to
from litematting_deploy.images.icc import Profile
from litematting_deploy.images.metadata import Metadata
from litematting_deploy.images.photo import _in_its_space, read_photo
from tests.images.files import adobe_profile, gamma, rgb_profile, save_levels
from tests.images.light import decoded, encoded

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
WIDE = np.array([[0.7977, 0.2880, 0.0], [0.1352, 0.7119, 0.0], [0.0313, 0.0001, 0.8249]])  # ProPhoto's, D50


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_survives_the_way_to_light_and_back(dtype: type) -> None:
    levels: NDArray[Any] = np.arange(np.iinfo(dtype).max + 1).astype(dtype)[:, None].repeat(3, axis=1)
    light = SRGB.decode(levels)
    np.testing.assert_allclose(light, decoded(levels), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(SRGB.encode(light, dtype), levels)
    for profile in (Profile(adobe_profile(), "p"), Profile(rgb_profile(WIDE, gamma(1.8)), "p")):
        back = profile.space.encode(profile.space.decode(levels), dtype)
        np.testing.assert_array_equal(back, levels)


def test_light_that_levels_do_not_hold_is_clipped() -> None:
    light = np.array([[-1, 2, np.inf]], np.float32)
    assert SRGB.encode(light, np.uint8).tolist() == [[0, 255, 255]]
    assert Profile(adobe_profile(), "p").space.encode(light, np.uint16).tolist() == [[0, 65535, 65535]]


def test_depths_of_levels() -> None:
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(levels_to(levels_to(every, np.uint16), np.uint8), every)
    deep = np.arange(65536).astype(np.uint16)
    np.testing.assert_array_equal(levels_to(deep, np.uint8), np.rint(deep / 257))


def test_profiles_as_light() -> None:
    levels = np.array([[255, 128, 0]], np.uint8)
    assert Profile(adobe_profile(), "p").space.decode(levels)[0, 1] == pytest.approx((128 / 255) ** 2.19921875, 1e-5)
    linear = Profile(rgb_profile(WIDE, b"curv" + bytes(8)), "p").space
    np.testing.assert_allclose(linear.decode(levels), levels / 255, rtol=1e-6)
    sampled = b"curv" + bytes(4) + (3).to_bytes(4, "big") + np.array([0, 10000, 65535], ">u2").tobytes()
    assert Profile(rgb_profile(WIDE, sampled), "p").space.decode(levels)[0, 1] == pytest.approx(10000 / 65535, abs=0.01)
    numbers = np.rint(np.array([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]) * 65536).astype(">i4").tobytes()
    parametric = Profile(rgb_profile(WIDE, b"para" + bytes(4) + b"\0\3\0\0" + numbers), "p").space
    every = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    np.testing.assert_allclose(parametric.decode(every), decoded(every), atol=1e-4)


def test_change_of_primaries_is_pillows() -> None:
    """Light in Adobe RGB and sRGB, against the 8-bit transform of LittleCMS, for colours that both can hold."""
    adobe = Profile(adobe_profile(), "p")
    muted = (RGB // 4 + 96).astype(np.uint8)
    converted = adobe.space.convert(adobe.space.decode(muted), SRGB)
    assert np.abs(encoded(converted, np.uint8).astype(int) - adobe.to_srgb(muted)).max() <= 1
    back = SRGB.convert(converted, adobe.space)
    np.testing.assert_allclose(back, adobe.space.decode(muted), atol=1e-5)


def test_sixteen_bit_light_is_seen_with_all_its_bits() -> None:
    """A profile of plain light: the dark has hundreds of levels of which 8 bits would keep one."""
    linear = Metadata(icc=rgb_profile(np.array(SRGB.to_xyz).T, gamma(1)))
    levels = np.arange(600, dtype=np.uint16)[None, :, None].repeat(3, axis=2)
    seen = _in_its_space("p", levels, linear).network
    assert np.abs(seen.astype(int) - encoded(levels / 65535, np.uint8)).max() <= 1
    assert len(np.unique(seen)) > 20


TABLES = Space("p: its ICC profile", SRGB.decoding, None)


@pytest.mark.parametrize(("one", "other"), [(TABLES, SRGB), (SRGB, TABLES)], ids=["from tables", "to tables"])
def test_tables_only_cannot_be_mixed(one: Space, other: Space) -> None:
    light = np.zeros((1, 3), np.float32)
    assert TABLES.convert(light, TABLES) is light
    with pytest.raises(InputError, match=r"p: its ICC profile contains only lookup tables.*convert the photo to sRGB"):
        one.convert(light, other)


def test_network_sees_srgb_and_the_photo_keeps_its_numbers(tmp_path: Path) -> None:
    adobe = adobe_profile()
    Image.fromarray(RGB).save(tmp_path / "adobe.png", icc_profile=adobe)
    photo = read_photo(tmp_path / "adobe.png")
    np.testing.assert_array_equal(photo.pixels, RGB)
    assert photo.metadata.icc == adobe
    srgb = ImageCms.createProfile("sRGB")
    wanted = ImageCms.profileToProfile(
        Image.fromarray(RGB), ImageCms.ImageCmsProfile(io.BytesIO(adobe)), srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    np.testing.assert_array_equal(photo.network, np.asarray(wanted))
    assert np.abs(photo.network.astype(int) - RGB).max() > 20
    Image.fromarray(RGB).save(tmp_path / "srgb.png", icc_profile=ImageCms.ImageCmsProfile(srgb).tobytes())
    named = read_photo(tmp_path / "srgb.png")
    np.testing.assert_array_equal(named.network, RGB)
    assert named.metadata.icc is not None
    assert named.space is SRGB


def test_grey_with_a_profile_becomes_srgb(tmp_path: Path) -> None:
    profile = rgb_profile(WIDE, gamma(1.0), b"GRAY")
    Image.fromarray(RGB[:, :, 0]).save(tmp_path / "grey.png", icc_profile=profile)
    photo = read_photo(tmp_path / "grey.png")
    wanted = encoded(RGB[:, :, :1] / 255, np.uint8).repeat(3, axis=2)
    assert np.abs(photo.pixels.astype(int) - wanted).max() <= 1
    assert photo.metadata.icc is None
    deep = save_levels(tmp_path / "deep.png", RGB[:, :, 0].astype(np.uint16) * 200)
    content = deep.read_bytes()
    chunk = (tmp_path / "grey.png").read_bytes()
    start = chunk.index(b"iCCP") - 4
    size = int.from_bytes(chunk[start : start + 4], "big") + 12
    deep.write_bytes(content[:33] + chunk[start : start + size] + content[33:])
    wanted = encoded(RGB[:, :, :1].astype(np.uint16) * 200 / 65535, np.uint16).repeat(3, axis=2)
    assert np.abs(read_photo(deep).pixels.astype(int) - wanted).max() <= 1


GOOD = adobe_profile()
FALLING = b"curv" + bytes(4) + (3).to_bytes(4, "big") + np.array([0, 60000, 10000], ">u2").tobytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(GOOD[:16] + b"CMYK" + GOOD[20:], "is for CMYK, expected RGB or grey", id="CMYK"),
        pytest.param(GOOD[:150], "is damaged", id="cut off"),
        pytest.param(b"", "is for nothing", id="empty"),
        pytest.param(rgb_profile(WIDE, FALLING), "is damaged .*not increasing", id="a curve that falls"),
        pytest.param(rgb_profile(WIDE * 0, gamma(2)), "is damaged", id="no primaries"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=rf"photo\.png: its ICC profile {words}"):
        Profile(content, "photo.png")


def test_random_damage_of_a_profile_is_at_most_an_input_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    reasons = set()
    for _ in range(200):
        damaged = bytearray(GOOD)
        for position in rng.integers(0, len(GOOD), 4):
            damaged[position] = rng.integers(0, 256)
        Image.fromarray(RGB).save(tmp_path / "damaged.png", icc_profile=bytes(damaged))
        try:
            read_photo(tmp_path / "damaged.png")
        except InputError as error:
            reasons.add(str(error).partition(": ")[0])
    assert reasons == {str(tmp_path / "damaged.png")}
