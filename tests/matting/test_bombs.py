"""Small files that ask for much: told from their headers, with the reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import InputError
from litematting_deploy.matting.icc import Profile
from litematting_deploy.matting.image_io import is_whole
from litematting_deploy.matting.photo import read_photo
from tests.hardening import bombs
from tests.matting.files import adobe_profile, save_exr

_PLANE = np.zeros((4, 4), np.float32)


@pytest.mark.parametrize("name", sorted(bombs.OVER_THE_LIMIT))
def test_size_is_told_with_the_option(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(bombs.OVER_THE_LIMIT[name])
    with pytest.raises(InputError, match=r"megapixels, over the limit of 200; raise it with --max-megapixels"):
        read_photo(path)


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, (_, words) in bombs.REFUSED.items()])
def test_other_excess(name: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(bombs.REFUSED[name][0])
    with pytest.raises(InputError, match=words):
        read_photo(path)


def test_pictures_of_two_pages_are_told_from_the_first(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    path.write_bytes(bombs.tiff_pages(3, damaged_from=2))
    with pytest.raises(InputError, match="holds several frames"):
        read_photo(path)


def test_results_have_few_channels(tmp_path: Path) -> None:
    assert is_whole(save_exr(tmp_path / "four.exr", dict.fromkeys("RGBA", _PLANE)))
    assert not is_whole(save_exr(tmp_path / "five.exr", dict.fromkeys("RGBAZ", _PLANE)))


def test_tags_of_a_profile_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred that each claim all of it would take a hundred times its size."""
    from litematting_deploy.matting import icc

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
