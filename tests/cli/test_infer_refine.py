"""Refined alphas, from the command to the file."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy import Matter, matte_folder
from litematting_deploy.matting.refine import refine
from litematting_deploy.runtime.shipped import TINY_ENGINE
from litematting_deploy.specs import job_of
from tests.cli.frames import BOX, save_trimap
from tests.conftest import EXAMPLE, assert_one_line, called

_ENGINE = ("--engine", TINY_ENGINE)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a photo, and one with its trimap."""
    images, trimaps = tmp_path / "images", tmp_path / "trimaps"
    images.mkdir()
    with Image.open(EXAMPLE) as picture:
        Image.fromarray(np.asarray(picture)[BOX]).save(images / "a.png")
    return images, save_trimap(trimaps / "a.png").parent


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.filterwarnings("ignore:.*has no sidecar")
def test_photos_and_folders_are_refined(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, trimaps = folders
    photo, trimap, alpha = images / "a.png", trimaps / "a.png", tmp_path / "alpha.png"
    assert called("ltm-infer", photo, trimap, "-o", alpha, *_ENGINE).code == 0
    with Matter.load(TINY_ENGINE) as matter:
        plain = matter(pixels_of(photo), pixels_of(trimap))
    wanted = np.rint(refine(pixels_of(photo), pixels_of(trimap), plain) * 255)
    found = pixels_of(alpha)
    np.testing.assert_array_equal(found, wanted)
    known = pixels_of(trimap) != 128
    assert np.array_equal(found[known], pixels_of(trimap)[known])
    assert np.abs(found[~known] - plain[~known] * 255).max() > 5
    matte_folder(images, trimaps, tmp_path / "many", engine=TINY_ENGINE)
    np.testing.assert_array_equal(pixels_of(tmp_path / "many" / "a.png"), found)
    again = called("ltm-infer", images, trimaps, "-o", tmp_path / "many", "--resume", "--no-refine", *_ENGINE)
    assert again.code == 2
    assert "was started with other settings: --refine, now --no-refine; give" in again.err


def test_what_the_authors_made_is_not_refined(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pair = folders[0] / "a.png", folders[1] / "a.png"
    failed = called("ltm-infer", *pair, "-o", tmp_path / "alpha.png", "--refine", "--published", *_ENGINE)
    assert_one_line(
        failed, 2, "--published reproduces the authors' alpha, which --refine would change; use only one of them"
    )


@pytest.mark.filterwarnings("ignore:.*has no sidecar")
def test_the_network_sees_a_smaller_photo(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, trimaps = folders
    photo, trimap, alpha = images / "a.png", trimaps / "a.png", tmp_path / "alpha.png"
    image, levels = pixels_of(photo), pixels_of(trimap)
    height, width = levels.shape
    assert height % 2 == 0
    assert width % 2 == 0, "so that Pillow's box filter is the mean of 2 x 2 pixels"
    with Matter.load(TINY_ENGINE) as matter:
        half = np.asarray(Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.BOX))
        blocks = levels.reshape(height // 2, 2, width // 2, 2)
        unknown = (blocks == 128).any(axis=(1, 3))
        small = np.where(unknown, 128, np.where(blocks.mean(axis=(1, 3)) > 127, 255, 0)).astype(np.uint8)
        prior = Image.fromarray(matter(half, small)).resize((width, height), Image.Resampling.BICUBIC)
    wanted = refine(image, levels, np.asarray(prior).clip(0, 1), scale=0.5)
    done = called("ltm-infer", photo, trimap, "-o", alpha, "--quality", "fast", *_ENGINE)
    assert done.code == 0
    assert ", quality fast" in done.out
    # The two libraries enlarge by cubics that differ a little.
    assert np.abs(pixels_of(alpha) - wanted * 255).mean() < 1
    with Matter.load(TINY_ENGINE, quality="fast") as matter:
        assert matter.placement.endswith(", quality fast")
        assert matter.plan(levels).image_hw == (height // 2, width // 2)
        np.testing.assert_array_equal(np.rint(matter(image, levels) * 255), pixels_of(alpha))


@pytest.mark.filterwarnings("ignore:.*has no sidecar")
def test_the_best_quality_is_refined_at_full_size(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, trimaps = folders
    for name, options in (("best", ("--quality", "best")), ("refined", ("--refine",))):
        given = images, trimaps, "-o", tmp_path / name, *options
        assert called("ltm-infer", *given, *_ENGINE).code == 0
    np.testing.assert_array_equal(pixels_of(tmp_path / "best" / "a.png"), pixels_of(tmp_path / "refined" / "a.png"))
    other = called("ltm-infer", images, trimaps, "-o", tmp_path / "best", "--quality", "good", "--resume", *_ENGINE)
    assert other.code == 2
    assert "was started with other settings: without --quality, now --quality good; give" in other.err


@pytest.mark.parametrize("other", ["--published", "--no-refine"])
def test_a_quality_is_always_refined(folders: tuple[Path, Path], tmp_path: Path, other: str) -> None:
    pair = folders[0] / "a.png", folders[1] / "a.png"
    failed = called("ltm-infer", *pair, "-o", tmp_path / "alpha.png", "--quality", "good", other, *_ENGINE)
    said = f"--quality refines the alpha and cannot be combined with {other}; use only one of them"
    assert_one_line(failed, 2, said)


def test_jobs_refine_by_default_but_not_what_is_published() -> None:
    def refines(options: dict[str, object], trimap: str | None = None) -> bool | None:
        return job_of("a.png", "alpha.png", options, trimap=trimap).plan.refine

    for options, trimap in (({"key": "green"}, None), ({}, "t.png"), ({"steady": True}, "t.png")):
        assert refines(dict(options), trimap) is True
        assert refines({**options, "refine": False}, trimap) is False
        assert refines({**options, "published": True}, trimap) is False
