"""Masks of class ids with void on top are told from binary and soft masks, whatever these went through."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from litematting_deploy.errors import DimMaskError, InputError
from litematting_deploy.images.mask import MaskMeaning
from litematting_deploy.images.mask_checks import class_ids

H, W = 200, 260
Y, X = np.mgrid[:H, :W]
DISC = (Y - 100) ** 2 + (X - 120) ** 2 < 60**2
RECTANGLE = (Y > 40) & (Y < 160) & (X > 64) & (X < 192)
RINGS = np.clip(40 - np.hypot(Y - 100, X - 120) / 4, 0, 255)


def hard(inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(inside, np.uint8(255), np.uint8(0))


def jpeg(mask: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def supersampled(times: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[: H * times, : W * times] / times
    fine = ((y - 100) ** 2 + (x - 120) ** 2 < 60**2) * 255.0
    return np.asarray(np.rint(fine.reshape(H, times, W, times).mean((1, 3))), np.uint8)


def areas(*values: int) -> NDArray[np.uint8]:
    """Rectangles in each other with hard edges."""
    mask = np.zeros((H, W), np.uint8)
    for index, value in enumerate(values):
        mask[20 + index * 8 : 180 - index * 8, 10 + index * 12 : 250 - index * 9] = value
    return mask


def outlined(*ids: int) -> NDArray[np.uint8]:
    """Areas of class ids with an outline of void, as PASCAL VOC has them."""
    picture = Image.fromarray(areas(*ids))
    most, least = (np.asarray(picture.filter(kind(5))) for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter))
    return np.where(most != least, np.uint8(255), areas(*ids))


def masks() -> dict[str, NDArray[np.uint8]]:
    found = {
        "disc": hard(DISC),
        "rectangle": hard(RECTANGLE),
        "trimap": areas(128, 255),
        "two greys": areas(127, 128, 255),
        "two bits": areas(85, 170, 255),
        "steps of 20 %": areas(51, 102, 153, 204, 255),
        "steps of 10 %": areas(26, 51, 77, 102, 128, 153, 179, 204, 255),
        "veil": areas(100, 255),
        "posterised": (X * 16 // W * 17).astype(np.uint8),
        "ramp": np.rint(X * 255 / (W - 1)).astype(np.uint8),
        "slow ramp": np.repeat(np.linspace(0, 255, W).astype(np.uint8)[None], H, 0).repeat(10, 1),
        "glow": np.where(DISC, 255, RINGS).astype(np.uint8),
        "black": np.zeros((H, W), np.uint8),
        "one pixel": np.full((1, 1), 255, np.uint8),
    }
    for times in (2, 3, 4, 8):
        found[f"antialiased {times}x{times}"] = supersampled(times)
    for radius in (1, 3, 10, 40):
        blurred = Image.fromarray(hard(DISC)).filter(ImageFilter.GaussianBlur(radius))
        found[f"blurred {radius}"] = np.asarray(blurred)
    for name in ("disc", "rectangle", "trimap", "veil", "glow"):
        found |= {f"{name}, JPEG {quality}": jpeg(found[name], quality) for quality in (10, 30, 60, 75, 90, 95, 100)}
    return found


MASKS = masks()


def tiles() -> NDArray[np.uint8]:
    """As of a street, with many classes."""
    ids = np.random.default_rng(1).choice(np.array([*range(19), 255]), (10, 13))
    return ids.repeat(20, 0).repeat(20, 1).astype(np.uint8)


IDS = {
    "0, 1, 2, 15": (areas(1, 2, 15, 255), [1, 2, 15]),
    "with outlines": (outlined(1, 2, 15), [1, 2, 15]),
    "one class with an outline": (outlined(15), [15]),
    "an object and void": (areas(1, 255), [1]),
    "street": (tiles(), list(range(1, 19))),
    "indoors": (outlined(2, 4, 12, 17, 66, 126), [2, 4, 12, 17, 66, 126]),
    "no background": (np.where(areas(1, 2, 255) == 0, np.uint8(5), areas(1, 2, 255)), [1, 2, 5]),
}


@pytest.mark.parametrize("name", MASKS)
def test_binary_and_soft_masks_pass(name: str) -> None:
    mask = MASKS[name]
    assert class_ids(mask, 255) == []
    assert class_ids(mask.astype(np.uint16) * np.uint16(257), 65535) == []
    if not 0 < mask.max() < 250:  # a low quality of JPEG may not keep white
        assert MaskMeaning().applied(mask, 255, "m.png") is None


@pytest.mark.parametrize("name", IDS)
def test_class_ids_with_void_are_refused(name: str) -> None:
    mask, ids = IDS[name]
    assert class_ids(mask, 255) == ids
    deep = np.where(mask == 255, np.uint16(65535), mask.astype(np.uint16))
    for levels, top in ((mask, 255), (deep, 65535)):
        assert class_ids(levels, top) == ids
        for alone in (True, False):
            with pytest.raises(InputError, match=r"m\.png: contains .*\d+ \(\d+ px\).* `mask_labels=ID`") as told:
                MaskMeaning().applied(levels, top, "m.png", alone=alone)
            assert not isinstance(told.value, DimMaskError)
        chosen: Any = MaskMeaning(labels=(ids[0],)).applied(levels, top, "m.png")
        np.testing.assert_array_equal(chosen == 255, mask == ids[0])


def test_a_dim_mask_is_refused_alone_and_taken_beside_others() -> None:
    dim = areas(100)
    with pytest.raises(DimMaskError, match="100 of 255"):
        MaskMeaning().applied(dim, 255, "m.png")
    assert MaskMeaning().applied(dim, 255, "m.png", alone=False) is None
