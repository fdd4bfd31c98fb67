"""The forms of average pooling against each other."""

import pytest
import torch

from litematting_deploy.model.config import PoolingForm
from litematting_deploy.model.modules import BRANCHES, PYRAMID_SCALES, SINGLE_SCALE
from litematting_deploy.model.pooling import Size, adaptive_average, averaging_matrix, pyramid

ENB_SIZES: list[Size] = [(scale, scale) for scale in (*PYRAMID_SCALES, SINGLE_SCALE)]
SIZES: list[Size] = [*ENB_SIZES, *(size for size, _ in BRANCHES.values())]


@pytest.mark.parametrize("hw", [(2, 3), (10, 10), (20, 20), (32, 32), (47, 61), (160, 192)], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("form", ["matmul", "conv"])
def test_forms_are_equal(form: PoolingForm, size: Size, hw: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *hw, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        adaptive_average(x, size, form), adaptive_average(x, size, "adaptive"), atol=1e-6, rtol=1e-5
    )


def test_matrix_of_a_length_that_does_not_divide() -> None:
    wanted = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0, 1.0]]) / 3
    torch.testing.assert_close(averaging_matrix(2, 5), wanted)


def test_pyramid_joins_110_positions() -> None:
    x = torch.rand(1, 4, 40, 24)
    assert pyramid(x, PYRAMID_SCALES, "matmul").shape == (1, 4, 110)
    torch.testing.assert_close(pyramid(x, PYRAMID_SCALES, "matmul"), pyramid(x, PYRAMID_SCALES, "adaptive"))
