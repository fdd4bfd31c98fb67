"""Random trimaps against the truth they are drawn for, and against SciPy's and OpenCV's morphology."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, distance_transform_edt
from torch import Tensor

from litematting_deploy.training.families import layer
from litematting_deploy.training.recipe import Augment
from litematting_deploy.training.trimaps import by_polygons, by_strokes, known_regions, without_narrow

EVEN = Augment(hand_drawn=0, swallowed=0)
SIZE = 192


@pytest.fixture(scope="module")
def alphas() -> Tensor:
    """Alphas of thin, soft, dense and see-through objects, a hard disc, and images of one value: (N, H, W)."""
    drawn = [layer(1, 0, SIZE, {name: 1.0}).alpha for name in ("curly_hair", "net", "glass", "smoke", "foliage")]
    hard = cv2.circle(np.zeros((SIZE, SIZE), np.uint8), (90, 80), 50, 255, -1)
    flat = [np.full((SIZE, SIZE), value, np.uint8) for value in (0, 100, 255)]
    return torch.from_numpy(np.stack([*drawn, hard, *flat]).astype(np.float32) / 255)


def disc(radius: float) -> Tensor:
    y, x = np.mgrid[:SIZE, :SIZE]
    return torch.from_numpy((np.hypot(y - SIZE / 2, x - SIZE / 2) < radius).astype(np.float32))


def apart(alpha: Tensor) -> NDArray[np.float64]:
    """Distances (2, H, W) to what is not background and to what is not foreground, by SciPy."""
    pure = [(alpha == value).numpy() for value in (0, 1)]
    return np.stack([np.full(one.shape, np.inf) if one.all() else distance_transform_edt(one) for one in pure])


@pytest.mark.parametrize(
    "augment",
    [
        EVEN,
        dataclasses.replace(EVEN, hand_drawn=1),
        dataclasses.replace(EVEN, swallowed=1),
        dataclasses.replace(EVEN, hand_drawn=1, swallowed=1, trimap_px=(1, 4)),
    ],
    ids=["even", "by hand", "swallowed", "narrow, by hand"],
)
def test_a_trimap_never_contradicts_the_truth(alphas: Tensor, augment: Augment) -> None:
    known_share = 0.0
    for seed in range(6):
        background, foreground = known_regions(alphas, augment, np.random.default_rng(seed))
        assert (alphas[background] == 0).all()
        assert (alphas[foreground] == 1).all()
        inside = np.stack([apart(alpha) for alpha in alphas])
        if background.any():
            assert inside[:, 0][background.numpy()].min() > augment.trimap_px[0]
        known_share += float((background | foreground).float().mean()) / 6
        assert not (background | foreground)[-2].any(), "nothing of a see-through image is known"
    assert 0.1 < known_share < 0.9


def test_narrow_and_wide_trimaps_are_equally_common() -> None:
    alpha, widths = disc(90).expand(16, -1, -1), []
    inside = apart(alpha[0])[1]
    for seed in range(8):
        _, foreground = known_regions(alpha, EVEN, np.random.default_rng(seed))
        widths += [inside[known.numpy()].min() for known in foreground if known.any()]
    share = np.histogram(widths, [3, 6.3, 13.4, 28, 62])[0] / len(widths)
    # Quarters of the range 3 to 60 in the logarithm.
    np.testing.assert_allclose(share, 0.25, atol=0.13)


def test_a_fixed_width_is_kept_exactly_by_even_trimaps() -> None:
    background, foreground = known_regions(disc(60)[None], dataclasses.replace(EVEN, trimap_px=(9, 9)), rng(0))
    for known, inside in zip((background, foreground), apart(disc(60)), strict=True):
        np.testing.assert_array_equal(known[0].numpy(), inside > 9)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_strokes_leave_discs_unknown() -> None:
    inside = apart(disc(50))
    for seed in range(5):
        known = by_strokes(torch.from_numpy(inside).float(), 15.0, 3, rng(seed)).numpy()
        # Beyond the least distance, the unknown region is a union of discs of 0.6 times the width or more.
        unknown = ~known[0]
        opened = binary_opening(np.pad(unknown, 20, mode="edge"), round_brush(8))[20:-20, 20:-20]
        assert unknown[(inside[0] > 4)].any()
        assert opened[unknown & (inside[0] > 8)].mean() > 0.99


def test_polygons_have_straight_sides() -> None:
    inside = torch.from_numpy(apart(disc(60))).float()
    for seed in range(5):
        polygon = by_polygons(inside, 10.0, 3, rng(seed))[0]
        even = inside[0] > 13
        assert corners(polygon) < corners(even)
        assert (inside[0][polygon] > 3).all()


def corners(region: Tensor) -> int:
    """How many corners a polygon needs to stay within 1.2 pixels of the region's longest outline."""
    outlines, _ = cv2.findContours((~region).numpy().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return len(cv2.approxPolyDP(max(outlines, key=len), 1.2, True))


def test_what_is_narrower_than_a_brush_is_unknown_as_scipy_would_open_it() -> None:
    noise = cv2.GaussianBlur(rng(0).random((SIZE, SIZE)), (0, 0), 4)
    known = torch.from_numpy(np.stack([noise < 0.5, noise > 0.5]))
    opened = without_narrow(known, np.array([4.0, 6.0]))
    assert (opened & ~known).sum() == 0
    for radius, before, after in zip((4, 6), known, opened, strict=True):
        wanted = binary_opening(np.pad(before.numpy(), 20, constant_values=True), round_brush(radius))[20:-20, 20:-20]
        # Beyond the image the region goes on in both; discs whose centre lies outside it only in one.
        np.testing.assert_array_equal(after.numpy()[10:-10, 10:-10], wanted[10:-10, 10:-10])
        assert 0.05 < after.float().mean() < before.float().mean()


def round_brush(radius: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(np.hypot(y, x) <= radius)


def test_some_trimaps_of_swallowed_regions_have_no_foreground() -> None:
    solid = disc(80).expand(32, -1, -1)
    bare = {}
    for share in (0.0, 1.0):
        augment = dataclasses.replace(EVEN, swallowed=share, trimap_px=(3, 10))
        _, foreground = known_regions(solid, augment, rng(0))
        bare[share] = float((~foreground.flatten(1).any(1)).float().mean())
    assert bare[0.0] == 0
    assert 0.03 < bare[1.0] < 0.5
