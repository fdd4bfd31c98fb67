"""What masks and trimaps mean to the commands: values that are no foreground, class ids, masks given as trimaps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from litematting_deploy.runtime.shipped import TINY_ENGINE
from tests.conftest import assert_one_line, called
from tests.images.files import save_exr

HW = (48, 64)
Y, X = np.mgrid[: HW[0], : HW[1]]
OBJECT = (Y - 24) ** 2 + (X - 30) ** 2 < 14**2
OTHER = (X > 54) & (Y < 9)
WIDTH = 4
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, *[90, 10, 200] * 252]


def trimap_of(inside: NDArray[np.bool_], width: float = WIDTH) -> NDArray[np.uint8]:
    """By arithmetic alone: sure where the nearest pixel of the other kind is further away than the width."""
    wanted = np.full(HW, 128, np.uint8)
    wanted[distance_transform_edt(inside) > width] = 255
    wanted[distance_transform_edt(~inside) > width] = 0
    return wanted


def save(path: Path, pixels: NDArray[Any], mode: str | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture.putpalette(PALETTE)
    elif mode is not None:
        picture = picture.convert(mode)
    picture.save(path, **options)
    return path


def ids(*values: int, dtype: type[np.generic] = np.uint8) -> NDArray[Any]:
    """Background, an object and another one, by their class ids."""
    return np.select([OBJECT, OTHER], values[1:], values[0]).astype(dtype)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    colours = np.random.default_rng(5).integers(0, 256, (*HW, 3), dtype=np.uint8)
    return save(tmp_path / "photo.png", np.where(OBJECT[:, :, None], colours, np.uint8(40)))


def masks(folder: Path) -> dict[str, tuple[Path, tuple[str, ...]]]:
    """Masks of `OBJECT` whose numbers do not mean it by themselves, with the options that do."""
    grey = ids(0, 100, 60)
    light = {"Y": (OBJECT * 0.4 + OTHER * 0.2).astype(np.float32)}
    two_bits = Image.fromarray(ids(0, 2, 1))
    two_bits.putpalette([0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255])
    two_bits.save(folder / "two.png", bits=2)
    return {
        "dim": (save(folder / "dim.png", grey), ("--mask-threshold", "100")),
        "percent": (save(folder / "percent.webp", grey, lossless=True), ("--mask-threshold", "39%")),
        "class": (save(folder / "class.bmp", ids(0, 7, 3)), ("--mask-label", "7")),
        "sixteen": (save(folder / "sixteen.png", ids(0, 300, 44, dtype=np.uint16)), ("--mask-label", "300")),
        "sixteen_tif": (save(folder / "s.tif", ids(0, 900, 800, dtype=np.uint16)), ("--mask-threshold", "850")),
        "palette": (save(folder / "palette.png", ids(0, 3, 2), "P"), ("--mask-label", "3")),
        "two_bits": (folder / "two.png", ("--mask-label", "2")),
        "exr": (save_exr(folder / "light.exr", light), ("--mask-threshold", "0.3")),
        "rgb": (save(folder / "rgb.png", np.dstack([ids(0, 9, 5)] * 3)), ("--mask-label", "9")),
    }


def test_masks_that_need_a_word_are_refused_and_read_with_it(tmp_path: Path) -> None:
    wanted = trimap_of(OBJECT)
    for name, (mask, options) in masks(tmp_path).items():
        out = tmp_path / f"{name}_trimap.png"
        arguments = ("ltm-trimap", mask, "-o", out, "--unknown", str(WIDTH))
        assert_one_line(called(*arguments), 1, mask.name, "--mask-label")
        assert not out.exists()
        result = called(*arguments, *options)
        assert (result.code, result.err) == (0, ""), name
        np.testing.assert_array_equal(np.asarray(Image.open(out)), wanted, name)


def test_values_that_were_found_are_named(tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", ids(0, 100, 60))
    result = called("ltm-trimap", mask, "-o", tmp_path / "t.png")
    counts = f"0 ({(~OBJECT & ~OTHER).sum()} px), 60 ({OTHER.sum()} px), 100 ({OBJECT.sum()} px)"
    assert_one_line(result, 1, "m.png: its brightest value is 100 of 255", counts, "--mask-threshold 100")


@pytest.mark.parametrize(("brightest", "code"), [(249, 1), (250, 0), (255, 0)])
def test_two_percent_below_the_top_are_foreground(tmp_path: Path, brightest: int, code: int) -> None:
    mask = save(tmp_path / "m.png", ids(0, brightest, 0))
    assert called("ltm-trimap", mask, "-o", tmp_path / "t.png").code == code


def test_several_class_ids_are_one_object(tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", ids(0, 7, 9))
    words = ("--mask-label", "7", "--mask-label", "9", "--unknown", "2")
    assert called("ltm-trimap", mask, "-o", tmp_path / "t.png", *words).code == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "t.png")), trimap_of(OBJECT | OTHER, 2))


def test_ordinary_masks_need_no_word(tmp_path: Path) -> None:
    soft = np.clip(128 + 12 * (14 - np.hypot(Y - 24, X - 30)), 0, 255).astype(np.uint8)
    for name, mask in {
        "one bit": save(tmp_path / "one.png", (OBJECT * 255).astype(np.uint8), "1"),
        "soft": save(tmp_path / "soft.png", soft),
        "black": save(tmp_path / "black.png", np.zeros(HW, np.uint8)),
        "sixteen": save(tmp_path / "sixteen.png", OBJECT.astype(np.uint16) * np.uint16(65535)),
    }.items():
        assert called("ltm-trimap", mask, "-o", tmp_path / "t.png").code == 0, name


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a photo, a mask of class ids and a trimap."""
    folder = tmp_path_factory.mktemp("labelled")
    save(folder / "photo.png", np.full((*HW, 3), 40, np.uint8))
    save(folder / "m.png", ids(0, 7, 3))
    Image.fromarray(ids(0, 7, 3)).save(folder / "m.jpg", quality=60)
    save(folder / "t.png", trimap_of(OBJECT))
    return folder


WRONG_MEANINGS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "labels or a threshold": ("--mask m.png --mask-label 7 --mask-threshold 3", 2, ("use only one of them",)),
    "a threshold is a number": ("--mask m.png --mask-threshold half", 2, ("--mask-threshold", "5%", "'half'")),
    "a threshold is at most the top": ("--mask m.png --mask-threshold 101%", 2, ("--mask-threshold", "got 101%")),
    "a threshold is not nan": ("--mask m.png --mask-threshold nan", 2, ("--mask-threshold", "got 'nan'")),
    "a label is 0 or more": ("--mask m.png --mask-label -1", 2, ("--mask-label must be", "got -1")),
    "a mask is not taken as alpha": (
        "--mask m.png --allow-no-unknown",
        2,
        ("--allow-no-unknown applies only to a trimap",),
    ),
    "a trimap has no labels": ("t.png --mask-label 7", 2, ("--mask-label applies only to a mask", "leave it out")),
    "a JPEG keeps no labels": ("--mask m.jpg --mask-label 7", 1, ("m.jpg: is a JPEG", "--mask-label 7 would leave")),
    "a label is in the mask": ("--mask m.png --mask-label 8", 1, ("m.png", "--mask-label 8")),
    "a threshold is in the file's range": ("--mask m.png --mask-threshold 300", 1, ("m.png", "0 to 255")),
    "something reaches a threshold": ("--mask m.png --mask-threshold 8", 1, ("m.png", "no pixel is foreground")),
}


@pytest.mark.parametrize(("line", "code", "words"), WRONG_MEANINGS.values(), ids=WRONG_MEANINGS)
def test_words_that_mean_nothing_are_refused(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(labelled)
    result = called("ltm-infer", "photo.png", *line.split(), "-o", "a.png", "--engine", TINY_ENGINE)
    assert_one_line(result, code, *words)
    assert not (labelled / "a.png").exists()


def test_trimaps_without_sure_sides_are_matted_and_told(tmp_path: Path, photo: Path) -> None:
    for value, words in ((255, "no sure background"), (0, "no sure foreground"), (128, "foreground or background")):
        trimap = np.full(HW, 128, np.uint8)
        trimap[:5] = value
        path, out = save(tmp_path / f"t{value}.png", trimap), tmp_path / f"a{value}.png"
        result = called("ltm-infer", photo, path, "-o", out, "--engine", TINY_ENGINE)
        assert result.code == 0, result.err
        assert len(result.out.splitlines()) == 1
        assert f"t{value}.png: no sure" in result.out
        assert words in result.out
        assert out.exists()


@pytest.mark.parametrize(("value", "words"), [(255, "no sure background"), (0, "no sure foreground")])
def test_a_trimap_that_is_all_of_one_kind_is_no_mask_and_is_its_own_alpha(
    value: int, words: str, tmp_path: Path, photo: Path
) -> None:
    sure = np.full(HW, value, np.uint8)
    path = save(tmp_path / "t" / photo.name, sure)
    save(tmp_path / "p" / photo.name, np.asarray(Image.open(photo)))
    result = called("ltm-infer", photo, path, "-o", tmp_path / "a.png", "--engine", TINY_ENGINE)
    assert result.code == 0, result.err
    assert f"{path} has no unknown pixels; it is used as the alpha" in result.err
    assert words in result.out
    folder = ("ltm-infer", tmp_path / "p", tmp_path / "t", "-o", tmp_path / "o", "--engine", TINY_ENGINE)
    assert called(*folder).code == 0
    for alpha in (tmp_path / "a.png", tmp_path / "o" / photo.name):
        np.testing.assert_array_equal(np.asarray(Image.open(alpha)), sure)


def test_a_folder_of_masks_given_as_trimaps(tmp_path: Path, photo: Path) -> None:
    """An object may leave the frame, so that some trimaps, also the first, are all background; but not all of them."""
    sure = (OBJECT * 255).astype(np.uint8)
    for name in "abcd":
        save(tmp_path / "p" / f"{name}.png", np.asarray(Image.open(photo)))
        save(tmp_path / "t" / f"{name}.png", sure if name == "c" else np.zeros(HW, np.uint8))
    arguments = ("ltm-infer", tmp_path / "p", tmp_path / "t", "-o", tmp_path / "o", "--engine", TINY_ENGINE)
    refused = called(*arguments)
    assert_one_line(refused, 1, f"{tmp_path / 't'}: has no unknown pixels", "--mask", "--allow-no-unknown")
    assert not (tmp_path / "o").exists()
    assert called(*arguments, "--allow-no-unknown").code == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "o" / "c.png")), sure)
    save(tmp_path / "t" / "d.png", trimap_of(OBJECT))
    for part in ("1/4", "4/4"):  # the part of one machine may have none itself
        result = called(*arguments, "--shard", part)
        assert result.code == 0, result.err
    result = called(*arguments)
    assert result.code == 0
    assert "without sure foreground or background: 2 (a: no sure foreground)" in result.out


def test_class_ids_of_a_folder(tmp_path: Path, photo: Path) -> None:
    for name, mask in {"a": ids(0, 7, 3), "b": ids(0, 0, 3)}.items():
        save(tmp_path / "p" / f"{name}.png", np.asarray(Image.open(photo)))
        save(tmp_path / "m" / f"{name}.bmp", mask)
    arguments = ("ltm-infer", tmp_path / "p", "--mask", tmp_path / "m", "-o", tmp_path / "o", "--engine", TINY_ENGINE)
    assert called(*arguments).code == 1
    result = called(*arguments, "--mask-label", "7", "--unknown", "3")
    assert result.code == 0, result.err
    assert "1 (b: no sure foreground)" in result.out
    assert not np.asarray(Image.open(tmp_path / "o" / "b.png")).any(), "the object is not in this frame"
    again = called(*arguments, "--unknown", "3", "--mask-label", "3", "--resume")
    assert (again.code, "was started with other settings: --unknown 3 --mask-label 7, now " in again.err) == (2, True)


def faded(*greys: int) -> list[NDArray[np.uint8]]:
    return [(OBJECT * np.uint8(grey)).astype(np.uint8) for grey in greys]


def fade_of(tmp_path: Path, photo: Path, *greys: int) -> tuple[str | Path, ...]:
    """A folder of photos and masks of an object that fades in."""
    for index, mask in enumerate(faded(*greys)):
        save(tmp_path / "p" / f"{index}.png", np.asarray(Image.open(photo)))
        save(tmp_path / "m" / f"{index}.png", mask)
    options = ("--unknown", str(WIDTH), "--engine", TINY_ENGINE, "-o", tmp_path / "o", "--preview", tmp_path / "look")
    return ("ltm-infer", tmp_path / "p", "--mask", tmp_path / "m", "--no-refine", *options)


def test_an_object_may_fade_in_a_sequence(tmp_path: Path, photo: Path) -> None:
    """Where it is not sure it is estimated: the band's width around it, and all of it."""
    greys = (0, 4, 60, 120, 200, 255)
    result = called(*fade_of(tmp_path, photo, *greys))
    assert result.code == 0, result.err
    assert "trimaps without sure foreground or background: 5 (0: no sure foreground)" in result.out
    for index, grey in enumerate(greys):
        alpha = np.asarray(Image.open(tmp_path / "o" / f"{index}.png"))
        sure = trimap_of(OBJECT)
        if 5 < grey < 250:
            sure[OBJECT] = 128
        elif grey <= 5:
            sure[:] = 0
        np.testing.assert_array_equal(alpha == 0, sure == 0)
        np.testing.assert_array_equal(alpha == 255, sure == 255)
    part = called(*fade_of(tmp_path, photo, *greys), "--shard", "3/6")
    assert part.code == 0, "the scale is that of all masks, whichever part is matted"


def test_a_fade_without_a_scale_is_refused(tmp_path: Path, photo: Path) -> None:
    result = called(*fade_of(tmp_path, photo, 0, 60, 120, 200))
    words = (f"{tmp_path / 'm'}: no mask reaches the top of its range", "of 255", "--mask-threshold")
    assert_one_line(result, 1, *words)
    assert not (tmp_path / "o").exists()
    result = called(*fade_of(tmp_path, photo, 0, 60, 120, 200), "--mask-threshold", "50")
    assert result.code == 0, result.err
    assert_one_line(called("ltm-trimap", tmp_path / "m" / "1.png", "-o", tmp_path / "t.png"), 1, "60 of 255")


def test_class_ids_with_void_are_no_soft_mask(tmp_path: Path, photo: Path) -> None:
    mask = save(tmp_path / "ids.png", ids(0, 15, 255))
    counts = f"0 ({(~OBJECT & ~OTHER).sum()} px), 15 ({OBJECT.sum()} px), 255 ({OTHER.sum()} px)"
    out = ("-o", tmp_path / "a.png")
    refused = called("ltm-infer", photo, "--mask", mask, *out, "--engine", TINY_ENGINE)
    assert_one_line(refused, 1, f"ids.png: contains {counts}", "--mask-label", "--trimap-encoding between")
    assert_one_line(called("ltm-trimap", mask, *out), 1, f"ids.png: contains {counts}")
    assert called("ltm-trimap", mask, *out, "--mask-label", "15", "--unknown", str(WIDTH)).code == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), trimap_of(OBJECT))
    between = ("--trimap-encoding", "between", "--engine", TINY_ENGINE)
    assert called("ltm-infer", photo, mask, *out, *between).code == 0
