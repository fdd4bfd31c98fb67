"""Masks that are made from the frames of a clip, and what of them flickers."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import InputError
from litematting_deploy.jobs.clip_masks import ClipMasks
from litematting_deploy.jobs.clip_trimaps import Pair
from litematting_deploy.jobs.trimaps import Trimap
from litematting_deploy.segmentation.maker import MaskMaker
from litematting_deploy.segmentation.pieces import SoftMask
from litematting_deploy.specs import TrimapSpec
from litematting_deploy.video.reader import Clip
from tests.matting.test_motion import as_grey, texture
from tests.video.clips import save_clip

COUNT, STEP = 5, 4
HOLE = (slice(62, 68), slice(60, 66))


def square(index: int) -> tuple[slice, slice]:
    """Where the object is in a frame."""
    return slice(40, 90), slice(30 + STEP * index, 80 + STEP * index)


class Flickering(MaskMaker):
    """Makes the right mask of each frame it is asked for, in order, but one with a hole, and one not at all."""

    def __call__(self, image: NDArray[np.uint8], name: str) -> SoftMask:
        index = int(name.partition(": frame ")[2].split()[0])
        asked.append(index)
        if index == 4:
            raise InputError(f"{name}: no mask")
        mask = np.zeros(image.shape[:2], np.float32)
        mask[square(index)] = 1
        if index == 1:
            mask[HOLE] = 0
        return self.marked(mask)


asked: list[int] = []


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    ground, thing = texture(128, 160), texture(50, 50, seed=1)
    frames = []
    for index in range(COUNT):
        luma = ground.copy()
        luma[square(index)] = thing
        flat = np.full((128, 160), 128, np.uint8)
        frames.append([as_grey(16 + luma * 0.85), flat, flat])
    return Clip(str(save_clip(tmp_path / "clip.mkv", frames, kind="yuv444p")), 200)


def test_what_one_frame_alone_gets_wrong_is_mended_along_the_motion(clip: Clip) -> None:
    asked.clear()
    stroke = np.zeros((128, 160), bool)
    stroke[100:104, 10:14] = True
    found: list[Trimap | str] = []
    spec = TrimapSpec(kind="photo", box=(0, 0, 9, 9), unknown_width=1)
    with ClipMasks(spec, Flickering(foreground=stroke)) as masks:
        pairs: list[Pair] = list(masks.pairs(clip))
        for pair in pairs:
            try:
                found.append(masks.trimap(pair, pair.frame.colours.network(pair.frame.signal())))
            except InputError as error:
                found.append(str(error))
    assert asked == list(range(COUNT)), "each mask is made once"
    mended = found[1]
    assert isinstance(mended, Trimap)
    assert (mended.values[HOLE] == 255).all()
    for index, trimap in enumerate(found[:4]):
        assert isinstance(trimap, Trimap)
        rows, columns = square(index)
        inner = trimap.values[rows.start + 3 : rows.stop - 3, columns.start + 3 : columns.stop - 3]
        assert (inner == 255).all(), index
        assert (trimap.values[:30] == 0).all(), "nothing lags behind the motion"
        assert (trimap.values[45:85, columns.stop + 4 :] == 0).all(), "nor hurries ahead"
        assert (trimap.values[stroke] == 255).sum() >= 4, "strokes stay"
    assert str(found[4]).endswith("no mask")


class Together(MaskMaker):
    """Is best asked by two threads at a time."""

    batch = 2
    at_work = most = 0
    counting = threading.Lock()

    def __call__(self, image: NDArray[np.uint8], name: str) -> SoftMask:
        with self.counting:
            Together.at_work += 1
            Together.most = max(self.most, self.at_work)
        time.sleep(0.05)
        with self.counting:
            Together.at_work -= 1
        asked.append(int(name.partition(": frame ")[2].split()[0]))
        return np.zeros(image.shape[:2], np.float32)


def test_masks_of_frames_to_come_are_made_meanwhile(clip: Clip) -> None:
    asked.clear()
    before = threading.active_count()
    with ClipMasks(TrimapSpec(kind="photo", key="green"), Together(key="green")) as masks:
        for pair in masks.pairs(clip):
            masks.trimap(pair, pair.frame.colours.network(pair.frame.signal()))
            if pair.frame.index == 0:
                # The next is needed for the median; the two after it are what is begun.
                assert set(masks._made) == {0, 1, 2, 3}
    assert sorted(asked) == list(range(COUNT))
    assert Together.most == 2
    assert threading.active_count() == before


def test_a_frame_is_made_anew_when_its_neighbour_changes(clip: Clip, tmp_path: Path) -> None:
    masks = ClipMasks(TrimapSpec(kind="photo", key="green"), MaskMaker(key="green"))  # whose threads never begin
    first = [pair.digest() for pair in masks.pairs(clip)]
    assert first == [pair.digest() for pair in masks.pairs(clip)]
    flat = np.full((128, 160), 128, np.uint8)
    other = save_clip(tmp_path / "other.mkv", [[flat + index, flat, flat] for index in range(3)], kind="yuv444p")
    last = save_clip(tmp_path / "last.mkv", [[flat + index, flat, flat] for index in (0, 1, 9)], kind="yuv444p")
    digests = [[pair.digest() for pair in masks.pairs(Clip(str(path), 200))] for path in (other, last)]
    assert [one == two for one, two in zip(*digests, strict=True)] == [True, False, False]
