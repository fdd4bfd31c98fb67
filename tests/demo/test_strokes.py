"""Paint to trimap."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from litematting_deploy.demo.source import BRUSHES, OPACITY, trimap_of
from litematting_deploy.errors import InputError

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
Layer = NDArray[np.uint8]


def flat(colour: tuple[float, ...], opacity: float) -> Layer:
    pixel = np.array([*colour, 255 * opacity])
    return np.tile(np.rint(pixel).astype(np.uint8), (2, 2, 1))


def over(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Porter and Duff's over, of premultiplied RGBA, 0..1."""
    return top + bottom * (1 - top[..., 3:])


def straight(premultiplied: NDArray[np.float64]) -> Layer:
    alpha = premultiplied[..., 3:]
    colours = np.divide(premultiplied[..., :3], alpha, out=np.zeros_like(premultiplied[..., :3]), where=alpha > 0)
    return np.asarray(np.rint(np.concatenate([colours, alpha], axis=-1) * 255), np.uint8)


def dab(value: int, opacity: float = OPACITY) -> NDArray[np.float64]:
    return np.array([*(np.array(BRUSHES[value]) / 255 * opacity), opacity])


def test_every_value_has_a_brush() -> None:
    assert set(BRUSHES) == {BACKGROUND, UNKNOWN, FOREGROUND}


@pytest.mark.parametrize("value", [UNKNOWN, FOREGROUND])
@pytest.mark.parametrize("opacity", [OPACITY / 2 + 0.01, OPACITY, 1.0])
def test_a_stroke_is_its_value_however_opaque(value: int, opacity: float) -> None:
    assert (trimap_of([flat(BRUSHES[value], opacity)], (2, 2)) == value).all()


@pytest.mark.parametrize("opacity", [0, 0.1, OPACITY / 2 - 0.01])
def test_the_faint_rim_of_a_stroke_is_not_painted(opacity: float) -> None:
    layers = [flat(BRUSHES[FOREGROUND], 1), flat(BRUSHES[BACKGROUND], opacity)]
    assert (trimap_of(layers, (2, 2)) == FOREGROUND).all()


@pytest.mark.parametrize(("one", "other"), [*itertools.permutations(BRUSHES, 2)])
def test_mixes_of_two_are_never_the_third(one: int, other: int) -> None:
    """As at the soft edge of a stroke over another."""
    for share in np.linspace(0, 1, 101):
        mix = tuple(share * np.array(BRUSHES[one]) + (1 - share) * np.array(BRUSHES[other]))
        layer = flat(mix, 1)
        layer[0, 0] = [*BRUSHES[UNKNOWN], 255]  # so that something is painted
        found = trimap_of([layer], (2, 2))[1, 1]
        assert found == (one if share > 0.5 else other) or share == pytest.approx(0.5)


@pytest.mark.parametrize("history", [*itertools.product(BRUSHES, repeat=4)])
def test_what_is_painted_last_counts(history: tuple[int, ...]) -> None:
    paint = np.zeros(4)
    for value in history:
        for _ in range(3):  # strokes over themselves
            paint = over(dab(value), paint)
    paint = over(dab(history[0]), paint)
    layer = np.tile(straight(paint), (2, 2, 1))
    layer[0, 0] = [*BRUSHES[UNKNOWN], 255]
    assert trimap_of([layer], (2, 2))[1, 1] == history[0]


def test_smooth_strokes_have_hard_labels_at_their_edges() -> None:
    """A green disk with a blue ring over it and a red stroke through both, drawn large and scaled down."""
    size, by = 64, 8
    paint = np.zeros((size, size, 4))
    truth = np.zeros((size * by, size * by), np.uint8)
    for value, box, width in (
        (FOREGROUND, (8, 8, 56, 56), None),
        (UNKNOWN, (6, 6, 58, 58), 6),
        (BACKGROUND, None, None),
    ):
        large = Image.new("L", (size * by, size * by))
        draw = ImageDraw.Draw(large)
        if box is None:
            draw.line((0, 100, size * by, 400), fill=255, width=5 * by)
        else:
            draw.ellipse([side * by for side in box], fill=None if width else 255, outline=255, width=(width or 1) * by)
        cover = np.asarray(large.resize((size, size), Image.Resampling.BOX)) / 255
        paint = over(cover[..., None] * dab(value), paint)
        truth[np.asarray(large) > 0] = value
    found = trimap_of([straight(paint)], (size, size))
    cells = truth.reshape(size, by, size, by).swapaxes(1, 2).reshape(size, size, -1)
    assert (cells == found[..., None]).any(axis=-1).all()  # a label is always one of those in the pixel
    pure = (cells == cells[..., :1]).all(axis=-1)
    assert (found[pure] == cells[pure][:, 0]).all()
    assert pure.mean() > 0.8


def test_paint_is_scaled_to_the_photo_without_new_values() -> None:
    layer = np.zeros((10, 20, 4), np.uint8)
    layer[2:5, 3:9] = [*BRUSHES[FOREGROUND], 153]
    layer[5:6, 3:9] = [*BRUSHES[UNKNOWN], 153]
    trimap = trimap_of([layer], (70, 140))
    assert trimap.shape == (70, 140)
    assert set(np.unique(trimap)) == {BACKGROUND, UNKNOWN, FOREGROUND}
    assert (trimap[14:35, 21:63] == FOREGROUND).all()
    assert (trimap[35:42, 21:63] == UNKNOWN).all()
    assert np.count_nonzero(trimap) == 28 * 42


@pytest.mark.parametrize("layers", [[], [np.zeros((2, 2, 4), np.uint8)], [flat(BRUSHES[BACKGROUND], 1)]])
def test_nothing_painted(layers: list[Layer]) -> None:
    with pytest.raises(InputError, match="nothing is painted"):
        trimap_of(layers, (2, 2))
