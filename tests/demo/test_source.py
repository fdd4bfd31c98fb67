"""What the page makes of a file as mask or trimap."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.demo.page import _in_words_of_the_page
from litematting_deploy.demo.source import Source
from litematting_deploy.errors import InputError
from litematting_deploy.images.photo import read_photo
from litematting_deploy.specs import TrimapSpec


def test_class_ids_and_masks_given_as_trimaps(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / "photo.png")
    photo = read_photo(tmp_path / "photo.png")
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = 7
    Image.fromarray(mask).save(tmp_path / "ids.png")
    path = str(tmp_path / "ids.png")
    with pytest.raises(InputError, match=r"ids\.png: its brightest value is 7 of 255"):
        Source(TrimapSpec(kind="mask"), path).trimap(photo, 200)
    with pytest.raises(InputError, match="no pixel is foreground with `mask_labels=8`"):
        Source(TrimapSpec(kind="mask", mask_labels=(8,)), path).trimap(photo, 200)
    trimap = Source(TrimapSpec(kind="mask", mask_labels=(7,), unknown_width=2), path).trimap(photo, 200)
    assert trimap[15].tolist() == [0] * 8 + [128] * 4 + [255] * 16 + [128] * 4 + [0] * 8
    Image.fromarray((mask > 0) * np.uint8(255)).save(path)
    with pytest.raises(InputError, match=r"no unknown pixels, .*give it as `mask`"):
        Source(TrimapSpec(), path).trimap(photo, 200)


def test_messages_name_what_is_on_the_page() -> None:
    said = "ids.png: give it as `mask`, with `mask_labels=ID` or `mask_threshold=7`; `unknown` names"
    assert _in_words_of_the_page(said) == (
        "ids.png: give it as a mask (Take a mask), with Class ids of the object: ID or Foreground from this value on: "
        "7; unknown names"
    )
