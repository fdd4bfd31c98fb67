"""Files of a folder that are no frames: all endings that are read are taken, the others counted and named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import InputError
from litematting_deploy.jobs.frames import find_sources
from litematting_deploy.runtime.shipped import TINY_ENGINE
from tests.conftest import called

FORMATS = {
    "a.PNG": "PNG",
    "b.jfif": "JPEG",
    "c.JPE": "JPEG",
    "d.Tiff": "TIFF",
    "e.dib": "BMP",
    "f.jif": "JPEG",
    "g.WebP": "WEBP",
    "h.mpo": "JPEG",
}


def make(folder: Path) -> tuple[Path, Path]:
    photos, trimaps = folder / "p", folder / "t"
    for each in (photos, trimaps):
        each.mkdir()
    trimap = np.full((24, 32), 128, np.uint8)
    trimap[:4], trimap[10:14] = 0, 255
    for name, kind in FORMATS.items():
        Image.new("RGB", (32, 24), (90, 120, 30)).save(photos / name, kind)
        Image.fromarray(trimap).save(trimaps / f"{name[0]}.TIF")
    return photos, trimaps


def test_every_ending_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    photos, trimaps = make(tmp_path)
    Image.new("L", (32, 24)).save(photos / "x.gif")
    shutil.copy(photos / "b.jfif", photos / "y.jp2x")
    (photos / "sub").mkdir()
    (photos / "sub" / "z.dpx").write_bytes(b"SDPX" + bytes(99))
    (photos / "._a.png").write_bytes(b"\0\5\x16\7")
    (photos / ".DS_Store").write_bytes(b"")
    (trimaps / "notes.txt").write_text("of the trimaps")
    shutil.copy(trimaps / "a.TIF", trimaps / "left.tif")
    result = called("ltm-infer", photos, trimaps, "-o", tmp_path / "o", "--engine", TINY_ENGINE)
    assert result.code == 0, result.err
    assert "8 of 8 frames" in result.out
    assert "4 files skipped, 1 without a photo" in result.out
    for words in (
        "x.gif (GIF; convert",
        "y.jp2x (JPEG; give it the usual ending)",
        "z.dpx (DPX; convert it: oiiotool",
        "notes.txt (no",
    ):
        assert words in result.err
    assert "1 without a photo of that name: left.tif" in result.err
    assert not {"._a", ".DS_Store"} & set(result.err.split())
    assert len(list((tmp_path / "o").glob("*.png"))) == len(FORMATS)
    sources = find_sources(photos, trimaps)
    assert {path.name for path in sources.passed_over} == {"x.gif", "y.jp2x", "z.dpx", "notes.txt"}
    assert [path.name for path in sources.unmatched] == ["left.tif"]
    assert [frame.image.name for frame in sources.frames] == list(FORMATS)


def test_a_folder_of_other_pictures_alone(tmp_path: Path) -> None:
    (tmp_path / "shot.dpx").write_bytes(b"SDPX" + bytes(99))
    with pytest.raises(InputError, match=r"contains no image .*skipped 1 file: shot\.dpx \(DPX; convert it"):
        find_sources(tmp_path, tmp_path)
