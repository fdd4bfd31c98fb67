from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import UsageError
from litematting_deploy.matting.patches import Stitcher, border_weight, plan_grid, to_levels
from tests.conftest import golden


def scattered(hw: tuple[int, int], share: float, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    trimap = rng.choice(np.array([0, 255], np.uint8), hw)
    trimap[rng.random(hw) < share] = 128
    return trimap


@pytest.mark.parametrize("name", ["tiles_552x800", "tiles_896x1360"])
def test_published_patches_in_published_order(name: str) -> None:
    case = golden(name)
    assert plan_grid(case["trimap"], (640, 640), 320).corners_yx == tuple(map(tuple, case["tiles_yx"].tolist()))


@pytest.mark.parametrize("hw", [(1, 1), (31, 200), (64, 64), (65, 129), (300, 70)], ids=str)
@pytest.mark.parametrize("step", [None, 1, 17, 64])
def test_every_unknown_pixel_is_covered_and_no_patch_is_empty(hw: tuple[int, int], step: int | None) -> None:
    if step == 1 and max(hw) > 150:
        step = 5
    trimap = scattered(hw, 0.002)
    trimap[-1, -1] = 128
    plan = plan_grid(trimap, (64, 64), step)
    padded = plan.pad_trimap(trimap)
    covered = np.zeros(plan.padded_hw, bool)
    for corner in plan.corners_yx:
        window = plan.window(corner)
        assert padded[window].shape == (64, 64)
        assert (padded[window] == 128).any()
        covered[window] = True
    assert plan.crop(covered)[trimap == 128].all()
    assert plan.grid_size == len(plan.corners_yx) + plan.skipped


def test_one_lone_unknown_pixel_runs() -> None:
    trimap = np.zeros((640, 640), np.uint8)
    trimap[3, 5] = 128
    assert len(plan_grid(trimap, (640, 640)).corners_yx) == 1


def test_small_images_are_centred_with_the_odd_pixel_behind() -> None:
    image = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    trimap = np.full((3, 5), 128, np.uint8)
    plan = plan_grid(trimap, (32, 32))
    assert plan.offset_yx == (14, 13)
    padded = plan.pad_image(image)
    assert padded.shape == (32, 32, 3)
    np.testing.assert_array_equal(plan.crop(padded[:, :, 0]), image[:, :, 0])
    np.testing.assert_array_equal(padded[0, 0], image[0, 0])
    np.testing.assert_array_equal(padded[-1, -1], image[-1, -1])
    published = plan_grid(trimap, (32, 32), padding="background").pad_trimap(trimap)
    assert published.sum() == 128 * 15
    np.testing.assert_array_equal(plan.crop(published), trimap)


def test_the_trimap_goes_on_beyond_the_edge() -> None:
    trimap = np.array([[0, 128, 255]], np.uint8)
    padded = plan_grid(trimap, (32, 32)).pad_trimap(trimap)
    np.testing.assert_array_equal(padded, np.repeat([[0] * 15 + [128] + [255] * 16], 32, axis=0))


def test_border_weight_is_the_published_one() -> None:
    weight = border_weight((640, 640))
    assert weight[0, 17] == weight[300, 639] == np.float32(1 / 321)
    assert weight[319, 320] == np.float32(320 / 321)
    assert weight[10, 300] == np.float32(11 / 321)


def test_stitching_equals_the_weighted_mean_of_stacked_patches() -> None:
    rng = np.random.default_rng(3)
    trimap = scattered((100, 170), 0.5)
    plan = plan_grid(trimap, (64, 64))
    stitcher = Stitcher(plan, plan.pad_trimap(trimap))
    stack: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for corner in plan.corners_yx:
        alpha = rng.random((64, 64), np.float32)
        stitcher.add(corner, alpha)
        value, weight = np.zeros(plan.padded_hw), np.zeros(plan.padded_hw)
        value[plan.window(corner)], weight[plan.window(corner)] = alpha, border_weight((64, 64))
        stack.append((value, weight))
    values, weights = (np.array(planes) for planes in zip(*stack, strict=True))
    mean = (values * weights).sum(axis=0) / weights.sum(axis=0)
    wanted = np.where(trimap == 128, plan.crop(mean), trimap == 255)
    np.testing.assert_allclose(stitcher.finish(), wanted, atol=1e-6)


@pytest.mark.parametrize("step", [0, 65, -3])
def test_a_step_outside_the_patch_is_refused(step: int) -> None:
    with pytest.raises(UsageError, match=rf"`step` must be between 1 and 64 .*; got {step}") as caught:
        plan_grid(np.zeros((9, 9), np.uint8), (64, 64), step)
    assert caught.value.parameter == "step"


def test_levels_are_rounded_or_truncated() -> None:
    alpha = np.array([0, 0.5, 0.999, 1], np.float32)
    assert to_levels(alpha).tolist() == [0, 128, 255, 255]
    assert to_levels(alpha, truncate=True).tolist() == [0, 127, 254, 255]
