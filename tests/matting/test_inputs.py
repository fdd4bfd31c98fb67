"""What programs give as masks and alphas."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import InputError
from litematting_deploy.matting.inputs import as_alpha, as_mask

SOFT = np.arange(12, dtype=np.uint8).reshape(3, 4) * 23
HARD = SOFT > 100


@pytest.mark.parametrize("mask", [HARD, HARD.tolist(), Image.fromarray(HARD), HARD[..., None]], ids=range(4))
def test_true_is_foreground_in_a_bool_mask(mask: Any) -> None:
    np.testing.assert_array_equal(as_mask(mask), np.where(HARD, 255, 0))


def test_a_soft_mask_is_taken_as_it_is() -> None:
    assert as_mask(SOFT) is SOFT
    np.testing.assert_array_equal(as_mask(SOFT.tolist()), SOFT)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (SOFT / 255, "`mask` must be (H, W) bool or uint8; got (3, 4) float64"),
        (SOFT.astype(np.uint16), "got (3, 4) uint16; scale it to 0 to 255"),
        (np.dstack([SOFT] * 3), "got (3, 4, 3) uint8; give one channel"),
        (SOFT.astype(int) + 9, "`mask` must be between 0 and 255; got values from 9 to 262"),
    ],
    ids=range(4),
)
def test_other_masks_are_refused(mask: Any, words: str) -> None:
    with pytest.raises(InputError) as failure:
        as_mask(mask)
    assert words in str(failure.value)
    assert failure.value.parameter == "mask"


def test_alphas_are_levels_or_floats() -> None:
    wanted = SOFT / 255
    for given in (SOFT, SOFT.astype(np.uint16) * np.uint16(257), wanted, wanted.astype(np.float32), wanted.tolist()):
        found = as_alpha(given)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(SOFT / 255 * 2, r"between 0 and 1; got values from 0 to"), (HARD, r"got \(3, 4\) bool")],
    ids=["beyond 1", "bool"],
)
def test_what_is_no_alpha_is_refused(wrong: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"`alpha` must be .*{words}"):
        as_alpha(wrong)
