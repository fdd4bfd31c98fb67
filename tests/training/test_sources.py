"""Recipes, photos, the library and Composition-1k's training layout."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.training.data import Draw, FolderSource, ProceduralSource
from litematting_deploy.training.families import draw
from litematting_deploy.training.folder import list_foregrounds, read_window
from litematting_deploy.training.library import Library, library_name
from litematting_deploy.training.photos import Photos, list_images, split
from litematting_deploy.training.recipe import Augment, Recipe, Stage, from_dict, read_recipe
from tests.conftest import ROOT

CPU = torch.device("cpu")


def test_the_default_recipe_is_the_papers() -> None:
    recipe = read_recipe(ROOT / "recipes" / "paper.toml")
    assert recipe == Recipe()
    assert recipe.optimiser.learning_rate == 5e-5
    assert recipe.optimiser.betas == (0.5, 0.999)
    assert recipe.stages == (Stage(steps=150 * 43_100 // 4, crop=1024, batch=4),)
    assert recipe.augment.trimap_px == (3, 35)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_valid_and_survives_json(path: Path) -> None:
    recipe = read_recipe(path)
    assert from_dict(recipe.to_dict(), "again") == recipe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stepz = 3", ("unknown key stepz", "known are")),
        ('precision = "fp8"', ("precision", "'fp8'", "'bf16-mixed'")),
        ("[[stages]]\ncrop = 100", ("crop", "multiple of 32")),
        ("[optimiser]\nlearning_rate = 'fast'", ("learning_rate", "'fast'", "float")),
        ("[augment]\ntrimap_px = [3, 4, 5]", ("trimap_px", "[3, 4, 5]")),
        ("seed = ", ("not TOML",)),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_recipe(path)
    assert all(word in str(error.value) for word in (str(path), *words)), error.value


def test_stages_follow_each_other() -> None:
    recipe = Recipe(stages=(Stage(3, 64, 2), Stage(2, 96, 1)))
    assert recipe.steps == 5
    assert [recipe.stage_at(step).crop for step in range(7)] == [64, 64, 64, 96, 96, 96, 96]


def write_photos(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        photo = np.random.default_rng(i).integers(0, 255, (6, 9, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.jpg"), cv2.resize(photo, (180, 120), interpolation=cv2.INTER_CUBIC))
    return folder


def test_photos_are_listed_split_and_cropped(tmp_path: Path) -> None:
    paths = list_images(write_photos(tmp_path / "photos"))
    training, held_out = split(paths, 0.25)
    assert (len(training), len(held_out)) == (3, 1)
    assert not set(training) & set(held_out)
    crops = Photos(training, CPU).crops(np.random.default_rng(0), 5, 64, (0.5, 2.5))
    assert crops.shape == (5, 3, 64, 64)
    assert 0 <= float(crops.min()) < float(crops.max()) <= 1
    with pytest.raises(InputError, match="at least two"):
        split(paths[:1], 0.25)
    with pytest.raises(InputError, match=r"holds no image"):
        list_images(tmp_path)


def test_a_library_holds_the_stream_and_moves_on(tmp_path: Path) -> None:
    library = Library(tmp_path / "lib.npy", seed=5, count=3, size=96)
    drawn: list[int] = []
    library.ensure(1, drawn.append)
    assert drawn == [1, 2, 3]
    items = library.load(CPU)
    wanted = [draw(np.random.default_rng((5, index)), 96) for index in range(4)]
    for planes, points, layer in zip(items.planes, items.points, wanted[:3], strict=True):
        assert np.array_equal(planes[0], layer.alpha)
        assert np.array_equal(planes[1], layer.shade)
        values = layer.alpha[points[:, 0].numpy(), points[:, 1].numpy()]
        assert ((values > 0) & (values < 255)).mean() > 0.5
    deadline = time.monotonic() + 60
    while not np.array_equal(items.planes[0, 0], wanted[3].alpha):
        assert time.monotonic() < deadline, "no new layer within a minute"
        library.refresh(items, 1)
        time.sleep(0.1)
    library.close()
    assert np.array_equal(np.load(library.path)[0, 0], wanted[0].alpha), "the file keeps the beginning of the stream"


def test_a_library_is_named_after_what_it_holds() -> None:
    names = {library_name(1, 2, 3, None), library_name(2, 2, 3, None), library_name(1, 2, 3, {"fur": 1.0})}
    assert len(names) == 3


def write_foregrounds(root: Path) -> Path:
    for name in ("fg", "alpha"):
        (root / name).mkdir(parents=True)
    for i in range(2):
        layer = draw(np.random.default_rng(i), 160, {"fur": 1.0})
        colours = np.dstack([layer.alpha, 255 - layer.alpha, np.full_like(layer.alpha, 40 * (i + 1))])
        cv2.imwrite(str(root / "fg" / f"{i}.png"), colours[..., ::-1])
        cv2.imwrite(str(root / "alpha" / f"{i}.png"), layer.alpha)
    return root


def test_foregrounds_and_alphas_stay_together(tmp_path: Path) -> None:
    pairs = list_foregrounds(write_foregrounds(tmp_path / "train"))
    window = read_window(*pairs[0], 96, np.random.default_rng(0))
    assert np.array_equal(window[0], window[1]), "this foreground's red is its alpha"
    assert 0 < window[0, 48, 48] < 255
    source = FolderSource(pairs, list_images(write_photos(tmp_path / "bg")), Augment(shear=0))
    reads = [source.read(Draw(i, 64), np.random.default_rng(i)) for i in range(3)]
    batch = {key: torch.from_numpy(np.stack([read[key] for read in reads])) for key in reads[0]}
    alpha, foreground, background = source.cut(batch, 64, np.random.default_rng(0))
    assert alpha.shape == (3, 1, 64, 64)
    assert background.shape == (3, 3, 64, 64)
    torch.testing.assert_close(foreground[:, :1], alpha)
    torch.testing.assert_close(foreground[:, 1:2], 1 - alpha)


def test_what_is_missing_from_a_training_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"alpha: no such folder"):
        list_foregrounds(tmp_path)
    root = write_foregrounds(tmp_path / "train")
    (root / "alpha" / "1.png").unlink()
    with pytest.raises(InputError, match=r"no file for 1\.png"):
        list_foregrounds(root)


def test_the_procedural_source_gives_what_the_compositor_takes(tmp_path: Path) -> None:
    library = Library(tmp_path / "lib.npy", seed=1, count=2, size=128)
    library.ensure(1, lambda _: None)
    source = ProceduralSource(library, list_images(write_photos(tmp_path / "photos")), Augment())
    source.prepare(CPU)
    alpha, foreground, background = source.cut({"number": torch.arange(3)}, 64, np.random.default_rng(0))
    assert (alpha.shape, foreground.shape, background.shape) == ((3, 1, 64, 64), (3, 3, 64, 64), (3, 3, 64, 64))
    for made in (alpha, foreground, background):
        assert 0 <= float(made.min()) < float(made.max()) <= 1
