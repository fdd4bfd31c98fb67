import numpy as np
import pytest

from litematting_deploy.matting.composite import trimap_preview
from litematting_deploy.matting.trimap import from_mask


@pytest.mark.parametrize("grey", [False, True])
def test_what_is_known_keeps_its_colours_and_what_is_unknown_stands_out(grey: bool) -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[60:140, 80:220] = 255
    trimap = from_mask(mask, 10)
    picture = np.full((200, 300) if grey else (200, 300, 3), 100, np.uint8)
    before = picture.copy()
    shown = trimap_preview(trimap, picture)
    np.testing.assert_array_equal(picture, before)
    assert shown.shape == (200, 300, 3)
    assert (shown[trimap == 255] == 100).all()
    assert (shown[trimap == 0] == 55).all()
    across = shown[100, 60:100].astype(int)  # background, line, tinted band of 20 with lines within, foreground
    assert across[10].tolist() == [0, 200, 255]
    assert across[29].tolist() == [255, 255, 255]
    assert across[20].tolist() == [162, 60, 128]


def test_a_box_is_drawn_as_far_as_it_is_in_the_picture() -> None:
    trimap, picture = np.zeros((200, 300), np.uint8), np.full((200, 300, 3), 100, np.uint8)
    shown = trimap_preview(trimap, picture, box=(50, 40, 400, 100))
    green = (shown == (0, 235, 60)).all(axis=2)
    rows, columns = np.nonzero(green)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 139, 50, 299)
    assert not green[60:120, 60:].any()
