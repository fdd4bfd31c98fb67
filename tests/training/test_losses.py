"""The losses against NumPy and OpenCV's pyramids."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from litematting_deploy.training.module import PYRAMID_LEVELS, laplacian, laplacian_pyramid, matting_losses


@pytest.fixture
def case() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    made = {
        name: torch.rand(2, channels, 96, 128, generator=draw)
        for name, channels in (("prediction", 1), ("alpha", 1), ("foreground", 3), ("background", 3))
    }
    made["image"] = made["alpha"] * made["foreground"] + (1 - made["alpha"]) * made["background"]
    made["unknown"] = (torch.rand(2, 1, 96, 128, generator=draw) < 0.3).float()
    return made


def test_alpha_and_composition_are_means_over_unknown_pixels(case: dict[str, Tensor]) -> None:
    losses = matting_losses(**case)
    arrays = {name: value.numpy().astype(np.float64) for name, value in case.items()}
    unknown = arrays["unknown"][:, 0] > 0
    difference = (arrays["prediction"] - arrays["alpha"])[:, 0][unknown]
    assert losses.alpha.item() == pytest.approx(np.abs(difference).mean(), rel=1e-5)
    composed = arrays["prediction"] * arrays["foreground"] + (1 - arrays["prediction"]) * arrays["background"]
    per_pixel = np.abs(arrays["image"] - composed).sum(axis=1)[unknown]
    assert losses.composition.item() == pytest.approx(per_pixel.mean(), rel=1e-5)


def test_the_pyramid_is_that_of_opencv_away_from_the_border(case: dict[str, Tensor]) -> None:
    image = case["alpha"][:1]
    current = image[0, 0].numpy()
    levels = laplacian_pyramid(image)
    assert len(levels) == PYRAMID_LEVELS
    for level in levels[:3]:
        smaller = cv2.pyrDown(current)
        wanted = current - cv2.pyrUp(smaller)
        np.testing.assert_allclose(level[0, 0].numpy()[4:-4, 4:-4], wanted[4:-4, 4:-4], atol=1e-6)
        current = smaller


def test_laplacian_weighs_levels_by_powers_of_two_and_divides_by_unknown_pixels(case: dict[str, Tensor]) -> None:
    masked = torch.where(case["unknown"] > 0, case["prediction"], case["alpha"])
    pairs = zip(laplacian_pyramid(masked), laplacian_pyramid(case["alpha"]), strict=True)
    wanted = sum(2**s * float((a - b).abs().sum()) for s, (a, b) in enumerate(pairs))
    assert laplacian(masked, case["alpha"]).item() == pytest.approx(wanted, rel=1e-4)
    losses = matting_losses(**case)
    assert losses.laplacian.item() == pytest.approx(wanted / float(case["unknown"].sum()), rel=1e-4)
    assert losses.total.item() == pytest.approx(sum(float(loss) for loss in losses[1:]), rel=1e-6)


def test_known_pixels_take_no_part(case: dict[str, Tensor]) -> None:
    before = matting_losses(**case)
    elsewhere = case["prediction"] + (1 - case["unknown"]) * 5
    after = matting_losses(**case | {"prediction": elsewhere})
    assert [loss.item() for loss in after] == [loss.item() for loss in before]


def test_the_truth_costs_nothing_and_nothing_unknown_is_no_error(case: dict[str, Tensor]) -> None:
    assert matting_losses(**case | {"prediction": case["alpha"]}).total.item() == pytest.approx(0, abs=1e-6)
    assert matting_losses(**case | {"unknown": torch.zeros_like(case["unknown"])}).total.item() == 0
