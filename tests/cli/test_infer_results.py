"""Results of ltm-infer that need the foreground's colours, where these fail, and what they say of their colours."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy.runtime.shipped import TINY_ENGINE
from tests.cli.frames import BOX, COMMAND, save_trimap
from tests.conftest import EXAMPLE, called, run
from tests.images.files import read_exr
from tests.images.png_bytes import chunks_of, png

_ENGINE = ("--engine", TINY_ENGINE)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    with Image.open(EXAMPLE) as picture:
        Image.fromarray(np.asarray(picture)[BOX]).save(tmp_path / "photo.png")
    return tmp_path / "photo.png", save_trimap(tmp_path / "trimap.png")


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours cannot be estimated."""

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("litematting_deploy.runtime.matter.unmix", fail)


@pytest.mark.usefixtures("no_memory")
def test_alpha_is_written_where_colours_fail(pair: tuple[Path, Path], tmp_path: Path) -> None:
    alone, alpha, cutout = (tmp_path / name for name in ("alone.png", "a.png", "c.png"))
    assert run("ltm-infer", *pair, "-o", alone, *_ENGINE).code == 0
    failed = called("ltm-infer", *pair, "-o", alpha, "--cutout", cutout, *_ENGINE)
    assert failed.code == 1
    lines = [line for line in failed.err.splitlines() if "no sidecar" not in line]
    assert len(lines) == 1
    assert "photo.png: its foreground colours cannot be estimated" in lines[0]
    assert lines[0].endswith("a.png was written, " + str(cutout) + " was not")
    assert alpha.read_bytes() == alone.read_bytes()
    assert not cutout.exists()


@pytest.mark.usefixtures("no_memory")
def test_folders_go_on_where_colours_fail(pair: tuple[Path, Path], tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("images", "trimaps", "out", "cutouts")]
    for folder, source in zip(folders, pair, strict=False):
        folder.mkdir()
        for name in ("a.png", "b.png"):
            shutil.copy(source, folder / name)
    images, trimaps, out, cutouts = folders
    failed = called("ltm-infer", images, trimaps, "-o", out, "--cutout", cutouts, *_ENGINE)
    assert failed.code == 1
    assert failed.err.count("its foreground colours cannot be estimated") == 2
    assert "Traceback" not in failed.err
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "b.png"]
    assert "0 of 2 frames" in failed.out


@pytest.mark.parametrize("hw", [(1, 1), (1, 9), (9, 1), (2, 2), (1, 2), (2, 1), (3, 1)])
@pytest.mark.parametrize("known", ["all", "none", "background"])
def test_narrow_photos_have_a_cutout(hw: tuple[int, int], known: str, tmp_path: Path) -> None:
    colour = (130, 163, 217)
    photo, trimap, alpha, cutout = (tmp_path / name for name in ("p.png", "t.png", "a.png", "c.png"))
    Image.new("RGB", hw[::-1], colour).save(photo)
    Image.new("L", hw[::-1], {"all": 255, "none": 128, "background": 0}[known]).save(trimap)
    options = () if known == "none" else ("--allow-no-unknown",)
    assert called("ltm-infer", photo, trimap, "-o", alpha, "--cutout", cutout, *options, *_ENGINE).code == 0
    found = pixels_of(cutout)
    assert found.shape == (*hw, 4)
    assert np.array_equal(found[:, :, 3], pixels_of(alpha))
    if known == "all" or hw == (1, 1):
        assert (found[:, :, :3] == colour).all()


def test_colours_need_no_compiler_and_no_folder_of_their_own(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """What used to compile itself could not in a container with a read-only installation and no home."""
    alpha, cutout = tmp_path / "a.png", tmp_path / "c.png"
    command = ("ltm-infer", *pair, "-o", alpha, "--cutout", cutout, *_ENGINE)
    assert run(*command, block="pymatting,numba,llvmlite,scipy").code == 0
    assert np.array_equal(pixels_of(cutout)[:, :, 3], pixels_of(alpha))


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_descriptors(closed: str, pair: tuple[Path, Path], tmp_path: Path) -> None:
    command = [COMMAND, *pair, "-o", tmp_path / "a.png", *_ENGINE]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *map(str, command)], check=False)
    assert done.returncode == 0
    assert pixels_of(tmp_path / "a.png").shape == pixels_of(pair[1]).shape


def test_hdr_chunks_go_to_results_in_colour(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """PQ in Rec. 2020: PNG keeps numbers and chunks, OpenEXR has the light, TIFF says what it lacks."""
    codes, mastering = (b"cICP", bytes([9, 16, 0, 1])), (b"mDCV", bytes(range(24)))
    levels = pixels_of(pair[0]).astype(np.uint16) * 200
    photo, trimap = tmp_path / "hdr.png", pair[1]
    photo.write_bytes(png(levels, 16, 2, codes, mastering))
    opaque = pixels_of(trimap) == 255
    for suffix, lost in ((".png", ""), (".tif", "cICP, mDCV"), (".exr", "mDCV")):
        results = [tmp_path / f"{name}{suffix}" for name in ("alpha", "cutout", "composite")]
        for cutout, options in ((results[1], ()), (results[2], ("--background", "#808080"))):
            done = run("ltm-infer", photo, trimap, "-o", results[0], "--cutout", cutout, *options, *_ENGINE)
            assert done.code == 0, done.err
            said = f"OpenEXR cannot store the colour description of {photo} ({lost}); write .png to keep it"
            assert (said in done.err) == bool(lost)
    for name in ("cutout", "composite"):
        kept = chunks_of((tmp_path / f"{name}.png").read_bytes())
        assert {codes, mastering} <= set(kept.items())
    assert not {b"cICP", b"mDCV"} & chunks_of((tmp_path / "alpha.png").read_bytes()).keys()
    planes, _ = read_exr(tmp_path / "composite.exr")
    signal = levels[opaque] / 65535
    root = signal ** (1 / 78.84375)
    nits = 10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    to_709 = np.array(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]
    )
    wanted = nits / 203 @ to_709.T  # ITU-R BT.2087
    for index, channel in enumerate("RGB"):
        assert np.allclose(planes[channel][opaque], wanted[:, index], rtol=2e-3, atol=1e-4)
    grey = pixels_of(tmp_path / "alpha.png") == 0
    if grey.any():  # sRGB's middle grey lies at 203 cd/m2 times its light
        light = ((0x80 / 255 + 0.055) / 1.055) ** 2.4
        assert np.allclose(planes["G"][grey], light, atol=2e-3)


def test_a_gamma_that_is_zero_is_refused_in_one_line(pair: tuple[Path, Path], tmp_path: Path) -> None:
    photo = tmp_path / "g.png"
    photo.write_bytes(png(pixels_of(pair[0]), 8, 2, (b"gAMA", struct.pack(">I", 0))))
    done = run("ltm-infer", photo, pair[1], "-o", tmp_path / "a.png", *_ENGINE)
    assert done.code == 1
    assert "g.png: its gAMA chunk says 0, expected 10000 to 1000000" in done.err
