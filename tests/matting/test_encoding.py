"""PNG and TIFF files, read by OpenCV and Pillow."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy.matting.image_io import write_image
from litematting_deploy.matting.metadata import Metadata
from litematting_deploy.matting.photo import read_photo
from tests.matting.files import adobe_profile, read_levels, save_levels

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (300, 701, 4), np.uint16)
EXIF = ((0x010F, "camera"), (0x8769, {0x829A: 0.004, 0x9003: "2024:01:02 03:04:05"}), (0x8825, {1: "N"}))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "metadata", [Metadata(), Metadata(adobe_profile(), EXIF, (300.0, 150.0))], ids=["bare", "full"]
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


@pytest.mark.parametrize("first", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("second", [".png", ".tif"])
def test_tags_survive_from_file_to_file_and_again(tmp_path: Path, first: str, second: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 8, "camera"
    exif.get_ifd(0x8769)[0x829A] = 0.004
    content = exif.tobytes()
    exif.load(content)  # Pillow writes sub-folders to TIFF only where it has read them
    Image.fromarray((DEEP[:, :, :3] >> 8).astype(np.uint8)).save(tmp_path / f"a{first}", exif=exif)
    photo = read_photo(tmp_path / f"a{first}")
    assert photo.pixels.shape == (701, 300, 3)
    write_image(tmp_path / f"b{second}", photo.pixels, photo.metadata)
    again = read_photo(tmp_path / f"b{second}")
    np.testing.assert_array_equal(again.pixels, photo.pixels)
    assert dict(again.metadata.exif) == dict(photo.metadata.exif)
    assert set(dict(again.metadata.exif)) == {0x010F, 0x8769}


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
