"""Files as they come from cameras, paint programs and broken disks."""

import contextlib
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from litematting_deploy.errors import InputError, OutputError, UsageError
from litematting_deploy.images.encode import write_image
from litematting_deploy.images.mask import read_mask, read_trimap
from litematting_deploy.images.photo import read_image, read_photo
from litematting_deploy.images.results import ResultSizes, check_outputs, check_suffix
from tests.images.files import save_tiff

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
CLEAR = np.dstack([RGB, RGB[:, :, 0]])


def save(path: Path, array: object, **options: object) -> Path:
    picture = array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array))
    picture.save(path, **options)  # type: ignore[arg-type]  # options of many formats
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_formats_give_the_pixels(tmp_path: Path, suffix: str) -> None:
    np.testing.assert_array_equal(read_image(save(tmp_path / f"a{suffix}", RGB)), RGB)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_give_nearly_the_pixels(tmp_path: Path, suffix: str) -> None:
    smooth = cv2.GaussianBlur(RGB, (0, 0), 5)
    read = read_image(save(tmp_path / f"a{suffix}", smooth, quality=95))
    assert np.abs(read.astype(int) - smooth).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path, suffix: str) -> None:
    deep = RGB.astype(np.uint16) * 256 + 77
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), deep[:, :, ::-1])
    np.testing.assert_array_equal(read_image(path), RGB)
    grey = tmp_path / f"grey{suffix}"
    cv2.imwrite(str(grey), deep[:, :, 0])
    np.testing.assert_array_equal(read_mask(grey), RGB[:, :, 0])
    for strange in (grey, path):
        with pytest.raises(InputError, match="16-bit values without an 8-bit equivalent"):
            read_trimap(strange)
    np.testing.assert_array_equal(read_image(grey), np.repeat(RGB[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("inverted", [False, True], ids=["0 is black", "0 is white"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_tiff_of_either_byte_order_and_sense(
    tmp_path: Path, dtype: type, order: Literal["<", ">"], inverted: bool
) -> None:
    grey = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (20, 30), dtype, endpoint=True)
    path = save_tiff(tmp_path / "grey.tif", grey, order, inverted=inverted)
    if (dtype, order, inverted) == (np.uint16, ">", True):  # the one that Pillow does not know
        with pytest.raises(InputError, match=r"grey\.tif: a TIFF that is damaged, or of a kind that is not supported"):
            read_photo(path)
        return
    photo = read_photo(path)
    assert photo.pixels.dtype == np.dtype(dtype)
    assert photo.pixels.dtype.isnative
    np.testing.assert_array_equal(photo.pixels, np.repeat(grey[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(read_mask(path), grey >> (8 * (grey.itemsize - 1)))
    if dtype == np.uint16:
        with pytest.raises(InputError, match="16-bit values without an 8-bit equivalent"):
            read_trimap(path)


@pytest.mark.parametrize("order", "<>")
def test_planar_tiff_is_read_or_refused(tmp_path: Path, order: Literal["<", ">"]) -> None:
    np.testing.assert_array_equal(read_image(save_tiff(tmp_path / "rgb.tif", RGB, order, planar=True)), RGB)
    deep = save_tiff(tmp_path / "deep.tif", RGB.astype(np.uint16) * 256 + 77, order, planar=True)
    with pytest.raises(InputError, match=r"deep\.tif: its 16-bit colours .* without layers and separate planes"):
        read_image(deep)
    chunky = save_tiff(tmp_path / "chunky.tif", RGB.astype(np.uint16) * 256 + 77, order)
    np.testing.assert_array_equal(read_photo(chunky).pixels, RGB.astype(np.uint16) * 256 + 77)


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "RGBA"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_uncompressed_tiff_on_its_side(tmp_path: Path, orientation: int, mode: str) -> None:
    """As stored and turned by NumPy: Pillow garbles the rows of those that it maps into memory."""
    stored: np.ndarray = RGB[:, :, 0] if mode == "L" else RGB
    stored = RGB[:, :, 0].astype(np.uint16) * 257 if mode == "I;16" else stored
    picture = Image.fromarray(np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)]) if mode == "RGBA" else stored)
    assert picture.mode == mode
    path = save(tmp_path / "side.tif", picture, tiffinfo={274: orientation})
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, 3),
        7: np.rot90(stored, 2).swapaxes(0, 1),
        8: np.rot90(stored),
    }[orientation]
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, upright if upright.ndim == 3 else upright[:, :, None].repeat(3, axis=2))
    assert ResultSizes.of(path) == ResultSizes(upright.shape[:2], upright.shape[:2])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_the_size_of_results_is_the_upright_photos(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / f"side{suffix}", RGB, exif=exif)
    assert ResultSizes.of(path).shown == read_image(path).shape[:2] == (30, 20)


def test_tiff_of_other_kinds_is_told(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "float.tif", RGB.astype(np.float32))
    with pytest.raises(
        InputError, match=r"float\.tif: a TIFF .* not supported .*floating-point, .* expected 8- or 16-bit"
    ):
        read_image(path)


def test_tiff_of_twelve_bits_is_not_taken_for_a_dark_one_of_sixteen(tmp_path: Path) -> None:
    packed = np.array([0xFF, 0xFF, 0xFF, 0x80, 0x08, 0x00], np.uint8)  # white and grey, twice two pixels
    path = save_tiff(tmp_path / "deep.tif", packed[None])
    content = bytearray(path.read_bytes())
    for tag, value in ((256, 4), (258, 12)):
        place = content.index(struct.pack("<HHI", tag, 4, 1)) + 8
        content[place : place + 4] = struct.pack("<I", value)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"deep\.tif: has 12 bits per channel, .* save it with 8 or 16"):
        read_image(path)


@pytest.mark.parametrize("brightest", [1, 255])
def test_a_sixteen_bit_mask_of_eight_bit_values_is_refused(brightest: int, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mask.png"), (RGB[:, :, 0] > 99).astype(np.uint16) * np.uint16(brightest))
    words = (
        rf"mask\.png: its brightest value is {brightest} of 65535, .*`mask_threshold={brightest}` .*`mask_labels=ID`"
    )
    with pytest.raises(InputError, match=words):
        read_mask(tmp_path / "mask.png")


def test_a_dim_alpha_is_refused_without_class_ids_as_a_remedy(tmp_path: Path) -> None:
    path = save(tmp_path / "faint.png", np.dstack([RGB, RGB[:, :, 0] // 2]))
    with pytest.raises(InputError, match=r"its brightest alpha is 127 of 255, .*`mask_threshold=127` ") as caught:
        read_mask(path)
    assert str(caught.value).endswith("(foreground from this value on), or scale the alpha to the full range")


def test_sixteen_bit_trimaps_that_stand_for_eight(tmp_path: Path) -> None:
    path = tmp_path / "trimap.png"
    cv2.imwrite(str(path), np.array([[0, 128, 255]], np.uint16) * 257)
    assert read_trimap(path).tolist() == [[0, 128, 255]]
    cv2.imwrite(str(path), np.array([[0, 128, 255]], np.uint16))
    with pytest.raises(InputError, match=r"trimap\.png: has 16-bit values"):
        read_trimap(path)


def test_grey_palette_and_bilevel(tmp_path: Path) -> None:
    grey = RGB[:, :, 0]
    assert (read_image(save(tmp_path / "grey.png", grey)) == grey[:, :, None]).all()
    few = Image.fromarray(RGB).quantize(8)
    np.testing.assert_array_equal(read_image(save(tmp_path / "palette.png", few)), np.asarray(few.convert("RGB")))
    bilevel = Image.fromarray(grey > 99)
    assert set(np.unique(read_trimap(save(tmp_path / "bilevel.png", bilevel)))) == {0, 255}
    equal = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_trimap(save(tmp_path / "equal.png", equal)), grey)


def test_alpha_channels(tmp_path: Path) -> None:
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "opaque.png", opaque)), RGB)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "clear.png", CLEAR)), RGB[:, :, 0])


@pytest.mark.parametrize(
    ("read", "array", "options"),
    [
        pytest.param(read_image, CLEAR, {}, id="photo"),
        pytest.param(read_trimap, CLEAR, {}, id="trimap"),
        pytest.param(
            read_image, RGB, {"transparency": tuple(map(int, RGB[3, 4]))}, id="photo with a transparent colour"
        ),
    ],
)
def test_transparent_pixels_are_refused(read: Any, array: Any, options: dict[str, Any], tmp_path: Path) -> None:
    path = save(tmp_path / "clear.png", array, **options)
    with pytest.raises(InputError, match=r"clear\.png: has transparent pixels"):
        read(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", RGB, exif=exif)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(read_image(path), np.asarray(ImageOps.exif_transpose(picture)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_random_damage_is_at_most_an_input_error(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    source = save(tmp_path / f"whole{suffix}", RGB, **({} if suffix == ".bmp" else {"exif": exif}))
    content = source.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for position in rng.integers(0, min(len(content), 400), 3):
            damaged[position] = rng.integers(0, 256)
        source.write_bytes(damaged)
        with contextlib.suppress(InputError):
            assert read_image(source, max_megapixels=1).ndim == 3
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_truncated_files(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"cut{suffix}", np.tile(RGB, (9, 9, 1)))
    content = path.read_bytes()
    for size in (len(content) * 2 // 3, len(content) // 10, 9):
        path.write_bytes(content[:size])
        with pytest.raises(
            InputError, match=r"cut\.\w+: (damaged or truncated image|cannot be read as an image|a TIFF that is)"
        ):
            read_image(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.png", b"", r"empty\.png: .*0 bytes"),
        ("text.jpg", b"hello", r"text\.jpg: cannot be read as an image"),
        ("absent.png", None, r"absent\.png: no such file"),
        (".", None, "a folder"),
    ],
)
def test_what_is_not_an_image_is_refused(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_image(tmp_path / name)


PAGES = {"save_all": True, "append_images": [Image.new("L", (4, 4), 9)]}


@pytest.mark.parametrize(
    ("read", "picture", "options", "words"),
    [
        pytest.param(read_image, Image.new("CMYK", (4, 4)), {}, "mode is CMYK, expected 8- or 16-bit RGB", id="CMYK"),
        pytest.param(read_image, Image.new("F", (4, 4)), {}, "mode is F", id="floats"),
        pytest.param(read_trimap, RGB, {}, "is a colour image, expected grey", id="a trimap in colour"),
        pytest.param(read_image, Image.new("L", (4, 4)), PAGES, "contains several frames", id="pages"),
    ],
)
def test_what_would_be_a_guess_is_refused(
    read: Any, picture: Any, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.tif", picture, **options)
    with pytest.raises(InputError, match=words):
        read(path)


def test_pixel_limit_is_checked_and_can_be_raised_past_pillows(tmp_path: Path) -> None:
    path = save(tmp_path / "big.png", np.zeros((1000, 2000), np.uint8))
    with pytest.raises(InputError, match=r"2000x1000 is 2 megapixels, over the limit of 1.5; raise `max_megapixels`"):
        read_image(path, max_megapixels=1.5)
    assert read_image(path, max_megapixels=2).shape == (1000, 2000, 3)
    bomb = save(tmp_path / "bomb.png", Image.new("1", (1, 1)))
    content = bytearray(bomb.read_bytes())
    content[16:24] = struct.pack(">II", 30_000, 30_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    bomb.write_bytes(content)
    with pytest.raises(InputError, match=r"900 megapixels, over the limit of 200"):
        read_image(bomb)


def test_writing(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, RGB[:, :, 0]])
    for name, pixels in (("grey.png", RGB[:, :, 0]), ("rgb.tif", RGB), ("rgba.png", rgba)):
        write_image(tmp_path / name, pixels)
        with Image.open(tmp_path / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), pixels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grey.png", "rgb.tif", "rgba.png"]
    assert stat.S_IMODE((tmp_path / "grey.png").stat().st_mode) & 0o400


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=r"folder\.png: cannot be written"):
        write_image(tmp_path / "folder.png", RGB)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("./photo.png", UsageError, "would overwrite an input"),
        ("no/alpha.png", OutputError, "does not exist"),
        ("dir.png", OutputError, "is a folder"),
        ("./alpha.png", UsageError, "two results would have this name"),
        ("link.png", UsageError, "would overwrite an input"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_any_work(
    name: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    source = save(tmp_path / "photo.png", RGB)
    (tmp_path / "dir.png").mkdir()
    os.link(source, tmp_path / "link.png")
    with pytest.raises(error, match=words):
        check_outputs({"alpha": str(tmp_path / "alpha.png"), "cutout": str(tmp_path / name)}, (source, "none", "red"))
    check_outputs({"alpha": str(tmp_path / "alpha.png")}, (source,))


def test_an_output_of_another_file_type_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^alpha.jpg: results must end in \.png, \.tif, \.tiff"):
        check_suffix("alpha.jpg")
    check_suffix("alpha.PNG")
