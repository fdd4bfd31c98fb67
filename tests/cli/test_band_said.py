"""The last line of a command says how wide an automatic unknown band is, and that alphas were refined."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import Run, called

HW = (240, 320)
SIDES = ((20, 20, 100), (150, 220, 50))
"""Top, left and side of two squares, whose sizes are 100 and 50 pixels."""


def mask() -> NDArray[np.uint8]:
    """Two squares, (H, W) uint8."""
    drawn = np.zeros(HW, np.uint8)
    for top, left, side in SIDES:
        drawn[top : top + side, left : left + side] = 255
    return drawn


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo of red squares before blue, its mask and trimap, and folders with two of each."""
    monkeypatch.chdir(tmp_path)
    photo = np.where(mask()[..., None] == 255, np.array([200, 40, 30]), np.array([30, 60, 160]))
    noisy = (photo + np.random.default_rng(0).integers(-9, 9, photo.shape)).astype(np.uint8)
    trimap = mask().copy()
    trimap[15:30, 15:125] = 128
    for folder, picture in (("photos", noisy), ("masks", mask()), ("trimaps", trimap)):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            Image.fromarray(picture).save(tmp_path / folder / name)
    return tmp_path


def infer(engine: Path, *words: str) -> Run:
    result = called("ltm-infer", *words, "--engine", engine, "--device", "cpu")
    assert result.code == 0, result.err
    return result


@pytest.mark.usefixtures("here")
def test_a_photo(mean_onnx: Path) -> None:
    box = infer(mean_onnx, "photos/a.png", "--box", "10,10,120,120", "-o", "o.png").out
    assert box.endswith(", refined, unknown band 4 px on each side of the edge (automatic)\n"), "4% of a side of 100"
    plain = infer(mean_onnx, "photos/a.png", "--mask", "masks/a.png", "-o", "o.png").out
    assert plain.endswith(", refined, unknown band 15 px on each side of the edge (automatic)\n")
    plain = infer(mean_onnx, "photos/a.png", "--mask", "masks/a.png", "--no-refine", "-o", "o.png").out
    assert plain.endswith(", unknown band 15 px on each side of the edge (automatic)\n")
    assert "refined" not in plain
    relative = ("photos/a.png", "--mask", "masks/a.png", "--unknown", "8%", "--adaptive", "-o", "o.png")
    said = infer(mean_onnx, *relative).out
    assert said.endswith(", refined, unknown band 4 to 8 px on each side of the edge, wider at fine edges\n")
    for known in (("trimaps/a.png",), ("--mask", "masks/a.png", "--unknown", "9")):
        assert "band" not in infer(mean_onnx, "photos/a.png", *known, "-o", "o.png").out


@pytest.mark.usefixtures("here")
def test_previews_and_trimaps() -> None:
    look = called("ltm-infer", "photos/a.png", "--box", "10,10,120,120", "--preview", "look.png")
    assert "photos/a.png: unknown band 4 px on each side of the edge (automatic), " in look.err
    many = called("ltm-infer", "photos", "--mask", "masks", "--unknown", "8%", "--preview", "looks")
    assert many.out.endswith(" 0 failed, unknown band 4 to 8 px on each side of the edge\n")
    made = called("ltm-trimap", "masks/a.png", "-o", "t.png")
    assert "t.png: 320x240, unknown band 15 px on each side of the edge (automatic), " in made.out
    assert "band" not in called("ltm-trimap", "masks/a.png", "-o", "t.png", "--unknown", "3").out


@pytest.mark.usefixtures("here")
def test_a_folder(mean_onnx: Path) -> None:
    said = infer(mean_onnx, "photos", "--mask", "masks", "-o", "out").out
    assert said.endswith(", unknown band 15 px on each side of the edge (automatic)\n")
    assert "band" not in infer(mean_onnx, "photos", "--mask", "masks", "-o", "out", "--resume").out, "nothing was read"
    assert "band" not in infer(mean_onnx, "photos", "trimaps", "-o", "other").out
