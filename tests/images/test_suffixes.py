"""Pictures of kinds that are not read are named for what they are; HEIC and AVIF are read right or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from litematting_deploy.errors import InputError
from litematting_deploy.images.photo import read_image, read_photo
from tests.cli.frames import PROFILE

Y, X = np.mgrid[:24, :40]
RAMP = np.dstack([X * 6, Y * 10, 255 - X * 6]).astype(np.uint8)
ORIENTATION = 0x0112


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[ORIENTATION] = orientation
    return found


def save_avif(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    Image.fromarray(pixels).save(path, quality=100, subsampling="4:4:4", **options)
    return path


def save_heic(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    heif = pytest.importorskip("pillow_heif")
    mode = "RGB;16" if pixels.dtype == np.uint16 else "RGB"
    picture = heif.from_bytes(mode=mode, size=pixels.shape[1::-1], data=pixels.tobytes())
    picture.save(path, quality=100, chroma=444, **options)
    return path


@pytest.mark.parametrize(
    ("start", "kind", "fix"),
    [
        (b"SDPX" + bytes(60), "DPX", "oiiotool"),
        (b"\xff\x0a" + bytes(60), "JPEG XL", "djxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL", "djxl"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), "JPEG 2000", "opj_decompress"),
        (b"GIF89a" + bytes(60), "GIF", "PNG or TIFF"),
        (b"8BPS" + bytes(60), "Photoshop", "PNG or TIFF"),
    ],
)
def test_other_kinds_are_named(tmp_path: Path, start: bytes, kind: str, fix: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(start)
    with pytest.raises(InputError, match=rf"photo\.png: is a {kind} file, .*{fix}"):
        read_image(path)


def test_half_an_avif_is_damaged_and_not_of_a_kind_that_is_not_read(tmp_path: Path) -> None:
    whole = save_avif(tmp_path / "a.avif", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged"):
        read_photo(whole)


def test_avif_and_heic(tmp_path: Path) -> None:
    for path in (
        save_avif(tmp_path / "a.avif", RAMP, icc_profile=PROFILE),
        save_heic(tmp_path / "a.heic", RAMP, icc_profile=PROFILE),
    ):
        photo = read_photo(path)
        assert photo.pixels.dtype == np.uint8
        assert np.abs(photo.pixels.astype(int) - RAMP).max() <= 4
        assert photo.metadata.icc == PROFILE


def test_orientation_is_applied_once(tmp_path: Path) -> None:
    for path in (
        save_avif(tmp_path / "a.avif", RAMP, exif=exif(6)),
        save_heic(tmp_path / "a.heic", RAMP, exif=exif(6).tobytes()),
    ):
        assert np.abs(read_image(path).astype(int) - np.rot90(RAMP, -1)).max() <= 4, path


def test_ten_bits_are_told(tmp_path: Path) -> None:
    deep = save_heic(tmp_path / "deep.heic", RAMP.astype(np.uint16) * np.uint16(257), bit_depth=10)
    with pytest.warns(UserWarning, match=r"deep\.heic: has 10 bits per channel, of which only the upper 8 are read"):
        seen = read_image(deep)
    assert np.abs(seen.astype(int) - RAMP).max() <= 4


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused(transfer: int, name: str, tmp_path: Path) -> None:
    path = save_heic(tmp_path / f"{name}.heic", RAMP, color_primaries=9, transfer_characteristics=transfer)
    content = path.read_bytes()
    place = content.index(b"colrnclx") + 8
    path.write_bytes(content[:place] + bytes([0, 9, 0, transfer]) + content[place + 4 :])
    with pytest.raises(InputError, match=rf"is HEIC with CICP primaries 9 and transfer {name}"):
        read_image(path)


def test_heic_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from litematting_deploy.errors import DependencyError

    path = save_heic(tmp_path / "a.heic", RAMP)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DependencyError, match=r"a\.heic: is HEIC; .*\[heif\]"):
        read_image(path)


@pytest.mark.parametrize(("save", "name"), [(save_avif, "a.avif"), (save_heic, "a.heic")])
def test_damage_is_one_line(save: Callable[..., Path], name: str, tmp_path: Path) -> None:
    """32 bytes are missing or overwritten anywhere; libavif and libheif raise errors that Pillow's decoders do not."""
    path = save(tmp_path / name, RAMP)
    content, refusals = path.read_bytes(), []
    for start in range(0, len(content), 32):
        for filling in (b"", bytes(32), b"\xff" * 32):
            path.write_bytes(content[:start] + filling + content[start + 32 :])
            try:
                read_image(path)
            except InputError as error:
                refusals.append(str(error))
    assert len(refusals) > 5
    assert all(refusal.startswith(f"{path}: ") for refusal in refusals)
