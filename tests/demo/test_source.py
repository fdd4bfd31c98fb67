"""What the page makes of a file as mask or trimap."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.demo.source import BRUSHES, Source, in_words_of_the_page
from litematting_deploy.errors import InputError
from litematting_deploy.images.photo import Photo, read_photo
from litematting_deploy.specs import TrimapSpec
from tests.segmentation.scenes import BOX, HW, before_screen, check, pair, save


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
    trimap = Source(spec, mask_of(tmp_path / "ids.png", 7)).trimap(photo, 200).values
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


def test_a_box_of_paint_and_a_screen(tmp_path: Path) -> None:
    image, _ = pair()
    photo = read_photo(save(tmp_path / "wall.png", image))
    layer = np.zeros((*HW, 4), np.uint8)
    x, y, width, height = BOX
    for place in ((y, x), (y + height - 1, x + width - 1)):
        layer[place] = (*BRUSHES[128], 200)
    layer[120:130, 165:175] = (*BRUSHES[255], 200)
    layer[y + 5 : y + 15, x + 5 : x + 15] = (*BRUSHES[0], 200)
    painted = {"layers": [layer]}

    def source(kind: str, key: str = "", unit: str = "automatic") -> Source:
        return Source.of(painted, None, kind, 15, False, "exact", None, None, unit, key)

    made = source("box").trimap(photo, 200)
    trimap = made.values
    assert made.box == BOX
    wide = source("box", unit="pixels").trimap(photo, 200).values
    assert (wide == 128).sum() > 1.5 * (trimap == 128).sum(), "15 pixels, where 4 % of the subject are about 6"
    assert (trimap[122:128, 167:173] == 255).all()
    assert (trimap[y + 5 : y + 15, x + 5 : x + 15] != 255).all()
    assert (trimap[:20] == 0).all()
    screen = read_photo(save(tmp_path / "screen.png", before_screen()))
    found = source("key", "green").trimap(screen, 200)
    check(found.values, wrong=0.001)
    assert found.mask is not None, "what the page shows as half sure"
    grey = read_photo(save(tmp_path / "grey.png", np.full((*HW, 3), 90, np.uint8)))
    with pytest.raises(InputError, match=r"grey\.png: contains hardly any blue"):
        source("key", "blue").trimap(grey, 200)
    painted["layers"] = []
    with pytest.raises(InputError, match="no box yet: choose blue with the palette button"):
        source("box").trimap(photo, 200)


def test_messages_name_what_is_on_the_page() -> None:
    said = "ids.png: give it as `mask`, with `mask_labels=ID` or `mask_threshold=7`; `unknown` names"
    assert in_words_of_the_page(said) == (
        "ids.png: give it as a mask (Use a mask), with Class ids of the subject: ID or Foreground from this value: 7; "
        "unknown names"
    )
