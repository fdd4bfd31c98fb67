"""What the page makes of a file as mask or trimap."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.demo.source import Source, trimap_for
from litematting_deploy.errors import InputError
from litematting_deploy.images.mask import MaskMeaning
from litematting_deploy.images.photo import read_photo


def test_class_ids_and_masks_given_as_trimaps(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / "photo.png")
    photo = read_photo(tmp_path / "photo.png")
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = 7
    Image.fromarray(mask).save(tmp_path / "ids.png")
    path = str(tmp_path / "ids.png")
    with pytest.raises(InputError, match=r"ids\.png: its brightest value is 7 of 255"):
        trimap_for(photo, Source("mask", path=path), 200)
    with pytest.raises(InputError, match="no pixel is foreground with --mask-label 8"):
        trimap_for(photo, Source("mask", path=path, meaning=MaskMeaning(labels=(8,))), 200)
    trimap = trimap_for(photo, Source("mask", path=path, width=2, meaning=MaskMeaning(labels=(7,))), 200)
    assert trimap[15].tolist() == [0] * 8 + [128] * 4 + [255] * 16 + [128] * 4 + [0] * 8
    Image.fromarray((mask > 0) * np.uint8(255)).save(path)
    with pytest.raises(InputError, match=r"no unknown pixels, .*choose Take a mask"):
        trimap_for(photo, Source("trimap", path=path), 200)
