"""OpenEXR masks whose numbers go far beyond 0..1: class ids and levels up to 255, which are not cut off in silence."""

from pathlib import Path

import numpy as np
import pytest

from litematting_deploy.errors import InputError
from litematting_deploy.images.mask import MaskMeaning, read_mask
from tests.images.files import save_exr

OBJECT = np.zeros((12, 16), np.float32)
OBJECT[3:9, 4:12] = 1


def test_class_ids_and_levels_are_refused_and_read_where_it_is_said_what_they_mean(tmp_path: Path) -> None:
    other = np.zeros_like(OBJECT)
    other[:, 14:] = 1
    ids = save_exr(tmp_path / "ids.exr", {"Y": OBJECT * 7 + other * 3})
    levels = save_exr(tmp_path / "levels.exr", {"Y": OBJECT * 255 + other * 90})
    for path, brightest in ((ids, 7), (levels, 255)):
        with pytest.raises(InputError, match=rf"{path.name}: its brightest value is {brightest}, .*ranges from 0 to 1"):
            read_mask(path)
    wanted = np.asarray(OBJECT * 255, np.uint8)
    for path, meaning in (
        (ids, MaskMeaning(labels=(7,))),
        (ids, MaskMeaning.parse(5)),
        (levels, MaskMeaning.parse(128)),
    ):
        np.testing.assert_array_equal(read_mask(path, meaning=meaning), wanted)


def test_what_a_filter_overshoots_is_foreground(tmp_path: Path) -> None:
    path = save_exr(tmp_path / "sharp.exr", {"A": OBJECT * np.float32(1.25)})
    np.testing.assert_array_equal(read_mask(path), OBJECT * 255)
