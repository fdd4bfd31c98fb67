"""Alphas averaged over time, on a sequence whose motion and truth are known."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litematting_deploy.errors import NotFiniteError
from litematting_deploy.evaluation.temporal import dtssd
from litematting_deploy.matting.steady import Moment, steadied
from tests.matting.test_motion import as_grey, texture

HEIGHT, WIDTH, COUNT = 80, 120, 6
WHOLE = texture(HEIGHT, WIDTH + 40)
RAMP = np.clip((np.arange(WIDTH + 40) - 60) / 40, 0, 1).astype(np.float32)


def scene(seed: int = 0) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]], NDArray[Any], NDArray[Any]]:
    """A picture that moves by 2 pixels a frame; trimaps, true alphas, and alphas with an error of each frame's own."""
    rng = np.random.default_rng(seed)
    images, trimaps, truths = [], [], []
    for index in range(COUNT):
        columns = slice(20 - 2 * index, 20 - 2 * index + WIDTH)
        images.append(np.repeat(as_grey(WHOLE[:, columns])[:, :, None], 3, axis=2))
        truth = np.broadcast_to(RAMP[columns], (HEIGHT, WIDTH)).astype(np.float32)
        truths.append(truth)
        trimaps.append(np.select([truth == 0, truth == 1], [0, 255], 128).astype(np.uint8))
    true, bands = np.stack(truths), np.stack(trimaps) == 128
    noisy = (true + bands * rng.normal(0, 0.1, true.shape)).clip(0, 1).astype(np.float32)
    return images, trimaps, true, noisy


def steady(
    images: list[NDArray[np.uint8]],
    trimaps: list[NDArray[np.uint8]],
    alphas: list[Any],
    places: Iterable[int],
    refined: bool = False,
) -> list[Any]:
    def matte(indices: Iterable[int]) -> Iterator[Any]:
        return (alphas[index] for index in indices)

    numbers = list(places)

    def moment(index: int) -> Moment:
        return Moment(numbers[index], images[index], trimaps[index])

    return list(steadied(range(len(alphas)), matte, moment, refined=refined))


def test_errors_that_change_are_averaged_away_and_known_pixels_stay() -> None:
    images, trimaps, true, noisy = scene()
    found = np.stack(steady(images, trimaps, list(noisy), range(COUNT)))
    assert found.dtype == np.float32
    known = np.stack(trimaps) != 128
    np.testing.assert_array_equal(found[known], noisy[known])
    # Three independent errors: 1/sqrt(3) of one, 2/sqrt(8) and less of its change.
    inner = slice(1, -1)
    assert np.abs(found - true)[inner].sum() < 0.68 * np.abs(noisy - true)[inner].sum()
    assert dtssd(list(found), list(true)) < 0.65 * dtssd(list(noisy), list(true))


def test_of_refined_alphas_only_those_that_nearly_agree_are_averaged() -> None:
    images, trimaps, true, _ = scene()
    rng = np.random.default_rng(1)
    noisy = np.where(np.stack(trimaps) == 128, true + rng.normal(0, 0.03, true.shape), true).clip(0, 1)
    noisy = noisy.astype(np.float32)
    # A strand of one frame alone, or one that flow has missed.
    noisy[3, 20:24, 50:70] = 1 - noisy[3, 20:24, 50:70].round()
    found = np.stack(steady(images, trimaps, list(noisy), range(COUNT), refined=True))
    assert dtssd(list(found[:3]), list(true[:3])) < 0.7 * dtssd(list(noisy[:3]), list(true[:3]))
    strand = np.s_[3, 20:24, 50:70]
    band = np.stack(trimaps)[strand] == 128
    assert band.any()
    far = band & (np.abs(noisy - true)[strand] > 0.5)
    assert np.abs(found - noisy)[strand][far].max() < 0.02
    averaged = np.stack(steady(images, trimaps, list(noisy), range(COUNT)))
    assert np.abs(averaged - noisy)[strand][far].mean() > 0.3


def test_without_neighbours_alphas_are_as_they_were() -> None:
    images, trimaps, _, noisy = scene()
    apart = steady(images, trimaps, list(noisy), range(0, 2 * COUNT, 2))
    np.testing.assert_array_equal(np.stack(apart), noisy)
    assert steady(images, trimaps, [], []) == []


def test_other_colours_and_failed_frames_are_no_neighbours() -> None:
    images, trimaps, _, noisy = scene()
    error = NotFiniteError("NaN")
    alphas: list[Any] = list(noisy)
    alphas[2] = error
    whole, with_failure = (steady(images, trimaps, each, range(COUNT)) for each in (list(noisy), alphas))
    assert with_failure[2] is error
    np.testing.assert_array_equal(with_failure[0], whole[0])
    np.testing.assert_array_equal(with_failure[5], whole[5])
    assert (with_failure[1] != whole[1]).any()
    # A flash: brighter by 90 levels, so that no colour agrees.
    flash = list(images)
    flash[3] = (images[3].astype(int) // 2 + 90).clip(0, 255).astype(np.uint8)
    changed = steady(flash, trimaps, list(noisy), range(COUNT))
    before = np.abs(changed[3] - noisy[3])[trimaps[3] == 128].mean()
    usual = np.abs(whole[3] - noisy[3])[trimaps[3] == 128].mean()
    assert before < 0.5 * usual
