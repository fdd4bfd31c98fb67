"""Whole files that other software writes and readers stumble over: read as others read them, or refused by their name.

The pictures in cases/ were drawn for this; each stands for its kind.
"""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from litematting_deploy.errors import InputError
from litematting_deploy.images.encode import encode_png, encode_tiff
from litematting_deploy.images.mask import read_mask
from litematting_deploy.images.photo import read_photo
from litematting_deploy.images.results import ResultSizes
from tests.hardening import bombs

CASES = Path(__file__).parent / "cases"
ORIENTED = (
    b'<r tiff:Orientation="6"/>',
    b"<r tiff:Orientation = '6'/>",
    b"<r><tiff:Orientation> 6\n</tiff:Orientation></r>",
    b'<r><t:Orientation rdf:datatype="x">8</t:Orientation></r>',
)


def _saved(path: Path, size: tuple[int, int] = (32, 24), **options: Any) -> Path:
    Image.new("RGB", size, (90, 60, 30)).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["xmp_6.png", "xmp_6.tif"])
def test_xmp_alone_does_not_turn_a_picture(name: str) -> None:
    photo = read_photo(CASES / name)
    assert photo.pixels.shape == (24, 32, 3)
    assert ResultSizes.of(CASES / name).shown == (24, 32)
    np.testing.assert_array_equal(photo.pixels, _as_stored(CASES / name))


def _as_stored(path: Path) -> Any:
    """The pixels as they lie in the file, which is not compressed or a PNG."""
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def test_xmp_does_not_turn_a_jpeg_with_exif_that_says_nothing(tmp_path: Path) -> None:
    """Pillow reads the tags of such a file when it opens it, and the orientation of XMP with them."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    path = _saved(tmp_path / "p.jpg", exif=exif, xmp=ORIENTED[0])
    photo = read_photo(path)
    assert photo.pixels.shape == (24, 32, 3)
    exif[ExifTags.Base.Orientation] = 6
    assert read_photo(_saved(path, exif=exif, xmp=b'<r tiff:Orientation="1"/>')).pixels.shape == (32, 24, 3)


@pytest.mark.parametrize("xmp", [*ORIENTED, ORIENTED[0].decode().encode("utf-16")], ids=str)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_carried_over_xmp_names_no_orientation(xmp: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"p.{suffix}"
    if suffix == "png":
        pixels = np.zeros((4, 6, 3), np.uint8)
        whole = encode_png(pixels)
        body = b"XML:com.adobe.xmp" + bytes(5) + xmp
        path.write_bytes(whole[:33] + bombs_chunk(b"iTXt", body) + whole[33:])
    elif suffix == "tif":
        from PIL.TiffImagePlugin import ImageFileDirectory_v2

        tags = ImageFileDirectory_v2()
        tags[700], tags.tagtype[700] = xmp, 1
        _saved(path, tiffinfo=tags)
    else:
        _saved(path, xmp=xmp)
    photo = read_photo(path)
    for encode in (encode_png, encode_tiff):
        assert b"Orientation" not in encode(photo.pixels, photo.metadata).replace(b"\0", b"")


def bombs_chunk(name: bytes, content: bytes) -> bytes:
    import zlib

    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_one_bad_tag_is_dropped_and_the_rest_kept() -> None:
    """An exposure bias of -2/0, which Pillow cannot write."""
    photo = read_photo(CASES / "exif_bias.jpg")
    with Image.open(io.BytesIO(encode_png(photo.pixels, photo.metadata))) as picture:
        tags = picture.getexif()
        assert (tags[271], tags[33432], tags[306]) == ("Maker", "(c) me.", "2024:01:02 03:04:05")
        assert tags.get_ifd(0x8769) == {36867: "2024:01:02 03:04:05"}


@pytest.mark.parametrize(
    ("folder", "bad"),
    [
        (0x8825, {2: (10, 3, struct.pack("<6i", -48, 1, 0, 1, 0, 1))}),  # a latitude below zero, in signed fractions
        (None, {40000: (16, 1, struct.pack("<Q", 1 << 40))}),  # a LONG8, which is BigTIFF's
        (0x8769, {37380: (10, 1, struct.pack("<ii", 1, 0))}),
    ],
    ids=["GPS", "LONG8", "infinite"],
)
def test_other_bad_tags_take_nothing_with_them(folder: int | None, bad: dict[int, Any], tmp_path: Path) -> None:
    path = tmp_path / "p.jpg"
    main = {271: (2, 6, b"Maker\0"), **(bad if folder is None else {})}
    sub = {} if folder is None else {folder: bad | {1: (2, 2, b"N\0")}}
    path.write_bytes(bombs.jpeg_exif(bombs.folders("<", main, sub)))
    photo = read_photo(path)
    for encode in (encode_png, encode_tiff):
        with Image.open(io.BytesIO(encode(photo.pixels, photo.metadata))) as picture:
            tags = picture.getexif()
            assert tags[271] == "Maker"
            assert folder is None or tags.get_ifd(folder)[1] == "N"


def test_the_full_page_of_a_tiff_with_a_reduced_one() -> None:
    photo = read_photo(CASES / "reduced_page.tif")
    assert photo.pixels.shape == (24, 32, 3)
    np.testing.assert_array_equal(photo.pixels, _as_stored(CASES / "reduced_page.tif"))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kinds", [(0, 1), (1, 0), (0, 1, 1), (1, 1, 0)], ids=str)
@pytest.mark.parametrize("old", [False, True], ids=["tag 254", "tag 255"])
def test_the_full_page_wherever_it_stands(kinds: tuple[int, ...], depth: int, old: bool, tmp_path: Path) -> None:
    path, pages = tmp_path / "p.tif", [_page(index, depth) for index in range(len(kinds))]
    path.write_bytes(_paged(pages, [(255, kind + 1) if old else (254, kind) for kind in kinds]))
    np.testing.assert_array_equal(read_photo(path).pixels, pages[kinds.index(0)])


@pytest.mark.parametrize("kinds", [(0, 0), (2, 2), (1, 1), (0, 4), (0, 1, 0)], ids=str)
def test_several_full_pages_are_refused(kinds: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    path.write_bytes(_paged([_page(index, 8) for index in range(len(kinds))], [(254, kind) for kind in kinds]))
    with pytest.raises(InputError, match="contains several frames"):
        read_photo(path)


def _page(index: int, depth: int) -> Any:
    pixels = np.random.default_rng(index).integers(0, 1 << depth, (4 + index, 6 + index, 3))
    return pixels.astype(np.uint8 if depth == 8 else np.uint16)


def _paged(pages: list[Any], kinds: list[tuple[int, int]]) -> bytes:
    """A TIFF of RGB pages, compressed so that libtiff reads them, each with one more tag."""
    import zlib

    whole = b"II*\0" + struct.pack("<I", 8)
    for number, (page, kind) in enumerate(zip(pages, kinds, strict=True)):
        packed = zlib.compress(page.tobytes())
        height, width = page.shape[:2]
        bits_at = len(whole) + 2 + 12 * 10 + 4
        tags = {256: width, 257: height, 258: bits_at, 259: 8, 262: 2, 273: bits_at + 6, 277: 3, 278: height}
        tags |= {279: len(packed), kind[0]: kind[1]}
        entries = b"".join(
            struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, value)
            for tag, value in sorted(tags.items())
        )
        end = bits_at + 6 + len(packed)
        end += end % 2
        following = 0 if number == len(pages) - 1 else end
        whole += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
        whole += struct.pack("<3H", *[8 * page.itemsize] * 3) + packed
        whole = whole.ljust(end, b"\0")
    return whole


def test_zstd_of_16_bits_is_read() -> None:
    """The sums are tifffile's."""
    pixels = read_photo(CASES / "rgb16_zstd.tif").pixels
    assert pixels.dtype == np.uint16
    assert pixels.astype(int).sum(axis=(0, 1)).tolist() == [23816832, 22998912, 10951680]


@pytest.mark.parametrize(
    ("compression", "name"),
    [(50001, "WebP"), (34887, "LERC"), (50002, "JPEG XL"), (34712, "JPEG 2000"), (7777, "7777")],
)
def test_a_compression_without_decoder_is_named(compression: int, name: str, tmp_path: Path) -> None:
    path = CASES / "rgb8_webp.tif"
    if compression != 50001:
        path = tmp_path / "p.tif"
        content = (CASES / "rgb8_webp.tif").read_bytes()
        path.write_bytes(content.replace(struct.pack("<HHIH", 259, 3, 1, 50001), _entry(compression)))
    with pytest.raises(
        InputError,
        match=f"is a TIFF with .*{name}.*, which cannot be decoded here; save it with Deflate or LZW",
    ):
        read_photo(path)


def _entry(compression: int) -> bytes:
    return struct.pack("<HHIH", 259, 3, 1, compression)


def test_a_bitmap_of_16_bits_a_pixel() -> None:
    """5, 6 and 5 bits, scaled to 0..255 by arithmetic."""
    content = (CASES / "bmp565.bmp").read_bytes()
    (start,) = struct.unpack("<I", content[10:14])
    stored = np.frombuffer(content[start : start + 24 * 32 * 2], "<u2").reshape(24, 32)[::-1]
    wanted = np.stack([(stored >> 11) * 255 / 31, (stored >> 5 & 63) * 255 / 63, (stored & 31) * 255 / 31], 2)
    photo = read_photo(CASES / "bmp565.bmp")
    assert photo.pixels.dtype == np.uint8
    np.testing.assert_allclose(photo.pixels, wanted, atol=1)


def test_a_bitmap_of_4_bits_a_channel_is_not_called_damaged(tmp_path: Path) -> None:
    content = (CASES / "bmp565.bmp").read_bytes()
    masks = struct.pack("<3I", 0xF800, 0x7E0, 0x1F)
    assert masks in content
    path = tmp_path / "p.bmp"
    path.write_bytes(content.replace(masks, struct.pack("<3I", 0xF00, 0xF0, 0xF)))
    with pytest.raises(InputError, match=r"p\.bmp: cannot be read here \(Unsupported BMP.*\); save it as PNG or TIFF"):
        read_photo(path)


def test_alpha_that_filters_leave_near_one_is_opaque(tmp_path: Path) -> None:
    path = CASES / "alpha_0.9995.exr"
    stored = OpenEXR.File(str(path), separate_channels=True).channels()
    for index, name in enumerate("RGB"):
        np.testing.assert_array_equal(read_photo(path).pixels[:, :, index], stored[name].pixels)
    grey = np.tile(np.array([0, 0, 0, 1, 1, 1], np.float32), (4, 1))
    for alpha, opaque in ((0.9981, True), (1.0019, True), (0.9975, False), (1.0025, False), (np.nan, False)):
        planes = dict.fromkeys("RGB", grey) | {"A": np.full((4, 6), alpha, np.float32)}
        OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, planes).write(
            str(tmp_path / "p.exr")
        )
        if opaque:
            assert (read_photo(tmp_path / "p.exr").pixels == grey[:, :, None]).all()
            # As a mask its grey counts, since the alpha says nothing.
            assert (read_mask(tmp_path / "p.exr").astype(bool) == grey.astype(bool)).all()
        else:
            with pytest.raises(InputError, match="has transparent pixels"):
                read_photo(tmp_path / "p.exr")


@pytest.mark.parametrize(("level", "opaque"), [(65535, True), (65535 - 128, True), (65535 - 140, False)])
def test_the_same_of_16_bits(level: int, opaque: bool, tmp_path: Path) -> None:
    pixels = np.full((4, 6, 4), level, np.uint16)
    for name, encode in (("p.png", encode_png), ("p.tif", encode_tiff)):
        (tmp_path / name).write_bytes(encode(pixels))
        if opaque:
            assert read_photo(tmp_path / name).pixels.shape == (4, 6, 3)
        else:
            with pytest.raises(InputError, match="has transparent pixels"):
                read_photo(tmp_path / name)


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ({}, None),
        ({282: 300, 283: 150, 296: 2}, (300, 150)),
        ({282: 300, 283: 150}, (300, 150)),  # inches by default
        ({282: 100, 283: 100, 296: 3}, (254, 254)),
        ({282: 1, 283: 2, 296: 1}, None),  # a shape of pixels alone
        ({282: 300}, None),
    ],
    ids=str,
)
def test_a_tiff_says_its_resolution_or_nothing(tags: dict[int, int], wanted: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    _saved(path, tiffinfo=tags)
    photo = read_photo(path)
    assert photo.metadata.dpi == (None if wanted is None else pytest.approx(wanted))
    path.write_bytes(encode_tiff(photo.pixels, photo.metadata))
    with Image.open(path) as again:
        assert isinstance(again, TiffImagePlugin.TiffImageFile)
        assert (282 in again.tag_v2) == (wanted is not None)
    with Image.open(io.BytesIO(encode_png(photo.pixels, photo.metadata))) as again:
        assert ("dpi" in again.info) == (wanted is not None)


def test_a_jpeg_says_its_resolution_or_nothing(tmp_path: Path) -> None:
    """Pillow gives 72 where EXIF says none."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    assert read_photo(_saved(tmp_path / "p.jpg", exif=exif)).metadata.dpi is None
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.ResolutionUnit] = 240, 2
    assert read_photo(_saved(tmp_path / "p.jpg", exif=exif)).metadata.dpi == (240, 240)
    assert read_photo(_saved(tmp_path / "p.jpg", dpi=(96, 96))).metadata.dpi == (96, 96)
