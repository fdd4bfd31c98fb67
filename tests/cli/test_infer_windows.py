"""OpenEXR photos whose windows differ, with the masks, trimaps and settings that belong to them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import called
from tests.images.files import read_exr, read_levels, save_exr, save_levels

LIGHT = np.random.default_rng(0).uniform(0, 1.5, (80, 100, 3)).astype(np.float16)
MASK = np.zeros((80, 100), np.float16)
MASK[28:52, 38:62] = 1
OVERSCAN = {"data": (-10, -5, 100, 80), "display": (0, 0, 80, 70)}
MOVED = {"data": (20, 10, 100, 80), "display": (0, 0, 100, 80)}


def save_photo(path: Path, windows: dict[str, tuple[int, int, int, int]], light: NDArray[Any] = LIGHT) -> Path:
    return save_exr(path, dict(zip("RGB", np.moveaxis(light, -1, 0), strict=True)), windows=windows)


def alpha_of(path: Path) -> NDArray[Any]:
    return read_exr(path)[0]["A"]


@pytest.mark.parametrize("windows", [OVERSCAN, MOVED], ids=["overscan", "moved"])
def test_a_mask_with_the_photos_windows_is_its_data_window(
    windows: dict[str, tuple[int, int, int, int]], tmp_path: Path, mean_onnx: Path
) -> None:
    """And an alpha that is given back as the mask is where it was."""
    photo = save_photo(tmp_path / "photo.exr", windows)
    save_exr(tmp_path / "mask.exr", {"A": MASK}, windows=windows)
    for source, result in (("mask.exr", "a.exr"), ("a.exr", "b.exr")):
        done = called(
            *("ltm-infer", photo, "--mask", tmp_path / source, "-o", tmp_path / result),
            *("--unknown", "3", "--engine", mean_onnx),
        )
        assert done.code == 0, done.err
    assert (alpha_of(tmp_path / "a.exr")[32:48, 42:58] == 1).all()
    outside = np.ones(MASK.shape, bool)
    outside[20:60, 30:70] = False
    for name in ("a.exr", "b.exr"):
        assert (alpha_of(tmp_path / name)[outside] == 0).all()


def test_a_trimap_without_windows_is_of_what_is_shown(tmp_path: Path, mean_onnx: Path) -> None:
    """Where both windows have one size: PNG of OpenEXR shows the display window, so a trimap painted on it does."""
    photo = save_photo(tmp_path / "photo.exr", MOVED)
    trimap = np.zeros((80, 100), np.uint8)
    trimap[40:60, 50:70] = 255
    save_levels(tmp_path / "t.png", trimap)
    options = ("-o", tmp_path / "a.exr", "--allow-no-unknown", "--engine", mean_onnx)
    done = called("ltm-infer", photo, tmp_path / "t.png", *options)
    assert done.code == 0, done.err
    wanted = np.zeros((80, 100))
    wanted[30:50, 30:50] = 1
    np.testing.assert_array_equal(alpha_of(tmp_path / "a.exr"), wanted)


def test_ltm_trimap_takes_the_photo_and_mask_of_overscan(tmp_path: Path, mean_onnx: Path) -> None:
    photo = save_photo(tmp_path / "photo.exr", OVERSCAN, LIGHT * 32)
    mask = save_exr(tmp_path / "mask.exr", {"A": MASK}, windows=OVERSCAN)
    options = ("--unknown", "3", "--adaptive", "--image", photo, "--exposure", "-5")
    done = called("ltm-trimap", mask, "-o", tmp_path / "t.png", "--preview", tmp_path / "p.png", *options)
    assert (done.code, done.err) == (0, "")
    trimap = read_levels(tmp_path / "t.png")
    assert trimap.shape == read_levels(tmp_path / "p.png").shape[:2] == (70, 80)
    assert (trimap[28 - 5 + 4 : 52 - 5 - 4, 38 - 10 + 4 : 62 - 10 - 4] == 255).all()
    assert set(np.unique(trimap)) == {0, 128, 255}
    done = called("ltm-infer", photo, tmp_path / "t.png", "-o", tmp_path / "a.exr", "--engine", mean_onnx)
    assert done.code == 0, done.err
    assert (alpha_of(tmp_path / "a.exr")[32:48, 42:58] == 1).all()


def test_resuming_knows_the_sizes_of_results_with_windows(tmp_path: Path, mean_onnx: Path) -> None:
    """And a folder of two types takes a depth for those that can have it, and tells of light that is cut off."""
    for folder in ("i", "t"):
        (tmp_path / folder).mkdir()
    save_photo(tmp_path / "i" / "a.exr", OVERSCAN)
    save_levels(tmp_path / "i" / "b.png", np.full((70, 80, 3), 77, np.uint8))
    for name in "ab":
        save_levels(tmp_path / "t" / f"{name}.png", np.full((70, 80), 128, np.uint8))
    files = (
        tmp_path / "i",
        tmp_path / "t",
        "-o",
        tmp_path / "o",
        "--preview",
        tmp_path / "p",
        "--cutout",
        tmp_path / "c",
    )
    done = called("ltm-infer", *files, "--depth", "16", "--engine", mean_onnx)
    assert (done.code, done.err.splitlines()) == (0, ["1/2 a", "2/2 b"])
    assert alpha_of(tmp_path / "o" / "a.exr").shape == (80, 100)
    assert read_levels(tmp_path / "o" / "b.png").dtype == np.uint16
    assert read_levels(tmp_path / "p" / "a.png").shape == (70, 80, 3)
    again = called("ltm-infer", *files, "--depth", "16", "--engine", mean_onnx, "--resume")
    assert (again.code, again.err) == (0, "")
    assert "0 of 2 frames" in again.out
    flat = called("ltm-infer", *files, "--format", "png", "--engine", mean_onnx)
    share = ((LIGHT < 0) | (LIGHT > 1)).mean()
    told = f"ltm-infer: PNG and TIFF clip values outside 0..1: in 1 frame, up to {share:.1%} of a frame"
    assert flat.err.splitlines()[-1].startswith(told)
    none = called("ltm-infer", *files, "--format", "exr", "--depth", "16", "--engine", mean_onnx)
    assert none.code == 2
    assert "half or float" in none.err


def test_light_that_png_cuts_off_is_told_and_depth_is_for_whom_it_fits(tmp_path: Path, mean_onnx: Path) -> None:
    photo = save_photo(tmp_path / "photo.exr", {})
    trimap = save_levels(tmp_path / "t.png", np.full((80, 100), 128, np.uint8))
    common = (photo, trimap, "--engine", mean_onnx, "-o", tmp_path / "a.exr")
    done = called("ltm-infer", *common, "--cutout", tmp_path / "c.png", "--depth", "float")
    share = ((LIGHT < 0) | (LIGHT > 1)).mean()
    assert done.code == 0, done.err
    assert f"{share:.1%} of the values of {photo} are outside 0..1, which PNG and TIFF clip" in done.err
    assert alpha_of(tmp_path / "a.exr").dtype == np.float32
    assert read_levels(tmp_path / "c.png").dtype == np.uint16
    done = called("ltm-infer", *common, "--cutout", tmp_path / "c.exr")
    assert (done.code, done.err) == (0, "")
