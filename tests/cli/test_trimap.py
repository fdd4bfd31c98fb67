from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, assert_one_line, called, run


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
    assert "50x40, 0.0% of the pixels are unknown" in result.out


def test_a_band_that_covers_a_thin_subject_is_told(tmp_path: Path) -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[90:122, 20:280] = 255
    Image.fromarray(mask).save(tmp_path / "thin.png")
    wide = called("ltm-trimap", tmp_path / "thin.png", "-o", tmp_path / "t.png")
    sure = (np.asarray(Image.open(tmp_path / "t.png")) == 255).mean()
    assert 0 < sure < 0.02
    assert (
        f"are unknown, {sure:.1%} sure foreground; the unknown band covers nearly all of the subject: try a "
        in wide.out
    )
    assert "such as --unknown 2%" in wide.out
    narrow = called("ltm-trimap", tmp_path / "thin.png", "-o", tmp_path / "t.png", "--unknown", "2%")
    assert "sure foreground" in narrow.out
    assert "the unknown band covers" not in narrow.out


def test_one_mask_is_taken(tmp_path: Path) -> None:
    for options, way in (((), "give the folder or pattern to ltm-infer as --mask"), (("--key", "green"), "with --key")):
        many = called("ltm-trimap", tmp_path, "-o", tmp_path / "tt", *options)
        assert_one_line(many, 2, f"{tmp_path}: is many pictures, and one trimap is made from one", way)


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


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a mask, a photo of another size and a picture in colour."""
    folder = tmp_path_factory.mktemp("masks")
    Image.new("L", (50, 40), 255).save(folder / "mask.png")
    Image.new("RGB", (40, 50)).save(folder / "photo.png")
    Image.new("RGB", (5, 4), (1, 2, 3)).save(folder / "colours.png")
    return folder


WRONG_TRIMAPS: dict[str, tuple[str, int, str]] = {
    "a mask must be there": ("no.png -o t.png", 1, "no.png: no such file"),
    "a mask is grey": ("colours.png -o t.png", 1, "colours.png: is a colour image, expected grey"),
    "a photo is no mask": ("colours.png -o t.png", 1, "if it is a photo, --box X,Y,WIDTH,HEIGHT makes a mask from it"),
    "a band is at least 1 pixel": ("mask.png -o t.png --unknown 0", 2, "--unknown must be at least 1 pixel"),
    "a band is a number": ("mask.png -o t.png --unknown wide", 2, "such as 5%; got 'wide'"),
    "hair is in a photo": ("mask.png -o t.png --adaptive", 2, "--adaptive requires --image"),
    "a photo is for something": ("mask.png -o t.png --image photo.png", 2, "--adaptive or --preview"),
    "exposure is of a photo": ("mask.png -o t.png --exposure 1", 2, "--exposure requires --image"),
    "a preview is another file": ("mask.png -o t.png --preview t.png", 2, "two results would have this name"),
    "a photo is not overwritten": (
        "mask.png -o t.png --preview photo.png --image photo.png", 2, "would overwrite an input",
    ),
    "a mask has the size of its photo": (
        "mask.png -o t.png --preview p.png --image photo.png", 1, "mask.png: is 50x40, photo.png is 40x50",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "code", "words"), WRONG_TRIMAPS.values(), ids=WRONG_TRIMAPS)
def test_a_wrong_trimap_is_one_line_and_writes_nothing(
    masks: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: str
) -> None:
    monkeypatch.chdir(masks)
    assert_one_line(called("ltm-trimap", *line.split()), code, words)
    assert sorted(path.name for path in masks.iterdir()) == ["colours.png", "mask.png", "photo.png"]
