"""What the page makes of a file as mask or trimap."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.demo.source import Source, in_words_of_the_page
from litematting_deploy.errors import InputError
from litematting_deploy.images.photo import Photo, read_photo
from litematting_deploy.specs import TrimapSpec


@pytest.fixture
def photo(tmp_path: Path) -> Photo:
    Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / "photo.png")
    return read_photo(tmp_path / "photo.png")


def mask_of(path: Path, value: int) -> str:
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = value
    Image.fromarray(mask).save(path)
    return str(path)


def test_a_mask_of_class_ids_becomes_a_trimap(photo: Photo, tmp_path: Path) -> None:
    spec = TrimapSpec(kind="mask", mask_labels=(7,), unknown_width=2)
    trimap = Source(spec, mask_of(tmp_path / "ids.png", 7)).trimap(photo, 200)
    assert trimap[15].tolist() == [0] * 8 + [128] * 4 + [255] * 16 + [128] * 4 + [0] * 8


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        (TrimapSpec(kind="mask"), 7, r"ids\.png: its brightest value is 7 of 255"),
        (TrimapSpec(kind="mask", mask_labels=(8,)), 7, "no pixel is foreground with `mask_labels=8`"),
        (TrimapSpec(), 255, r"no unknown pixels, .*give it as `mask`"),
    ],
    ids=["class ids without a label", "a label that is not there", "a mask as a trimap"],
)
def test_what_means_something_else_is_refused(
    spec: TrimapSpec, value: int, words: str, photo: Photo, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        Source(spec, mask_of(tmp_path / "ids.png", value)).trimap(photo, 200)


def test_messages_name_what_is_on_the_page() -> None:
    said = "ids.png: give it as `mask`, with `mask_labels=ID` or `mask_threshold=7`; `unknown` names"
    assert in_words_of_the_page(said) == (
        "ids.png: give it as a mask (Take a mask), with Class ids of the object: ID or Foreground from this value on: "
        "7; unknown names"
    )
