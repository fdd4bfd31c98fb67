from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import assert_one_line, run


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
