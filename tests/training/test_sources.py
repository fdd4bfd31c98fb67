"""Recipes, photos, the library and Composition-1k's training layout."""

import dataclasses
import json
import pickle
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.schema import decode
from litematting_deploy.training import drawing
from litematting_deploy.training.data import Batch, Numbers
from litematting_deploy.training.drawing import POINTS, SHARD, Stream
from litematting_deploy.training.families import draw, layer
from litematting_deploy.training.library import Library
from litematting_deploy.training.photos import Photos, list_foregrounds, list_images, read_window, split
from litematting_deploy.training.recipe import Augment, Procedural, Recipe, Stage, read_recipe, recipe_sha256
from litematting_deploy.training.sources import FolderSource, ProceduralSource, draw_libraries, procedural_sources
from tests.conftest import ROOT

CPU = torch.device("cpu")


def test_the_default_recipe_is_the_papers() -> None:
    recipe = read_recipe(ROOT / "recipes" / "paper.toml")
    assert dataclasses.replace(recipe, augment=Augment()) == Recipe()
    assert recipe.optimiser.learning_rate == 5e-5
    assert recipe.optimiser.betas == (0.5, 0.999)
    assert recipe.stages == (Stage(steps=150 * 43_100 // 4, crop=1024, batch=4),)
    assert recipe.augment.trimap_px == (3, 35)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_valid_and_survives_json(path: Path) -> None:
    recipe = read_recipe(path)
    again = decode(json.dumps(recipe.to_dict()).encode(), Recipe, name="a recipe")
    assert again == recipe
    assert recipe_sha256(again) == recipe_sha256(recipe)


def test_the_digest_of_a_recipe_stays_what_ledgers_and_totals_hold() -> None:
    """Ledgers and totals name recipes by these digests, so a new field with its default must not change them."""
    assert recipe_sha256(read_recipe(ROOT / "recipes" / "paper.toml")) == "64abedd03796"
    long = read_recipe(ROOT / "recipes" / "long-1.toml")
    assert recipe_sha256(long) == "4c2858b65ba9"
    frozen = replace(long, stages=(replace(long.stages[0], guidance_every=0), *long.stages[1:]))
    assert recipe_sha256(frozen) == "10a653b3d627", "as long-1.toml was when the long run began"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stepz = 3", ("unknown key 'stepz'", "a recipe has seed, precision")),
        ('precision = "fp8"', ("precision must be one of auto, 32-true", "'fp8'", "bf16-mixed")),
        ("[[stages]]\ncrop = 100", ("crop must be a multiple of 32, at least 64; got 100",)),
        ("[optimiser]\nlearning_rate = 'fast'", ("optimiser.learning_rate must be a number; got 'fast'",)),
        ("[augment]\ntrimap_px = [3, 4, 5]", ("augment.trimap_px must be a list of length 2; got [3, 4, 5]",)),
        ("seed = ", ("cannot be read as a recipe",)),
        ("checkpoint_every = 0", ("checkpoint_every must be 1 or more; got 0",)),
        ("held_out = 0.0", ("held_out must be between 0.001 and 0.9; got 0.0",)),
        ("[augment]\ntrimap_px = [35, 3]", ("trimap_px must have the smaller number first; got (35, 3)",)),
        ("[augment]\nhand_drawn = 1.5", ("hand_drawn must be between 0 and 1; got 1.5",)),
        ("[optimiser]\nema_decay = 5.0", ("ema_decay must be at least 0 and below 1; got 5.0",)),
        ("[procedural.weights]\nfurr = 1.0", ("weights must name families; got 'furr'", "straight_hair")),
        ("[procedural.weights]\nfur = true", ("procedural.weights[...] must be a number", "True")),
        ("[[stages]]\nsteps = 2\ncropp = 64", ("unknown key 'stages[0].cropp'", "crop, batch")),
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
    assert training
    assert held_out
    assert sorted(training + held_out) == paths
    more = [*paths, tmp_path / "another.jpg"]
    assert len(set(split(more, 0.25)[1]) ^ set(held_out)) <= 1, "files keep their side"
    crops = Photos(training, CPU).crops(np.random.default_rng(0), 5, 64, (0.5, 2.5))
    assert crops.shape == (5, 3, 64, 64)
    assert 0 <= float(crops.min()) < float(crops.max()) <= 1


def test_a_single_photo_leaves_none_to_hold_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two"):
        split([tmp_path / "0.jpg"], 0.25)


def test_a_photo_that_is_too_small_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((20, 90, 3), np.uint8))
    with pytest.raises(InputError, match=r"small\.png: is 90x20"):
        Photos([tmp_path / "small.png"], CPU)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"contains no images"):
        list_images(tmp_path)


def test_a_library_holds_the_stream_and_moves_on(tmp_path: Path) -> None:
    stream = Stream(seed=5, size=96)
    library = Library(tmp_path, stream, count=3)
    drawn: list[int] = []
    library.ensure(1, drawn.append)
    assert drawn[-1] == 3
    library.load(CPU)
    wanted = {layer(5, index, 96).alpha.tobytes() for index in range(3)}
    seen = set()
    for seed in range(20):
        planes, points = library.take(np.random.default_rng(seed), 2)
        for alpha, (y, x) in zip((planes[:, 0] * 255).round().byte().numpy(), points.int().tolist(), strict=True):
            seen.add(alpha.tobytes())
            assert 0 < alpha[y, x] < 255
    assert seen == wanted
    later = layer(5, 3, 96).alpha.tobytes()
    deadline = time.monotonic() + 60
    while later not in seen:
        assert time.monotonic() < deadline, "no new layer within a minute"
        library.refresh(1)
        planes, _ = library.take(np.random.default_rng(), 8)
        seen |= {alpha.tobytes() for alpha in (planes[:, 0] * 255).round().byte().numpy()}
        time.sleep(0.05)
    library.close()


def test_a_library_draws_only_what_is_missing(tmp_path: Path) -> None:
    library = Library(tmp_path, Stream(seed=1, size=64), count=25)
    library.ensure(1, lambda _: None)
    first, second = sorted(library.folder.glob("??????.npy"))
    before, content = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    drawn: list[int] = []
    library.ensure(1, drawn.append)
    assert drawn == [20, 25]
    assert first.stat().st_mtime_ns == before
    assert second.read_bytes() == content
    library.ensure(1, lambda _: pytest.fail("drew again"))


def test_a_library_is_named_after_what_it_holds() -> None:
    names = {Stream(1, 64).folder_name(), Stream(2, 64).folder_name(), Stream(1, 64, {"fur": 1.0}).folder_name()}
    assert len(names) == 3


@pytest.mark.parametrize("changed", ["families/hair.py", "families/new.py", "drawing.py", "grooms.py"])
def test_a_library_is_named_after_the_code_that_draws_it(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(drawing.__file__).parent
    shutil.copytree(own / "families", tmp_path / "families")
    for name in ("drawing", "grooms", "cutouts", "collages"):
        shutil.copy(own / f"{name}.py", tmp_path)
    digest = drawing.code_digest
    monkeypatch.setattr(drawing, "code_digest", lambda: digest.__wrapped__(tmp_path))
    before = Stream(1, 64).folder_name()
    monkeypatch.undo()
    assert before == Stream(1, 64).folder_name(), "where the code lies makes no difference"
    monkeypatch.setattr(drawing, "code_digest", lambda: digest.__wrapped__(tmp_path))
    with (tmp_path / changed).open("a") as file:
        file.write("# changed\n")
    assert before != Stream(1, 64).folder_name()


def test_devices_and_steps_draw_different_numbers() -> None:
    recipe = Recipe(stages=(Stage(3, 64, 4), Stage(2, 96, 2)))
    drawn = []
    for rank in range(2):
        trainer = SimpleNamespace(global_step=1, world_size=2, global_rank=rank)
        batches = list(Numbers(trainer, recipe))  # type: ignore[arg-type]
        assert [(batch.samples, batch.crop) for batch in batches] == [(4, 64), (4, 64), (2, 96), (2, 96)]
        drawn += [batch.number + i for batch in batches for i in range(batch.samples)]
    assert len(set(drawn)) == len(drawn) == 24


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
    window = read_window(*next(iter(pairs.items())), 96, np.random.default_rng(0))
    assert np.array_equal(window[0], window[1]), "this foreground's red is its alpha"
    assert 0 < window[0, 48, 48] < 255
    source = FolderSource(pairs, list_images(write_photos(tmp_path / "bg")), Augment(shear=0))
    reads = [source.read(64, np.random.default_rng(i)) for i in range(3)]
    batch = {key: torch.from_numpy(np.stack([read[key] for read in reads])) for key in reads[0]}
    alpha, foreground, background, _ = source.cut(Batch(0, 64, 3, batch), np.random.default_rng(0))
    assert alpha.shape == (3, 1, 64, 64)
    assert background.shape == (3, 3, 64, 64)
    torch.testing.assert_close(foreground[:, :1], alpha)
    torch.testing.assert_close(foreground[:, 1:2], 1 - alpha)


def test_a_training_folder_without_alphas_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"alpha: no such folder"):
        list_foregrounds(tmp_path)


def test_a_foreground_without_its_alpha_is_named(tmp_path: Path) -> None:
    root = write_foregrounds(tmp_path / "train")
    (root / "alpha" / "1.png").unlink()
    with pytest.raises(InputError, match=r"no file for 1\.png"):
        list_foregrounds(root)


def test_the_procedural_source_gives_what_the_compositor_takes(tmp_path: Path) -> None:
    recipe = Recipe(validation_scenes=2, procedural=Procedural(count=2, size=128, refresh=False))
    sources = procedural_sources(recipe, write_photos(tmp_path / "photos"), tmp_path, 0)
    draw_libraries(sources, 1, lambda *_: None)
    for source in sources:
        source.prepare(CPU)
        alpha, foreground, background, alike = source.cut(Batch(0, 64, 3, {}), np.random.default_rng(0))
        assert (alpha.shape, foreground.shape, background.shape) == ((3, 1, 64, 64), (3, 3, 64, 64), (3, 3, 64, 64))
        assert alike.shape == (3, 1, 1, 1)
        for made in (alpha, foreground, background):
            assert 0 <= float(made.min()) < float(made.max()) <= 1


def test_a_larger_folder_of_photos_is_sampled(tmp_path: Path) -> None:
    recipe = Recipe(procedural=Procedural(photos=3))
    sources = procedural_sources(recipe, write_photos(tmp_path / "photos", 6), tmp_path, 0)
    assert sum(len(source.paths) for source in sources if isinstance(source, ProceduralSource)) == 3


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"garbage", id="garbage"),
        pytest.param(lambda whole: whole[:-1], id="cut-off"),
        pytest.param(lambda _: b"\x93NUMPY", id="magic-alone"),
        pytest.param(lambda whole: whole.replace(b"(20, ", b"(99999999999999999999, "), id="huge"),
        pytest.param(lambda _: pickle.dumps(1), id="pickle"),
        pytest.param(lambda whole: whole.replace(b"(20, ", b"(19, "), id="too-few"),
    ],
)
@pytest.mark.parametrize("name", ["000000.npy", "000000.points.npy"])
def test_a_damaged_library_names_the_file_which_is_drawn_again(
    name: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    library = Library(tmp_path, Stream(seed=1, size=32), count=1)
    planes, points = np.zeros((SHARD, 2, 32, 32), np.uint8), np.zeros((SHARD, POINTS, 2), np.int16)
    library.folder.mkdir()
    np.save(library.folder / "000000.npy", planes)
    np.save(library.folder / "000000.points.npy", points)
    library.load(CPU)
    damaged = library.folder / name
    damaged.write_bytes(damage(damaged.read_bytes()))
    with pytest.raises(InputError, match=rf"{name}: .*; delete it, and it will be drawn again"):
        library.load(CPU)
    damaged.unlink()
    assert library.missing() == [0]
