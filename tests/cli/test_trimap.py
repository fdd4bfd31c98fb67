from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, assert_one_line, run


def test_a_cutouts_alpha_is_a_mask(tmp_path: Path) -> None:
    alpha = np.zeros((60, 80), np.uint8)
    alpha[20:40, 30:50] = 255
    Image.fromarray(np.dstack([np.full((60, 80, 3), 7, np.uint8), alpha])).save(tmp_path / "cutout.png")
    Image.fromarray(alpha).save(tmp_path / "mask.png")
    for name in ("cutout", "mask"):
        assert run("ltm-trimap", tmp_path / f"{name}.png", "-o", tmp_path / f"{name}_t.png", "--unknown", "4").code == 0
    trimaps = [np.asarray(Image.open(tmp_path / f"{name}_t.png")) for name in ("cutout", "mask")]
    np.testing.assert_array_equal(trimaps[0], trimaps[1])
    assert trimaps[0][30].tolist() == [0] * 26 + [128] * 8 + [255] * 12 + [128] * 8 + [0] * 26


def test_default_band_and_notice(tmp_path: Path) -> None:
    Image.new("L", (50, 40), 255).save(tmp_path / "white.png")
    result = run("ltm-trimap", tmp_path / "white.png", "-o", tmp_path / "t.png")
    assert_one_line(result, 0, "white.png has no edge")
    assert "50x40, 0.0% unknown" in result.out


def test_mistakes(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4), (1, 2, 3)).save(tmp_path / "colours.png")
    result = run("ltm-trimap", tmp_path / "colours.png", "-o", tmp_path / "t.png")
    assert_one_line(result, 1, "colours.png", "wanted grey")
    result = run("ltm-trimap", tmp_path / "colours.png", "-o", tmp_path / "t.png", "--unknown", "0")
    assert_one_line(result, 2, "--unknown")
    assert_one_line(run("ltm-trimap", tmp_path / "no.png", "-o", tmp_path / "t.png"), 1, "no.png", "no such file")


def test_relative_adaptive_and_preview_of_the_example(tmp_path: Path) -> None:
    box = (200, 0, 1200, 900)
    Image.open(EXAMPLE).crop(box).save(tmp_path / "photo.png")
    Image.open(EXAMPLE_TRIMAP).crop(box).point(lambda value: 255 * (value == 255)).save(tmp_path / "mask.png")
    shares = {}
    for name, options in {"fixed": (), "hairy": ("--adaptive", "--image", "photo.png")}.items():
        files = ("mask.png", "-o", f"{name}.png", "--preview", f"{name}_preview.png")
        result = run("ltm-trimap", *files, "--unknown", "2%", *options, cwd=tmp_path)
        assert (result.code, result.err) == (0, "")
        assert f"{name}.png and {name}_preview.png: 1000x900, " in result.out
        trimap = np.asarray(Image.open(tmp_path / f"{name}.png"))
        assert set(np.unique(trimap)) == {0, 128, 255}
        with Image.open(tmp_path / f"{name}_preview.png") as preview:
            assert preview.size == (1000, 900)
        shares[name] = (trimap == 128).mean()
    assert shares["hairy"] > 1.5 * shares["fixed"]


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    Image.new("L", (50, 40), 255).save(tmp_path / "mask.png")
    Image.new("RGB", (40, 50)).save(tmp_path / "photo.png")
    base = ("ltm-trimap", "mask.png", "-o", "t.png")
    for words, code, options in (
        ("as --image", 2, ("--adaptive",)),
        ("--adaptive and --preview", 2, ("--image", "photo.png")),
        ("two different files", 2, ("--preview", "t.png")),
        ("would overwrite an input", 2, ("--preview", "photo.png", "--image", "photo.png")),
        ("mask.png: is 50x40, photo.png is 40x50", 1, ("--preview", "p.png", "--image", "photo.png")),
        ("as in 50%", 2, ("--unknown", "wide")),
        ("--exposure is of the photo", 2, ("--exposure", "1")),
    ):
        assert_one_line(run(*base, *options, cwd=tmp_path), code, words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.png", "photo.png"]
