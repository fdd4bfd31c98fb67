"""Foreground colours, against PyMatting on light computed here."""

import importlib
import importlib.abc
import pickle
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pymatting import estimate_foreground_ml

from litematting_deploy.errors import ForegroundError, InputError
from litematting_deploy.images.photo import Photo
from litematting_deploy.matting import foreground
from litematting_deploy.matting.foreground import estimate_foreground
from tests.images.light import decoded, encoded

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


def test_equals_pymatting_on_light() -> None:
    light, alpha = scene(120, 160)
    taken = photo(light, np.uint16)
    wanted = estimate_foreground_ml(decoded(taken.pixels).astype(np.float32), alpha)
    wanted[alpha == 1] = decoded(taken.pixels)[alpha == 1]
    assert np.abs(estimate_foreground(taken, alpha).astype(int) - encoded(wanted, np.uint16)).max() <= 2


@pytest.mark.parametrize("strip_rows", [128, 200, 331, 735, 736, 800])
def test_strips_equal_the_whole_where_it_shows(strip_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    light, alpha = scene(800, 240)
    whole = estimate_foreground_ml(light, alpha)
    monkeypatch.setattr(foreground, "STRIP_PIXELS", strip_rows * 240)
    monkeypatch.setattr(foreground, "OVERLAP_ROWS", 64)
    strips = estimate_foreground(photo(light, np.float32), alpha)
    shown = np.abs(strips - whole) * alpha[:, :, None]
    assert shown.max() < 0.03
    assert shown.mean() < 0.002


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


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_refused(value: float) -> None:
    light, alpha = scene(40, 50)
    light[3, 4, 1] = value
    with pytest.raises(InputError, match=r"photo: contains NaN or infinity in 1 pixels.*clamp"):
        estimate_foreground(photo(light, np.float16), alpha)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ZeroDivisionError("by zero"),
        RuntimeError("one\ntwo"),
        OSError("disk full"),
        ImportError("Numba needs another NumPy"),
        ValueError("No threading layer could be loaded"),
        EOFError(),
    ],
)
def test_what_pymatting_raises_is_one_error_with_the_photo(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("litematting_deploy.matting.foreground.foreground_estimator", lambda: fail)
    light, alpha = scene(8, 8)
    with pytest.raises(ForegroundError, match=r"^photo: its foreground colours cannot be estimated \([^\n]+\)$"):
        estimate_foreground(photo(light, np.uint8), alpha)


def test_a_mistake_in_calling_pymatting_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise TypeError("No matching definition for argument type(s)")

    monkeypatch.setattr("litematting_deploy.matting.foreground.foreground_estimator", lambda: fail)
    light, alpha = scene(8, 8)
    with pytest.raises(TypeError, match="No matching definition"):
        estimate_foreground(photo(light, np.uint8), alpha)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (EOFError("Ran out of input"), True),
        (pickle.UnpicklingError("pickle data was truncated"), True),
        (OSError(28, "No space left on device"), True),
        (RuntimeError("cannot cache function 'f': no locator available"), True),
        (RuntimeError("LLVM is broken"), False),
        (ImportError("no llvmlite"), False),
    ],
)
def test_a_cache_that_is_of_no_use_is_left_for_another(
    error: Exception, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import meets the error once: with another folder for the cache it goes well."""
    config: Any = importlib.import_module("numba").config
    places: list[str] = []

    def imported() -> str:
        places.append(config.CACHE_DIR)
        if len(places) == 1:
            raise error
        return "the estimator"

    monkeypatch.setattr(foreground, "_imported", imported)
    foreground.foreground_estimator.cache_clear()
    before = config.CACHE_DIR
    try:
        if again:
            found: Any = foreground.foreground_estimator()
            assert found == "the estimator"
            assert "litematting-numba-" in places[1]
        else:
            with pytest.raises(type(error), match=str(error)):
                foreground.foreground_estimator()
    finally:
        foreground.foreground_estimator.cache_clear()
    assert (len(places), config.CACHE_DIR) == (1 + again, before)


def test_what_numba_cannot_compile_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core.errors import TypingError

    class Refusing(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "pymatting.foreground.estimate_foreground_ml":
                raise TypingError("cannot determine\nthe type")

    for name in [name for name in sys.modules if name.startswith("pymatting.foreground.estimate_foreground_ml")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])
    foreground.foreground_estimator.cache_clear()
    light, alpha = scene(8, 8)
    with pytest.raises(ForegroundError, match=r"\(RuntimeError: Numba cannot compile PyMatting: cannot determine\)$"):
        estimate_foreground(photo(light, np.uint8), alpha)


def test_an_object_without_known_foreground_has_colours() -> None:
    light, _ = scene(40, 40)
    for value in (0.0, 0.3, 0.5):
        estimate = estimate_foreground(photo(light, np.float32), np.full((40, 40), value, np.float32))
        assert np.isfinite(estimate).all()
