"""Adaptive plans: every unknown pixel has its context, and no patch is one too many."""

from typing import Any
from zlib import crc32

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import UsageError
from litematting_deploy.matting import covering
from litematting_deploy.matting.bit_mask import BitMask
from litematting_deploy.matting.patches import Plan, plan_adaptive, plan_grid

Trimap = NDArray[np.uint8]


def blobs(hw: tuple[int, int], seed: int) -> Trimap:
    """Bands around the edges of smooth shapes, as around a subject, and a few lone pixels."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=hw).astype(np.float32)
    field = np.asarray(cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(4, 20))), np.float32)
    field /= max(float(field.std()), 1e-6)
    trimap = np.where(field > 0, np.uint8(255), np.uint8(0))
    trimap[np.abs(field) < rng.uniform(0.02, 0.5)] = 128
    trimap[rng.random(hw) < 1e-4] = 128
    return trimap


def ring(size: int, width: int) -> Trimap:
    trimap = np.zeros((size, size), np.uint8)
    cv2.circle(trimap, (size // 2, size // 2), size // 2 - width, 255, -1)
    cv2.circle(trimap, (size // 2, size // 2), size // 2 - width, 128, width)
    return trimap


def curves(hw: tuple[int, int]) -> Trimap:
    """Curved bands in whole numbers, so that they are the same on every machine."""
    y, x = np.ogrid[: hw[0], : hw[1]]
    return np.where((y * y + 3 * x * x + 200 * x) // 90 % 400 < 18, np.uint8(128), np.uint8(0))


def reached(plan: Plan, without: int | None = None) -> NDArray[np.bool_]:
    """Pixels of the image with the plan's margin in one of its patches, where the image goes on so far."""
    assert plan.margin is not None
    (height, width), (patch_height, patch_width) = plan.padded_hw, plan.patch_hw
    inside = np.zeros((height, width), bool)
    for index, (y, x) in enumerate(plan.corners_yx):
        assert 0 <= y <= height - patch_height
        assert 0 <= x <= width - patch_width
        if index != without:
            top, left = (start + plan.margin if start else 0 for start in (y, x))
            bottom = y + patch_height - (plan.margin if y + patch_height < height else 0)
            right = x + patch_width - (plan.margin if x + patch_width < width else 0)
            inside[top:bottom, left:right] = True
    return plan.crop(inside)


@pytest.mark.parametrize("hw", [(1, 1), (30, 300), (64, 64), (65, 90), (77, 200), (210, 190)], ids=str)
@pytest.mark.parametrize(("patch_hw", "margin"), [((64, 64), None), ((64, 64), 0), ((64, 64), 31), ((40, 72), 13)])
def test_every_unknown_pixel_has_its_context_and_no_patch_is_too_many(
    hw: tuple[int, int], patch_hw: tuple[int, int], margin: int | None
) -> None:
    if margin == 31:  # then a patch reaches 2x2 pixels: many are needed
        hw = min(hw[0], 100), min(hw[1], 100)
    for seed in range(2):
        trimap = blobs(hw, seed)
        plan = plan_adaptive(trimap, patch_hw, margin)
        assert plan.margin == (12 if margin is None else margin)
        assert reached(plan)[trimap == 128].all()
        for index in range(len(plan.corners_yx)):
            assert not reached(plan, without=index)[trimap == 128].all()
        assert plan_adaptive(trimap.copy(), patch_hw, margin) == plan


@pytest.mark.parametrize("size", [256, 517])
def test_a_ring_takes_at_most_half_of_the_grid(size: int) -> None:
    plan = plan_adaptive(ring(size, 9), (64, 64))
    assert plan.grid_size == len(plan_grid(ring(size, 9), (64, 64)).corners_yx)
    assert 0 < 2 * len(plan.corners_yx) <= plan.grid_size


def test_spots_that_no_two_fit_a_patch_take_one_each() -> None:
    trimap = np.zeros((500, 500), np.uint8)
    spots = [(20, 20), (20, 300), (250, 250), (291, 250), (480, 100), (480, 480)]
    for y, x in spots:
        trimap[y - 2 : y + 2, x - 2 : x + 2] = 128
    assert len(plan_adaptive(trimap, (64, 64), 12).corners_yx) == len(spots)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_nothing_known_takes_a_tiling(times: int) -> None:
    size = times * 40 + 24  # patches reach 40x40, and the margin more along the borders
    assert len(plan_adaptive(np.full((size, size), 128, np.uint8), (64, 64), 12).corners_yx) == times**2


def test_a_lone_patch_lies_around_what_is_unknown() -> None:
    trimap = np.zeros((300, 300), np.uint8)
    trimap[100:120, 200:230] = 128
    assert plan_adaptive(trimap, (64, 64)).corners_yx == ((110 - 32, 215 - 32),)


@pytest.mark.parametrize("hw", [(64, 64), (20, 30), (1, 1)], ids=str)
def test_images_that_fit_a_patch_are_the_grid(hw: tuple[int, int]) -> None:
    trimap = blobs(hw, 1)
    trimap[0, 0] = 128
    grid, plan = (make(trimap, (64, 64)) for make in (plan_grid, plan_adaptive))
    for name in ("image_hw", "padded_hw", "offset_yx", "patch_hw", "corners_yx", "grid_size", "padding"):
        assert getattr(plan, name) == getattr(grid, name)


def test_nothing_unknown_takes_nothing() -> None:
    assert plan_adaptive(np.full((200, 90), 255, np.uint8), (64, 64)).corners_yx == ()


@pytest.mark.parametrize("margin", [-1, 32, 640])
def test_a_margin_that_leaves_nothing_inside_is_refused(margin: int) -> None:
    with pytest.raises(
        UsageError, match=rf"`margin` must be .* half the shorter side .*\(64\); got {margin}"
    ) as caught:
        plan_adaptive(np.zeros((9, 9), np.uint8), (64, 64), margin)
    assert caught.value.parameter == "margin"


@pytest.mark.parametrize("hw", [(1, 1), (30, 301), (64, 64), (300, 40), (77, 200)], ids=str)
@pytest.mark.parametrize("patch_hw", [(64, 64), (40, 72)], ids=str)
def test_a_mask_of_bits_has_the_plan_of_its_trimap(hw: tuple[int, int], patch_hw: tuple[int, int]) -> None:
    trimap = blobs(hw, 5)
    mask = BitMask(np.packbits(trimap == 128, axis=1), hw)
    assert plan_adaptive(mask, patch_hw) == plan_adaptive(trimap, patch_hw)
    assert plan_grid(mask, patch_hw, 17) == plan_grid(trimap, patch_hw, 17)


@pytest.mark.parametrize(
    ("hw", "patch_hw", "margin", "count", "checksum"),
    [
        ((317, 403), (64, 64), None, 65, 4151512764),
        ((500, 420), (96, 64), 7, 54, 2163952364),
        ((300, 40), (64, 64), None, 3, 3181551491),
    ],
    ids=["square", "oblong", "narrow"],
)
def test_plans_are_those_of_the_first_planner(
    hw: tuple[int, int], patch_hw: tuple[int, int], margin: int | None, count: int, checksum: int
) -> None:
    """Recorded from the planner that looked at every pixel and tried every group of neighbours."""
    corners = plan_adaptive(curves(hw), patch_hw, margin).corners_yx
    assert (len(corners), crc32(repr(corners).encode())) == (count, checksum)


def test_few_groups_of_neighbours_are_tried_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first planner searched 16178 times in this mask."""
    tried: list[Any] = []
    few = covering._few

    def counted(*given: Any) -> Any:
        tried.append(given)
        return few(*given)

    monkeypatch.setattr(covering, "_few", counted)
    plan_adaptive(curves((317, 403)), (64, 64))
    assert 0 < len(tried) < 50
