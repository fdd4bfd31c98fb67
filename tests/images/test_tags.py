"""Tags whose types and numbers are odd: left out or one line, and the results are whole."""

from pathlib import Path

import pytest

from litematting_deploy.errors import InputError
from litematting_deploy.images.encode import encode_png, encode_tiff
from litematting_deploy.images.photo import read_photo
from tests.hardening import bombs

_DESCRIPTION, _ICC, _XMP, _IPTC, _SOFTWARE = 0x010E, 34675, 700, 33723, 0x0131
# TIFF's types, with the bytes of a value.
_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_WRAPS = {"jpg": bombs.jpeg_exif, "png": bombs.png_exif, "webp": bombs.webp_exif}


def _goes_on(path: Path) -> None:
    """Through reading, and through the files that are written."""
    photo = read_photo(path)
    for encode in (encode_png, encode_tiff):
        path.write_bytes(encode(photo.pixels, photo.metadata))
        again = read_photo(path)
        assert (again.pixels == photo.pixels).all()


@pytest.mark.parametrize("wrap", sorted(_WRAPS))
def test_types_in_exif(wrap: str, tmp_path: Path) -> None:
    path = tmp_path / f"p.{wrap}"
    for kind, size in _TYPES.items():
        for count in (1, 2):
            value = (b"\0\0\x80\x3f" * 4)[: size * count]
            path.write_bytes(_WRAPS[wrap](bombs.folders("<", {_DESCRIPTION: (kind, count, value)}, {})))
            _goes_on(path)


@pytest.mark.parametrize("tag", [_DESCRIPTION, _ICC, _XMP, _IPTC, _SOFTWARE, 0x0112, 296])
def test_types_in_tiff(tag: int, tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    for kind, size in _TYPES.items():
        if tag == _ICC and kind in (1, 7):  # bytes are a profile, and refused where it is none
            continue
        value = (b"\0\0\x80\x3f" * 4)[: size * 2]
        path.write_bytes(bombs.folders("<", bombs.grey_tags("<") | {tag: (kind, 2, value)}, {}))
        _goes_on(path)


@pytest.mark.parametrize("tag", sorted({*bombs.grey_tags("<"), 282, 320, 322, 323, 324, 325, 338, 339, 0x8769}))
def test_tags_of_the_pixels(tag: int, tmp_path: Path) -> None:
    """Of any type and of large and small numbers: read, or refused in one line with the name."""
    path = tmp_path / "p.tif"
    for kind, size in _TYPES.items():
        for value in (bytes(size), b"\1" + bytes(size - 1), b"\xff" * size, b"\0\0\x80\x3f" * 2 * size):
            count = len(value) // size
            path.write_bytes(bombs.folders("<", bombs.grey_tags("<") | {tag: (kind, count, value)}, {}))
            refusal = _refusal(path)
            assert refusal == "" or (refusal.startswith(f"{path}: ") and "\n" not in refusal)


def _refusal(path: Path) -> str:
    try:
        read_photo(path)
    except InputError as error:
        return str(error)
    return ""
