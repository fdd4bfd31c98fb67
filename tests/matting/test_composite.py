"""Composites and results across profiles, beside float64 on the profile's own curve and primaries."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy.images.background import Background
from litematting_deploy.images.photo import Photo, read_photo
from litematting_deploy.matting.composite import composite_picture, cutout_picture, foreground_picture
from tests.images.files import adobe_profile, save_exr, save_levels
from tests.images.light import decoded, encoded

RNG = np.random.default_rng(3)
LEVELS = RNG.integers(0, 256, (20, 30, 3), np.uint8)
BEHIND = RNG.integers(0, 256, (20, 30, 3), np.uint8)
ALPHA = RNG.choice(np.array([0, 0.25, 0.5, 1], np.float32), (20, 30))
ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
CURVE = 2.19921875


def adobe_photo(path: Path) -> Photo:
    Image.fromarray(LEVELS).save(path, icc_profile=adobe_profile())
    return read_photo(path)


def in_adobe(srgb_light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(srgb_light @ (np.linalg.inv(ADOBE) @ SRGB).T)


def test_an_srgb_background_behind_an_adobe_rgb_photo(tmp_path: Path) -> None:
    photo = adobe_photo(tmp_path / "photo.png")
    picture = save_levels(tmp_path / "behind.png", BEHIND)
    for background, behind in (
        (Background(str(picture)), decoded(BEHIND)),
        (Background("#2060c0ff"), decoded(np.array([[[0x20, 0x60, 0xC0]]], np.uint8))),
    ):
        over = composite_picture(photo, photo.pixels, ALPHA, background, np.uint8)
        weight = ALPHA[:, :, None].astype(np.float64)
        light = (LEVELS / 255) ** CURVE * weight + in_adobe(behind) * (1 - weight)
        wanted = light.clip(0, 1) ** (1 / CURVE) * 255
        assert np.abs(over - wanted).max() <= 0.6
        assert np.abs(over - (decoded(LEVELS) * weight + behind * (1 - weight))).max() > 9, "primaries matter"


def test_one_profile_is_not_changed(tmp_path: Path) -> None:
    """Numbers of the same profile are numbers of the photo."""
    photo = adobe_photo(tmp_path / "photo.png")
    stored = io.BytesIO()
    Image.fromarray(BEHIND).save(stored, "png", icc_profile=adobe_profile())
    (tmp_path / "behind.png").write_bytes(stored.getvalue())
    over = composite_picture(photo, photo.pixels, ALPHA, Background(str(tmp_path / "behind.png")), np.uint8)
    np.testing.assert_array_equal(over[ALPHA == 0], BEHIND[ALPHA == 0])
    np.testing.assert_array_equal(over[ALPHA == 1], LEVELS[ALPHA == 1])


def test_openexr_of_an_adobe_rgb_photo_is_light_in_srgbs_primaries(tmp_path: Path) -> None:
    photo = adobe_photo(tmp_path / "photo.tif")
    wanted = (LEVELS / 255) ** CURVE @ (np.linalg.inv(SRGB) @ ADOBE).T
    foreground = foreground_picture(photo, photo.pixels, np.float32)
    np.testing.assert_allclose(foreground, wanted, atol=1e-3)  # profiles round primaries
    cutout = cutout_picture(photo, photo.pixels, ALPHA, np.float32, premultiplied=True)
    np.testing.assert_allclose(cutout[:, :, :3], wanted * ALPHA[:, :, None], atol=1e-3)
    np.testing.assert_array_equal(cutout[:, :, 3], ALPHA)


def test_an_openexr_background_lies_where_its_windows_say(tmp_path: Path) -> None:
    """Behind an OpenEXR photo with overscan, and one whose data window is only moved: nothing is shifted or smeared."""
    light = decoded(LEVELS).astype(np.float32)
    behind = decoded(BEHIND).astype(np.float32)
    for data, display in (((-4, -3, 30, 20), (0, 0, 22, 14)), ((6, 5, 30, 20), (0, 0, 30, 20))):
        windows = {"data": data, "display": display}
        files = [
            save_exr(
                tmp_path / f"{name}.exr", dict(zip("RGB", np.moveaxis(plane, -1, 0), strict=True)), windows=windows
            )
            for name, plane in (("photo", light), ("behind", behind))
        ]
        photo, background = read_photo(files[0]), Background(str(files[1]))
        over = composite_picture(photo, photo.pixels, ALPHA, background, np.float32)
        weight = ALPHA[:, :, None]
        np.testing.assert_allclose(over, light * weight + behind * (1 - weight), atol=1e-5)
        assert photo.windows is not None
        shown = composite_picture(photo, photo.pixels, ALPHA, background, np.uint16)
        mixed = photo.windows.show(light * weight + behind * (1 - weight))
        assert np.abs(shown.astype(int) - encoded(mixed, np.uint16)).max() <= 2
