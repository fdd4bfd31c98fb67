"""PNG and TIFF files, read by OpenCV and Pillow."""

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.IptcImagePlugin import getiptcinfo
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from litematting_deploy.errors import UsageError
from litematting_deploy.images.encode import write_image
from litematting_deploy.images.metadata import Metadata
from litematting_deploy.images.photo import read_photo
from tests.images.files import adobe_profile, read_levels, save_levels

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (300, 701, 4), np.uint16)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><about tiff:Orientation="6" dc:rights="\xc3\xbc"/></x:xmpmeta>'
XMP_UPRIGHT = XMP.replace(b'tiff:Orientation="6"', b"")
IPTC = b"\x1c\x02\x74\x00\x02me"  # a copyright notice
EXIF = ((0x010F, "camera"), (0x8769, {0x829A: 0.004, 0x9003: "2024:01:02 03:04:05"}), (0x8825, {1: "N"}))


@pytest.mark.parametrize(
    ("name", "pixels", "words"),
    [
        ("a.png", np.ones((4, 4), np.float32), "`pixels` must be uint8 or uint16 for this format; got float32"),
        ("a.tif", np.ones((4, 4), np.int32), "`pixels` must be uint8 or uint16 for this format; got int32"),
        ("a.exr", np.ones((4, 4), np.uint8), "`pixels` must be float16 or float32 for this format; got uint8"),
        ("a.png", [[1, 2]], "`pixels` must be uint8 or uint16 for this format; got list"),
        ("a.png", np.ones((4, 4, 2), np.uint8), r"or \(H, W, 4\), H and W above 0; got \(4, 4, 2\)"),
        ("a.png", np.ones((0, 4), np.uint8), r"H and W above 0; got \(0, 4\)"),
    ],
)
def test_pixels_that_a_file_cannot_hold_are_refused(name: str, pixels: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        write_image(tmp_path / name, pixels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [0, -1, float("nan"), None, "64"])
def test_a_limit_of_size_is_a_number_above_0(limit: Any, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.ones((4, 4), np.uint8))
    with pytest.raises(UsageError, match="`max_megapixels` must be a number above 0") as caught:
        read_photo(tmp_path / "a.png", limit)
    assert caught.value.parameter == "max_megapixels"


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "metadata",
    [Metadata(), Metadata(adobe_profile(), EXIF, (300.0, 150.0), xmp=XMP_UPRIGHT, iptc=IPTC)],
    ids=["bare", "full"],
)
def test_pixels_and_metadata(tmp_path: Path, suffix: str, channels: int, dtype: type, metadata: Metadata) -> None:
    pixels: NDArray[Any] = DEEP.astype(dtype) if channels > 1 else DEEP[:, :, 0].astype(dtype)
    pixels = pixels[:, :, :channels] if channels > 1 else pixels
    path = tmp_path / f"a{suffix}"
    write_image(path, pixels, metadata)
    np.testing.assert_array_equal(read_levels(path), pixels)
    with Image.open(path) as picture:
        if dtype == np.uint8:
            np.testing.assert_array_equal(np.asarray(picture), pixels)
        else:
            picture.load()
        assert picture.info.get("icc_profile") == (metadata.icc if channels > 1 else None)
        if metadata.exif:
            tags = picture.getexif()
            assert tags[0x010F] == "camera"
            assert float(tags.get_ifd(0x8769)[0x829A]) == pytest.approx(0.004)
            assert tags.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
            assert tags.get_ifd(0x8825)[1] == "N"
            assert picture.info["dpi"] == pytest.approx((300, 150), abs=0.02)
        assert picture.info.get("xmp") == metadata.xmp
        if isinstance(picture, TiffImageFile):
            assert getiptcinfo(picture) == (metadata.iptc and {(2, 116): b"me"})


@pytest.mark.parametrize("first", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("second", [".png", ".tif"])
def test_tags_survive_from_file_to_file_and_again(tmp_path: Path, first: str, second: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 8, "camera"
    exif.get_ifd(0x8769).update({0x829A: 0.004, 0xA002: 701, 0xA003: 300})  # its width and height are of no use later
    content = exif.tobytes()
    exif.load(content)  # Pillow writes sub-folders to TIFF only where it has read them
    kept: dict[str, Any] = {"exif": exif}
    if first == ".png":
        kept["pnginfo"] = PngInfo()
        kept["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif first == ".tif":
        exif[700] = XMP
    else:
        kept["xmp"] = XMP
    Image.fromarray((DEEP[:, :, :3] >> 8).astype(np.uint8)).save(tmp_path / f"a{first}", **kept)
    photo = read_photo(tmp_path / f"a{first}")
    assert photo.pixels.shape == (701, 300, 3)
    assert photo.metadata.xmp == XMP_UPRIGHT
    write_image(tmp_path / f"b{second}", photo.pixels, photo.metadata)
    again = read_photo(tmp_path / f"b{second}")
    np.testing.assert_array_equal(again.pixels, photo.pixels)
    assert again.metadata.xmp == XMP_UPRIGHT
    assert dict(again.metadata.exif) == dict(photo.metadata.exif)
    assert set(dict(again.metadata.exif)) == {0x010F, 0x8769}
    assert set(dict(again.metadata.exif)[0x8769]) == {0x829A}


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_goes_on_to_tiff(tmp_path: Path, suffix: str) -> None:
    """From a JPEG's Photoshop resources and from a TIFF whose writer says that the bytes are integers."""
    records = b"".join(
        struct.pack(">BBBH", 0x1C, 2, kind, len(text)) + text
        for kind, text in ((25, b"one"), (25, b"two"), (116, b"me"))
    )
    pixels = np.zeros((16, 16, 3), np.uint8)
    path = tmp_path / f"a{suffix}"
    if suffix == ".jpg":
        Image.fromarray(pixels).save(path)
        resource = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(records)) + records
        resource += bytes(len(records) % 2)
        segment = b"\xff\xed" + struct.pack(">H", len(resource) + 2) + resource
        path.write_bytes(b"\xff\xd8" + segment + path.read_bytes()[2:])
    else:
        padded = records + bytes(-len(records) % 4)
        tags = ImageFileDirectory_v2()
        tags[33723] = padded
        Image.fromarray(pixels).save(path, tiffinfo=tags)
        content = path.read_bytes()
        as_bytes, as_integers = (
            struct.pack("<HHI", 33723, *kind) for kind in ((7, len(padded)), (4, len(padded) // 4))
        )
        assert content.count(as_bytes) == 1
        path.write_bytes(content.replace(as_bytes, as_integers))
    photo = read_photo(path)
    write_image(tmp_path / "b.tif", photo.pixels, photo.metadata)
    with Image.open(tmp_path / "b.tif") as picture:
        assert isinstance(picture, TiffImageFile)
        found = getiptcinfo(picture)
    assert found is not None
    assert found[2, 25] == [b"one", b"two"]
    assert found[2, 116] == b"me"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    pixels = DEEP[:30, :41, :3]
    exif = Image.Exif()
    exif[0x0112] = orientation
    write_image(tmp_path / f"a{suffix}", pixels, Metadata(exif=((0x0112, orientation),)))
    Image.fromarray((pixels >> 8).astype(np.uint8)).save(tmp_path / "shallow.png", exif=exif)
    photo = read_photo(tmp_path / f"a{suffix}")
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels >> 8, read_photo(tmp_path / "shallow.png").pixels)
    np.testing.assert_array_equal(np.sort(photo.pixels, axis=None), np.sort(pixels, axis=None))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_of_other_writers(tmp_path: Path, suffix: str) -> None:
    opaque = DEEP.copy()
    opaque[:, :, 3] = 65535
    for pixels in (DEEP[:, :, :3], DEEP[:, :, 0], opaque):
        photo = read_photo(save_levels(tmp_path / f"a{suffix}", np.ascontiguousarray(pixels)))
        wanted = pixels[:, :, None].repeat(3, axis=2) if pixels.ndim == 2 else pixels[:, :, :3]
        np.testing.assert_array_equal(photo.pixels, wanted)
        np.testing.assert_array_equal(photo.network, wanted >> 8)


def test_threads_read_and_write_the_same(tmp_path: Path) -> None:
    def there_and_back(index: int) -> bool:
        suffix, pixels = (".png", ".tif", ".exr")[index % 3], DEEP[index:, :, :3]
        wanted = (pixels / np.float32(9)).astype(np.float32) if suffix == ".exr" else pixels
        write_image(tmp_path / f"{index}{suffix}", wanted)
        return bool((read_photo(tmp_path / f"{index}{suffix}").pixels == wanted).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(there_and_back, range(24)))
