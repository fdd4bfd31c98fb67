"""dtSSD and MESSDdt against their formulas, pixel by pixel, and by arithmetic."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import InputError
from litematting_deploy.evaluation.temporal import dtssd, messddt, motion_of
from litematting_deploy.matting.motion import Flow
from tests.matting.test_motion import as_grey, texture

Floats = NDArray[np.float64]


def slow_dtssd(predictions: Floats, alphas: Floats) -> float:
    count, height, width = alphas.shape
    total = 0.0
    for t in range(1, count):
        squares = 0.0
        for y in range(height):
            for x in range(width):
                change = predictions[t, y, x] - predictions[t - 1, y, x]
                true_change = alphas[t, y, x] - alphas[t - 1, y, x]
                squares += (change - true_change) ** 2
        total += math.sqrt(squares)
    return float(total / (count - 1))


def slow_messddt(predictions: Floats, alphas: Floats, vectors: NDArray[np.int_], known: NDArray[np.bool_]) -> float:
    count, height, width = alphas.shape
    total = 0.0
    for t in range(count - 1):
        for y in range(height):
            for x in range(width):
                if known[t, y, x]:
                    there_x, there_y = x + vectors[t, y, x, 0], y + vectors[t, y, x, 1]
                    here = (predictions[t, y, x] - alphas[t, y, x]) ** 2
                    there = (predictions[t + 1, there_y, there_x] - alphas[t + 1, there_y, there_x]) ** 2
                    total += abs(here - there)
    return float(total / (count - 1))


def moved(vectors: NDArray[np.float32], known: NDArray[np.bool_]) -> Flow:
    return Flow(vectors, np.zeros(known.shape, np.float32), known)


@pytest.mark.parametrize("seed", range(3))
def test_formulas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predictions, alphas = rng.random((2, 4, 7, 9))
    assert dtssd(list(predictions), list(alphas)) == pytest.approx(slow_dtssd(predictions, alphas))
    y, x = np.indices((7, 9))
    ends = rng.integers(0, (9, 7), (3, 7, 9, 2))
    vectors, known = ends - np.dstack([x, y]), rng.random((3, 7, 9)) < 0.7
    motions = [moved(each.astype(np.float32), where) for each, where in zip(vectors, known, strict=True)]
    wanted = slow_messddt(predictions, alphas, vectors, known)
    assert messddt(list(predictions), list(alphas), motions) == pytest.approx(wanted)


def test_arithmetic_on_tiny_clips() -> None:
    still = [np.zeros((1, 2))] * 3
    flicker = [np.array([[0.0, 0.3]]), np.array([[0.4, 0.0]]), np.array([[0.4, 0.0]])]
    # Changes of 0.4 and -0.3, then none: (0.5 + 0) / 2.
    assert dtssd(flicker, still) == pytest.approx(0.25)
    assert dtssd(still, still) == 0
    constant = [np.full((1, 2), 0.2)] * 3
    assert dtssd(constant, still) == pytest.approx(0), "an error that stays is no flicker"
    # The error goes along with the motion by a pixel: nothing changes where it is followed, much where it is not.
    moving = [np.array([[0.5, 0.0, 0.0]]), np.array([[0.0, 0.5, 0.0]])]
    none = [np.zeros((1, 3))] * 2
    known = np.array([[True, True, False]])
    followed = moved(np.array([[[1, 0], [1, 0], [0, 0]]], np.float32), known)
    unfollowed = moved(np.zeros((1, 3, 2), np.float32), known)
    assert messddt(moving, none, [followed]) == pytest.approx(0)
    assert messddt(moving, none, [unfollowed]) == pytest.approx(0.25 + 0.25)
    assert dtssd(moving, none) == pytest.approx(math.sqrt(0.5))


def test_motion_of_images_is_known_where_both_show_a_point() -> None:
    whole = texture(120, 160)
    before, after = (np.repeat(as_grey(whole[:100, x : x + 140])[:, :, None], 3, axis=2) for x in (4, 0))
    motion = motion_of(before, after)
    np.testing.assert_allclose(np.median(motion.vectors[20:80, 20:120], axis=(0, 1)), (4, 0), atol=0.1)
    assert motion.trusted[20:80, 20:120].mean() > 0.95
    assert not motion.trusted[:, -3:].any()


@pytest.mark.parametrize(
    ("predictions", "alphas", "words"),
    [
        ([(2, 2)], [(2, 2)], "at least two; got 1 and 1"),
        ([(2, 2)] * 2, [(2, 2)] * 3, "got 2 and 3"),
        ([(2, 2)] * 2, [(2, 2), (2, 3)], "the same size"),
    ],
)
def test_what_is_no_clip_is_refused(
    predictions: list[tuple[int, int]], alphas: list[tuple[int, int]], words: str
) -> None:
    given, true = ([np.zeros(shape) for shape in shapes] for shapes in (predictions, alphas))
    with pytest.raises(InputError, match=words):
        dtssd(given, true)
    with pytest.raises(InputError):
        messddt(given, true, [])
