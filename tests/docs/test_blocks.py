"""Blocks of code in the pages: values against the readers, Python run. `tests/test_words.py` parses the commands."""

import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.engines.tensorrt.profile import read_profile
from litematting_deploy.export.spec import read_recipe as read_export_recipe
from litematting_deploy.images.encode import write_image
from litematting_deploy.images.mask import read_trimap
from litematting_deploy.images.photo import read_image
from litematting_deploy.runtime import loading
from litematting_deploy.schema import decode
from litematting_deploy.segmentation.known import Recipe
from litematting_deploy.sidecar import read_sidecar
from litematting_deploy.training.recipe import read_recipe as read_training_recipe
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, ROOT
from tests.docs.pages import Block, all_blocks, blocks
from tests.video.clips import grey_clip, moving, save_clip, trimaps

READERS: dict[str, Any] = {
    "export": read_export_recipe,
    "engines": read_profile,
    "recipes": read_training_recipe,
    "segmenter": partial(decode, kind=Recipe, name="a description", toml=True),
}
LANGUAGES = {"sh", "python", "toml", "json", "text", ""}
SIZE, CROP = (240, 200), (560, 60, 1280, 660)


def test_there_are_no_blocks_of_other_languages() -> None:
    assert {block.language for block in all_blocks()} <= LANGUAGES


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_read_by_its_reader(block: Block, tmp_path: Path) -> None:
    path = tmp_path / Path(block.title).name
    path.write_text(block.text)
    assert READERS[Path(block.title).parts[0]](path)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_a_sidecar(block: Block, tmp_path: Path) -> None:
    (tmp_path / block.title).write_text(block.text)
    sidecar = read_sidecar(tmp_path / block.title.removesuffix(".json"))
    assert sidecar is not None
    assert sidecar.file == block.title.removesuffix(".json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's folder: the examples at a quarter of their size, and a photo of their own, alone and in folders."""
    (tmp_path / "examples").mkdir()
    mask = Image.open(ROOT / "examples" / "dandelion_mask.png")
    for name, picture in (("photo.jpg", Image.open(EXAMPLE)), ("mask.png", mask)):
        picture.crop(CROP).resize(SIZE).save(tmp_path / name, quality=95)
    Image.open(tmp_path / "mask.png").convert("L").point(lambda value: 7 * (value > 127)).save(tmp_path / "classes.png")
    for name in ("dandelion.jpg", "dandelion_mask.png"):
        picture = Image.open(ROOT / "examples" / name)
        picture.resize((picture.width // 4, picture.height // 4)).save(tmp_path / "examples" / name, quality=95)
    trimap = Image.open(EXAMPLE_TRIMAP).crop(CROP).resize(SIZE, Image.Resampling.NEAREST)
    trimap.save(tmp_path / "trimap.png")
    for name in ("ours.png", "shipped.png"):
        Image.open(tmp_path / "mask.png").convert("L").save(tmp_path / name)
    for kind, single in (("photos", "photo.jpg"), ("trimaps", "trimap.png"), ("masks", "mask.png")):
        (tmp_path / kind).mkdir()
        for name in ("one", "two"):
            (tmp_path / kind / f"{name}{Path(single).suffix}").write_bytes((tmp_path / single).read_bytes())
    for kind, single in (("merged", "photo.jpg"), ("trimaps", "trimap.png"), ("alpha", "mask.png")):
        (tmp_path / "dataset" / kind).mkdir(parents=True)
        (tmp_path / "dataset" / kind / f"one{Path(single).suffix}").write_bytes((tmp_path / single).read_bytes())
    (tmp_path / "frames").mkdir()
    for number in (1, 2):
        light = np.square(read_image(tmp_path / "photo.jpg") / np.float32(255))
        write_image(tmp_path / "frames" / f"beauty.{number:04}.exr", light.astype(np.float16))
        trimap.save(tmp_path / "trimaps" / f"tri_{number}.png")
        for kind, single in (("frames", "photo.jpg"), ("masks", "mask.png")):
            Image.open(tmp_path / single).save(tmp_path / kind / f"shot.{number:04}.png")
    save_clip(tmp_path / "clip.mp4", moving(3))
    grey_clip(tmp_path / "trimaps.mkv", trimaps(3))
    return tmp_path


@pytest.mark.parametrize("block", [block for block in blocks("python") if block.runs], ids=str)
def test_python_runs(block: Block, folder: Path, mean_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `image` and `trimap` at hand, as the README has them, and weights that take no time."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(loading, "SHIPPED_ENGINE", mean_onnx)
    names: dict[str, Any] = {"image": read_image("photo.jpg"), "trimap": read_trimap("trimap.png")}
    exec(compile(block.text, str(block), "exec"), names)
    if "alpha" in names:
        assert names["alpha"].shape == (SIZE[1], SIZE[0])
        assert 0 < np.mean(names["alpha"]) < 1


def test_python_that_is_not_run_compiles() -> None:
    for block in blocks("python"):
        compile(block.text, str(block), "exec")


def run_all(page: str, folder: Path, *first: Path) -> None:
    """Run the commands of a page, one after the other, in a shell that looks into the folders `first` for them."""
    path = ":".join(shlex.quote(str(place)) for place in (*first, Path(sys.executable).parent))
    for block in blocks("sh"):
        if block.page == page and block.runs:
            script = f"export PATH={path}:$PATH\nset -e\n{block.text}"
            done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}: {done.stderr}"


@pytest.mark.slow
def test_the_tutorial_makes_what_it_says(folder: Path) -> None:
    run_all("docs/tutorial.md", folder)
    cutout = np.asarray(Image.open(folder / "cutout.png"))
    assert cutout.shape == (337, 600, 4)
    flower, meadow = cutout[107, 175], cutout[175, 450]
    assert flower[3] == 255
    assert meadow[3] == 0
    hair = cutout[..., 3]
    assert ((hair > 20) & (hair < 235)).sum() > 1000
    assert Image.open(folder / "blue.png").convert("RGB").getpixel((450, 175)) == (0x20, 0x60, 0xC0)
    for name in ("look.png", "alpha.png", "my_alpha.png", "my_cutout.png", "my_look.png"):
        assert (folder / name).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["photo", "trimap", "folders", "film"])
def test_how_to_pages_run(page: str, folder: Path, mean_onnx: Path) -> None:
    """With a network that takes no time in the place of the shipped one."""
    infer = folder / "bin" / "ltm-infer"
    infer.parent.mkdir()
    infer.write_text(f'#!/bin/sh\nexec {Path(sys.executable).parent}/ltm-infer --engine {mean_onnx} "$@"\n')
    infer.chmod(0o755)
    run_all(f"docs/how-to/{page}.md", folder, infer.parent)
