"""Small files that ask for much: told from their headers, with the reason."""

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import InputError
from litematting_deploy.images.icc import Profile
from litematting_deploy.images.photo import read_photo
from litematting_deploy.images.results import ResultSizes, is_result
from tests.hardening import bombs
from tests.images.files import adobe_profile, save_exr

_PLANE = np.zeros((4, 4), np.float32)


@pytest.mark.parametrize("name", sorted(bombs.OVER_THE_LIMIT))
def test_a_picture_over_the_limit_names_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(bombs.OVER_THE_LIMIT[name])
    with pytest.raises(InputError, match=r"megapixels, over the limit of 200; raise `max_megapixels`"):
        read_photo(path)


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, (_, words) in bombs.REFUSED.items()])
def test_other_excess(name: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(bombs.REFUSED[name][0])
    with pytest.raises(InputError, match=words):
        read_photo(path)


_PEAK = """
import resource, sys
from litematting_deploy.errors import InputError
from litematting_deploy.images.photo import read_photo
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_photo(sys.argv[1])
except InputError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_tile_that_pillow_does_not_see_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "tile.tif"
    path.write_bytes(bombs.tiff_unseen_tile(bombs.SIDE))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PEAK, path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 50_000, "kilobytes, where the tile would take ten million"


def test_pictures_of_two_pages_are_told_from_the_first(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    path.write_bytes(bombs.tiff_pages(3, damaged_from=2))
    with pytest.raises(InputError, match="contains several frames"):
        read_photo(path)


def test_results_have_few_channels(tmp_path: Path) -> None:
    sizes = ResultSizes.of(save_exr(tmp_path / "photo.exr", dict.fromkeys("RGB", _PLANE)))
    assert is_result(save_exr(tmp_path / "four.exr", dict.fromkeys("RGBA", _PLANE)), sizes, in_colour=True)
    assert not is_result(save_exr(tmp_path / "five.exr", dict.fromkeys("RGBAZ", _PLANE)), sizes, in_colour=True)


def test_tags_of_a_profile_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred that each claim all of it would take a hundred times its size."""
    from litematting_deploy.images import icc

    taken: list[Any] = []
    real = icc._tags

    def keep(content: bytes) -> Any:
        taken.append(real(content))
        return taken[-1]

    monkeypatch.setattr(icc, "_tags", keep)
    Profile(adobe_profile(), "photo.png")
    assert taken
    assert all(value.obj is taken[0][b"rTRC"].obj for value in taken[0].values())


def test_a_progressive_jpeg_as_encoders_write_it(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "p.jpg", progressive=True)
    assert read_photo(tmp_path / "p.jpg").network.shape == (16, 16, 3)


def test_zeros_behind_a_progressive_jpeg_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "p.jpg"
    Image.new("RGB", (16, 16)).save(path, progressive=True)
    with path.open("r+b") as file:
        file.truncate(4 << 30)  # sparse
    tracemalloc.start()
    assert read_photo(path).network.shape == (16, 16, 3)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 << 20


def test_what_looks_like_scans_behind_the_picture_is_not_counted(tmp_path: Path) -> None:
    """Phones keep a video there."""
    path = tmp_path / "p.jpg"
    Image.new("RGB", (16, 16)).save(path)
    with path.open("ab") as file:
        file.write(b"\xff\xda" * 1000)
    assert read_photo(path).network.shape == (16, 16, 3)


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 40])
def test_scans_are_counted_across_blocks(shift: int, tmp_path: Path) -> None:
    """Of a file whose parts lie on both sides of where it is read in two."""
    content, path = bombs.jpeg_scans(95), tmp_path / "p.jpg"
    comments = b"\xff\xfe\xff\xff" + bytes(65533)
    before = b"\xff\xfe" + (shift + 2).to_bytes(2, "big") + bytes(shift)
    path.write_bytes(content[:2] + before + comments * 16 + content[2:])
    with pytest.raises(InputError, match="more than 100 scans"):
        read_photo(path)


@pytest.mark.parametrize("options", [{}, {"big_tiff": True}])
def test_honest_folders_of_tiff(options: dict[str, Any], tmp_path: Path) -> None:
    """Of many strips, with EXIF, little besides."""
    exif = Image.Exif()
    exif[0x010E], exif[0x8769] = "x" * 60_000, {0x9003: "2024:01:01 00:00:00"}
    levels = np.arange(600 * 3, dtype=np.uint8).reshape(600, 1, 3)
    Image.fromarray(levels).save(tmp_path / "p.tif", exif=exif.tobytes(), strip_size=1, **options)
    photo = read_photo(tmp_path / "p.tif")
    assert (photo.pixels == levels).all()
    assert dict(photo.metadata.exif)[0x010E] == "x" * 60_000
    assert dict(photo.metadata.exif)[0x8769] == {0x9003: "2024:01:01 00:00:00"}


def test_big_endian_bigtiff_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    path.write_bytes(b"MM\0+\0\x08\0\0" + bytes(100))
    with pytest.raises(InputError, match="is a big-endian BigTIFF"):
        read_photo(path)
