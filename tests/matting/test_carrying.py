"""Trimaps carried between keyframes, where the truth is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.matting.carrying import carried
from tests.matting.test_motion import as_grey, texture

HEIGHT, WIDTH, COUNT = 120, 160, 9
GROUND, SQUARE = texture(HEIGHT, WIDTH), texture(60, 60, seed=1)


def frame(index: int, step: int = 3) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A textured square that moves to the right over a still ground; its trimap has a band of 6 pixels each side."""
    picture, trimap = GROUND.copy(), np.zeros((HEIGHT, WIDTH), np.uint8)
    left = 30 + step * index
    picture[30:90, left : left + 60] = SQUARE
    trimap[24:96, left - 6 : left + 66] = 128
    trimap[36:84, left + 6 : left + 54] = 255
    return as_grey(picture), trimap


def test_a_moving_square_between_two_keyframes() -> None:
    greys, trimaps = zip(*map(frame, range(COUNT)), strict=True)
    found = carried(greys, trimaps[0], trimaps[-1])
    assert len(found) == COUNT - 2
    for packed, true in zip(found, trimaps[1:-1], strict=True):
        trimap = packed.opened()
        assert set(np.unique(trimap)) == {0, 128, 255}
        # What is known is right, and the band is hardly wider than an artist's.
        wrong = (trimap == 0) & (true == 255) | (trimap == 255) & (true == 0)
        assert not wrong.any()
        assert (trimap == 128).sum() < 2 * (true == 128).sum()
        assert (trimap[true == 255] == 255).mean() > 0.8
        assert (trimap[true == 0] == 0).mean() > 0.8


def test_one_keyframe_carries_both_ways() -> None:
    """After the last keyframe and before the first, the band widens with the distance."""
    greys, trimaps = zip(*(frame(index, 2) for index in range(COUNT)), strict=True)
    ahead = [packed.opened() for packed in carried(greys, trimaps[0], None)]
    back = [packed.opened() for packed in carried(greys, None, trimaps[-1])]
    assert len(ahead) == len(back) == COUNT - 1
    for found, true in ((ahead, trimaps[1:]), (back, trimaps[:-1])):
        for trimap, wanted in zip(found, true, strict=True):
            assert not ((trimap == 0) & (wanted == 255) | (trimap == 255) & (wanted == 0)).any()
            assert (trimap[wanted == 255] == 255).mean() > 0.7
    unknown = [(trimap == 128).sum() for trimap in (ahead[0], ahead[-1], back[-1], back[0])]
    assert unknown[0] < unknown[1]
    assert unknown[2] < unknown[3]


def test_what_only_the_other_keyframe_shows_is_taken_from_there() -> None:
    """The ground that the square uncovers is hidden in the first keyframe and seen in the last."""
    greys, trimaps = zip(*(frame(index, 8) for index in range(6)), strict=True)
    both, alone = carried(greys, trimaps[0], trimaps[-1])[3].opened(), carried(greys, trimaps[0], None)[3].opened()
    uncovered = (slice(40, 80), slice(36, 52))
    assert (trimaps[4][uncovered] == 0).all()
    assert (both[uncovered] == 0).mean() > 0.8
    assert (alone[uncovered] == 255).mean() < 0.05, "nothing is made up"
    assert (both[uncovered] == 0).mean() > (alone[uncovered] == 0).mean()


def test_keyframes_that_contradict_each_other_leave_it_unknown() -> None:
    greys = [as_grey(GROUND)] * 5
    foreground, background = np.full((HEIGHT, WIDTH), 255, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    for packed in carried(greys, foreground, background):
        assert (packed.opened() == 128).all()


def test_frames_without_anything_in_common_are_unknown() -> None:
    """A cut: what passes the check does so by chance."""
    greys = [as_grey(texture(HEIGHT, WIDTH, seed)) for seed in (5, 6)]
    trimap = frame(0)[1]
    (found,) = carried(greys, trimap, None)
    assert (found.opened() == 128).all()


@pytest.mark.parametrize("hw", [(2400, 3200), (240, 320)])
def test_trimaps_keep_their_size(hw: tuple[int, int]) -> None:
    """Flow is found on smaller pictures; the trimap is carried as it is."""
    big = np.zeros(hw, np.uint8)
    big[hw[0] // 4 : -hw[0] // 4, hw[1] // 4 : -hw[1] // 4] = 255
    grey = as_grey(GROUND)
    first, second = (packed.opened() for packed in carried([grey] * 4, big, big))
    for trimap in (first, second):
        assert trimap.shape == hw
        # The edge is unknown within the first pixels of flow, the rest as it was.
        assert (trimap != big).mean() < 0.08
        assert (trimap[trimap != big] == 128).all()
