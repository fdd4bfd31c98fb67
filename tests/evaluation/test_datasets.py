import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import InputError
from litematting_deploy.evaluation.datasets import open_dataset, read_sample
from tests.evaluation.tiny import ALPHAMATTING, COMPOSITION, make_dataset, pictures


@pytest.mark.parametrize(
    ("layout", "folders"), [("alphamatting", ALPHAMATTING), ("Composition-1k", COMPOSITION)], ids=lambda v: str(v)[:8]
)
def test_both_layouts_in_order(layout: str, folders: dict[str, str], tmp_path: Path) -> None:
    make_dataset(tmp_path, ["foo_1", "bar_0", "foo_0"], folders)
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.trimap) == (layout, folders["trimap"])
    assert [sample.name for sample in dataset.samples] == ["bar_0", "foo_0", "foo_1"]
    example = read_sample(dataset.samples[0])
    for name, picture in pictures(1).items():
        np.testing.assert_array_equal(getattr(example, name), np.asarray(picture))


def test_endings_may_differ_and_other_files_are_ignored(tmp_path: Path) -> None:
    make_dataset(tmp_path, ["a b.c"])
    (tmp_path / "image" / "a b.c.png").rename(tmp_path / "image" / "a b.c.JPG")
    for stray in ("readme.txt", ".a.png", "Thumbs.db"):
        (tmp_path / "alpha" / stray).touch()
    (sample,) = open_dataset(tmp_path).samples
    assert (sample.image.name, sample.alpha.name) == ("a b.c.JPG", "a b.c.png")


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "cutout", "16"])
def test_alphas_in_other_forms(mode: str, tmp_path: Path) -> None:
    make_dataset(tmp_path, ["a"])
    alpha = pictures()["alpha"]
    if mode == "cutout":
        saved = pictures()["image"]
        saved.putalpha(alpha)
    elif mode == "16":
        saved = Image.fromarray(np.asarray(alpha).astype(np.uint16) * 257)
    else:
        saved = alpha.convert(mode)
    saved.save(tmp_path / "alpha" / "a.png")
    np.testing.assert_array_equal(read_sample(open_dataset(tmp_path).samples[0]).alpha, np.asarray(alpha))


def test_another_folder_of_trimaps(tmp_path: Path) -> None:
    make_dataset(tmp_path, ["a"])
    (tmp_path / "trimap1").rename(tmp_path / "trimap2")
    with pytest.raises(InputError, match="`trimap` must be one of its folders trimap2; got 'trimap1'"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, "trimap2").samples[0].trimap == tmp_path / "trimap2" / "a.png"


def no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def inside_another(folder: Path) -> None:
    folder.rename(folder.with_name("kept"))
    folder.mkdir()
    folder.with_name("kept").rename(folder / "inner")


def no_alpha(folder: Path) -> None:
    (folder / "alpha" / "a.png").unlink()


def an_alpha_of_another_name(folder: Path) -> None:
    (folder / "alpha" / "a.png").rename(folder / "alpha" / "b.png")


def an_alpha_without_an_image(folder: Path) -> None:
    pictures()["alpha"].save(folder / "alpha" / "b.png")


def two_alphas_of_one_name(folder: Path) -> None:
    pictures()["alpha"].save(folder / "alpha" / "a.tif")


def no_folder_of_alphas(folder: Path) -> None:
    (folder / "alpha").rename(folder / "alphas")


def two_layouts(folder: Path) -> None:
    (folder / "merged").mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_folder, ("set: no such folder",)),
        (empty, ("set: contains nothing", "merged/, trimaps/, alpha/", "image/, trimap1/, trimap2/, alpha/")),
        (inside_another, ("contains inner/",)),
        (no_alpha, ("alpha: contains no images", ".jpg")),
        (an_alpha_of_another_name, ("image/a.png", "no counterpart in", "alpha;", "add an image named a ")),
        (an_alpha_without_an_image, ("alpha/b.png", "no counterpart in", "set/trimap1;", "add an image named b ")),
        (two_alphas_of_one_name, ("alpha/a.tif", "a.png has the same name")),
        (no_folder_of_alphas, ("no folder alpha/", "it contains alphas/, image/, trimap1/")),
        (two_layouts, ("expected the folders of one data set",)),
    ],
)
def test_what_is_missing_or_there_twice_is_named(
    damage: Callable[[Path], None], words: tuple[str, ...], tmp_path: Path
) -> None:
    damage(make_dataset(tmp_path / "set", ["a"]))
    with pytest.raises(InputError) as caught:
        open_dataset(tmp_path / "set")
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("kind", "picture", "words"),
    [
        pytest.param("alpha", pictures(height=41)["alpha"], "is 56x41, .*image/a.png is 56x40", id="another size"),
        pytest.param("alpha", pictures()["image"], "is a colour image", id="an alpha in colour"),
        pytest.param("trimap", Image.new("L", (56, 40), 255), "has no unknown pixels", id="nothing unknown"),
        pytest.param("trimap", Image.new("L", (56, 40), 1), ".*`trimap_encoding=between`", id="a value of no meaning"),
    ],
)
def test_a_file_that_does_not_fit_is_named(kind: str, picture: Image.Image, words: str, tmp_path: Path) -> None:
    (sample,) = open_dataset(make_dataset(tmp_path, ["a"])).samples
    changed = sample.alpha if kind == "alpha" else sample.trimap
    picture.save(changed)
    with pytest.raises(InputError, match=rf"{changed}: {words}"):
        read_sample(sample)
