"""Foreground colours, against arithmetic on light computed here, drawn truth and PyMatting."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pymatting import estimate_foreground_ml

from litematting_deploy.errors import ForegroundError, InputError
from litematting_deploy.images.photo import Photo
from litematting_deploy.matting import unmixing
from litematting_deploy.matting.foreground import estimate_foreground
from litematting_deploy.training.families import FAMILIES
from litematting_deploy.training.families.layout import fractal
from tests.images.light import decoded, encoded
from tests.matting.unmixed import foreground_light, unmixed

RED, BLUE = np.array([0.8, 0.05, 0.02], np.float32), np.array([0.02, 0.05, 0.6], np.float32)


def scene(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The light of a red disc with a soft edge over blue, and its alpha."""
    yy, xx = np.mgrid[:height, :width]
    distance = np.hypot(yy - height / 2, xx - width / 2)
    alpha = np.clip((min(height, width) * 0.35 - distance) / 30 + 0.5, 0, 1).astype(np.float32)
    return RED * alpha[:, :, None] + BLUE * (1 - alpha[:, :, None]), alpha


def photo(light: NDArray[np.float32], dtype: type) -> Photo:
    pixels = light.astype(dtype) if np.issubdtype(dtype, np.floating) else encoded(light, dtype)
    return Photo("photo", pixels, encoded(light, np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_soft_pixels_have_the_light_of_the_foreground_and_opaque_ones_the_photos(dtype: type) -> None:
    light, alpha = scene(200, 300)
    taken = photo(light, dtype)
    estimate = estimate_foreground(taken, alpha)
    assert estimate.dtype == dtype
    soft = (alpha > 0.1) & (alpha < 1)
    assert np.abs(light[soft] - RED).mean() > 0.2
    assert np.abs(decoded(estimate)[soft] - RED).mean() < 0.02
    np.testing.assert_array_equal(estimate[alpha == 1], taken.pixels[alpha == 1])


@pytest.mark.parametrize("hw", [(120, 160), (97, 33), (5, 1)])
def test_equals_the_same_arithmetic_in_float64(hw: tuple[int, int]) -> None:
    light, alpha = scene(*hw)
    light = np.asarray((light + np.random.default_rng(0).normal(0, 0.05, light.shape)).clip(0, 1), np.float32)
    taken = photo(light, np.uint16)
    wanted = unmixed(decoded(taken.pixels), alpha) * alpha[:, :, None]
    found = decoded(estimate_foreground(taken, alpha)) * alpha[:, :, None]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("tile", [16, 62, 192])
def test_tiles_equal_the_whole_where_it_shows(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    light, alpha = scene(301, 243)
    whole = unmixed(light, alpha)
    monkeypatch.setattr(unmixing, "TILE", tile)
    shown = np.abs(foreground_light(light, alpha) - whole) * alpha[:, :, None]
    assert shown.max() < 0.5 / 255


def test_clear_pixels_continue_the_edge_without_blocks() -> None:
    """What a compositor sees around the object when it filters: a hard box, aligned to halved images, of two colours.

    No pixel of them is soft on any of the first levels, and repeated pixels of coarse ones would show as blocks.
    """
    light, alpha = np.zeros((512, 512, 3), np.float32), np.zeros((512, 512), np.float32)
    light[128:256, 128:256], light[128:256, 256:384], alpha[128:256, 128:384] = RED, BLUE, 1
    found = foreground_light(light, alpha)
    np.testing.assert_allclose(found[120, 160:224], np.tile(RED, (64, 1)), atol=0.1)
    np.testing.assert_allclose(found[264, 288:352], np.tile(BLUE, (64, 1)), atol=0.1)
    steps = np.abs(np.diff(found[280:], axis=1)).max(axis=2)
    on_grid = np.arange(1, 512) % 8 == 0
    assert steps[:, on_grid].max() < 1.2 * steps[:, ~on_grid].max()
    assert steps.max() < 0.02


def test_frames_are_estimated_each_by_itself() -> None:
    frames = [scene(60, 80), scene(60, 80)]
    frames[1][0][:] = frames[1][0][::-1, :, ::-1]
    found = foreground_light(np.stack([light for light, _ in frames]), np.stack([alpha for _, alpha in frames]))
    for one, (light, alpha) in zip(found, frames, strict=True):
        np.testing.assert_array_equal(one, foreground_light(light, alpha))


@pytest.mark.parametrize("family", ["net", "wavy_hair", "fur"])
def test_drawn_foregrounds_are_nearer_the_truth_than_pymattings(family: str) -> None:
    """Alpha times the error of light, where a foreground and a background of noise are mixed."""
    rng = np.random.default_rng(1)
    layer = FAMILIES[family](rng, 256)
    alpha = (layer.alpha / np.float32(255)).astype(np.float32)
    texture = [np.stack([fractal(rng, 256, cells) for _ in range(3)], 2) * 0.1 for cells in (4, 16)]
    truth = (decoded(layer.shade)[:, :, None] + (0.1, 0.2, 0.4) + texture[0]).clip(0, 1)
    light = truth * alpha[:, :, None] + (0.3 + texture[1]).clip(0, 1) * (1 - alpha[:, :, None])
    stored: NDArray[np.float32] = decoded(encoded(light, np.uint8)).astype(np.float32)
    soft = (alpha > 0) & (alpha < 1)
    ours, peers = (
        (alpha[:, :, None] * np.abs(found - truth))[soft].mean()
        for found in (foreground_light(stored, alpha), estimate_foreground_ml(stored, alpha))
    )
    assert ours < 0.9 * peers
    assert ours < 0.1 * np.abs(stored - truth)[soft].mean() + 0.02


def test_light_beyond_white_and_below_black_is_scaled_and_not_clipped() -> None:
    light, alpha = scene(120, 160)
    plain = estimate_foreground(photo(light, np.float32), alpha)
    bright = estimate_foreground(photo(light * 50, np.float32), alpha)
    assert bright.max() > 30
    np.testing.assert_allclose(bright / 50, plain, atol=1e-3)
    below = estimate_foreground(photo(light - np.float32(0.5), np.float32), alpha)
    np.testing.assert_allclose(below + 0.5, plain, atol=2e-3)
    half = estimate_foreground(photo(light * 65504, np.float16), alpha)
    assert np.isfinite(half).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_light_of_float32_is_light(sign: int) -> None:
    light, alpha = scene(60, 80)
    largest = np.float32(sign) * np.finfo(np.float32).max
    plain = estimate_foreground(photo(light * np.float32(sign), np.float32), alpha)
    found = estimate_foreground(photo(light * largest, np.float32), alpha)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found / abs(largest), plain, atol=1e-4)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_refused(value: float) -> None:
    light, alpha = scene(40, 50)
    light[3, 4, 1] = value
    with pytest.raises(InputError, match=r"photo: 1 pixels are NaN or infinite.*clamp"):
        estimate_foreground(photo(light, np.float16), alpha)


@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryError(), "out of memory"), (cv2.error("Failed to allocate 9 bytes"), "Failed to allocate 9 bytes")],
)
def test_memory_that_does_not_suffice_is_one_error_with_the_photo(error: Exception, words: str) -> None:
    def fail(*_: object) -> Any:
        raise error

    light, alpha = scene(8, 8)
    with pytest.raises(ForegroundError, match=rf"^photo: its foreground colours cannot be estimated \({words}\)$"):
        estimate_foreground(photo(light, np.uint8), alpha, fail)


def test_an_object_without_known_foreground_has_colours() -> None:
    light, _ = scene(40, 40)
    for value in (0.0, 0.3, 0.5):
        estimate = estimate_foreground(photo(light, np.float32), np.full((40, 40), value, np.float32))
        assert np.isfinite(estimate).all()
