"""OpenEXR files as renderers, cameras and broken disks leave them."""

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from litematting_deploy.errors import InputError, OutputError
from litematting_deploy.images.exr import is_exr, read_exr_mask, read_exr_rgb, write_exr
from litematting_deploy.images.exr_header import Box, ExrHeader, Windows
from litematting_deploy.images.mask import read_mask
from litematting_deploy.images.photo import read_image
from tests.images.files import read_exr, save_exr

LIGHT = np.random.default_rng(0).uniform(-0.5, 9, (37, 50, 3)).astype(np.float32)
PLANES = dict(zip("RGB", np.moveaxis(LIGHT, -1, 0), strict=True))
GREY = np.linspace(-0.5, 1.5, 20, dtype=np.float32).reshape(4, 5)
OPAQUE, ALL_GREY = np.ones_like(GREY), dict.fromkeys("RGB", GREY)
LOSSLESS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("compression", [*LOSSLESS, "PXR24", "B44", "B44A", "DWAA", "DWAB"])
def test_every_compression(compression: str, dtype: type, tmp_path: Path) -> None:
    planes = {name: plane.astype(dtype) for name, plane in PLANES.items()}
    pixels, header = read_exr_rgb(save_exr(tmp_path / "a.exr", planes, compression=compression), 200)
    stored, _ = read_exr(tmp_path / "a.exr")
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, np.stack([stored[name] for name in "RGB"], axis=2))
    if compression in LOSSLESS:
        np.testing.assert_array_equal(pixels, LIGHT.astype(dtype))
    write_exr(tmp_path / "b.exr", pixels, header)
    np.testing.assert_array_equal(read_exr_rgb(tmp_path / "b.exr", 200)[0], pixels)


def test_tiles_opaque_alpha_and_mixed_types(tmp_path: Path) -> None:
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    mixed = {**PLANES, "G": PLANES["G"].astype(np.float16), "A": np.ones(LIGHT.shape[:2], np.float16)}
    path = save_exr(tmp_path / "tiles.exr", mixed, {"type": OpenEXR.tiledimage, "tiles": tiles})
    pixels, header = read_exr_rgb(path, 200)
    assert (header.kind, pixels.dtype) == ("tiled", np.dtype(np.float32))
    np.testing.assert_array_equal(pixels[:, :, 1], LIGHT[:, :, 1].astype(np.float16))
    write_exr(tmp_path / "lines.exr", pixels, header)
    planes, attributes = read_exr(tmp_path / "lines.exr")
    assert attributes["type"] == OpenEXR.scanlineimage
    np.testing.assert_array_equal(planes["R"], LIGHT[:, :, 0])


def test_other_channels_are_left_and_luminance_is_grey(tmp_path: Path) -> None:
    far, grey = np.full(LIGHT.shape[:2], 3, np.uint32), LIGHT[:, :, 0]
    layers = save_exr(tmp_path / "layers.exr", {**PLANES, "Z": far, "diffuse.R": grey})
    np.testing.assert_array_equal(read_exr_rgb(layers, 200)[0], LIGHT)
    luminance = save_exr(tmp_path / "y.exr", {"Y": grey, "Z": far})
    np.testing.assert_array_equal(read_exr_rgb(luminance, 200)[0], np.repeat(grey[:, :, None], 3, axis=2))


def test_subsampled_channels(tmp_path: Path) -> None:
    """Are told as what they are, not as damage."""
    path = save_exr(tmp_path / "a.exr", PLANES)
    content = path.read_bytes()
    steps = content.index(b"R\0" + struct.pack("<i", 2)) + 10  # after the name, the type and what is linear
    path.write_bytes(content[:steps] + struct.pack("<ii", 2, 2) + content[steps + 8 :])
    with pytest.raises(InputError, match=r"subsampled channels \(B, G, R\); save it as plain RGB"):
        read_exr_rgb(path, 200)


def test_every_attribute_goes_on_byte_by_byte(tmp_path: Path) -> None:
    """Whatever its type is, also where OpenEXR's own classes read less than is there."""
    attributes = {
        "timeCode": OpenEXR.TimeCode(23, 59, 58, 23, 1, 0, 0, 0, 0, 0, *range(1, 9)),
        "keyCode": OpenEXR.KeyCode(1, 2, 3, 4, 5, 6, 64),
        "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
        "look": ["a", "b"],
        "a name of more than thirty-one bytes": 1.5,
        "owner": "Zoë",
    }
    source = save_exr(tmp_path / "a.exr", PLANES, attributes, compression="PIZ")
    # A string of Latin-1, as old tools wrote them.
    source.write_bytes(source.read_bytes().replace("Zoë".encode(), b"Zo\xeb\xeb"))
    pixels, header = read_exr_rgb(source, 200)
    for result in (pixels, pixels[:, :, 0].astype(np.float16), np.dstack([pixels, pixels[:, :, 0]])):
        write_exr(tmp_path / "b.exr", result, header)
        with (tmp_path / "b.exr").open("rb") as file:
            written = ExrHeader.read(file)
        different = {name for name in header.attributes if header.attributes[name] != written.attributes.get(name)}
        assert different <= {"channels", "compression"}
        assert len(OpenEXR.InputFile(str(tmp_path / "b.exr")).channels(list(written.channels))[0]) > 0


def test_result_without_a_source_is_plain(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", LIGHT.astype(np.float16))
    planes, header = read_exr(tmp_path / "a.exr")
    np.testing.assert_array_equal(planes["B"], LIGHT[:, :, 2].astype(np.float16))
    assert [corner.tolist() for corner in header["dataWindow"]] == [[0, 0], [49, 36]]


def test_windows() -> None:
    plane = np.arange(20).reshape(4, 5)
    inside = Windows(Box(1, 2, 6, 6), Box(0, 0, 8, 10))
    assert inside.fit(plane, "t") is plane
    shown = inside.show(plane)
    assert shown.shape == (10, 8)
    np.testing.assert_array_equal(shown[2:6, 1:6], plane)
    assert shown.sum() == plane.sum()
    np.testing.assert_array_equal(inside.fit(shown, "t"), plane)
    over = Windows(Box(-1, -1, 4, 3), Box(0, 0, 3, 2))
    np.testing.assert_array_equal(over.show(plane), plane[1:3, 1:4])
    np.testing.assert_array_equal(over.fit(plane[1:3, 1:4], "t"), np.pad(plane[1:3, 1:4], 1, mode="edge"))
    aside = Windows(Box(2, 1, 7, 5), Box(0, 0, 5, 4))  # of one size: a plane without windows is what is shown
    np.testing.assert_array_equal(
        aside.fit(plane, "t"), plane[np.ix_([1, 2, 3, 3], [2, 3, 4, 4, 4])], err_msg="goes on as its edges"
    )
    np.testing.assert_array_equal(aside.show(aside.fit(plane, "t"))[1:, 2:], plane[1:, 2:])
    apart = Windows(Box(50, 50, 55, 54), Box(0, 0, 8, 10))
    assert not apart.show(plane).any()
    with pytest.raises(InputError, match=r"t: is 2x2, expected .* display window, 8x10 at 0,0, .* 5x4 at 1,2"):
        inside.fit(plane[:2, :2], "t")


def test_masks(tmp_path: Path) -> None:
    wanted = np.rint(GREY.clip(0, 1) * 255)
    windows = {"data": (1, 0, 5, 4), "display": (0, 0, 6, 4)}
    for planes in (
        {"Y": GREY},
        {"A": GREY},
        {"Y": OPAQUE, "A": GREY},
        {**ALL_GREY, "A": OPAQUE},
        {**ALL_GREY, "Z": OPAQUE},
    ):
        path = save_exr(tmp_path / "mask.exr", planes, windows=windows)
        levels, found, is_alpha = read_exr_mask(path, 200)
        np.testing.assert_array_equal(np.rint(levels.clip(0, 1) * 255), wanted)
        assert found == Windows(Box(1, 0, 6, 4), Box(0, 0, 6, 4))
        assert is_alpha == (planes.get("A") is GREY)
        np.testing.assert_array_equal(read_mask(path), np.pad(wanted, ((0, 0), (1, 0))))
    all_of_it = save_exr(tmp_path / "all.exr", {**dict.fromkeys("RGB", GREY * 0), "A": OPAQUE})
    assert (read_exr_mask(all_of_it, 200)[0] == 1).all(), "an alpha pass of black, whose object fills the picture"


@pytest.mark.parametrize(
    ("planes", "words"),
    [
        pytest.param({"Y": GREY * np.nan}, "contains NaN", id="NaN"),
        pytest.param({"Z": GREY}, "Z, expected A, Y or R, G, B", id="no known channel"),
        pytest.param({**ALL_GREY, "G": OPAQUE}, "is a colour image, expected grey", id="colours"),
    ],
)
def test_a_mask_without_a_clear_plane_is_refused(planes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = save_exr(tmp_path / "bad.exr", planes)
    with pytest.raises(InputError, match=words):
        read_exr_mask(path, 200)


INTEGERS = {name: plane.astype(np.uint32) for name, plane in PLANES.items()}
CHROMA = {"Y": PLANES["R"], "RY": PLANES["G"], "BY": PLANES["B"]}
HUGE = {"data": (0, 0, 50, 37), "display": (0, 0, 90_000, 90_000)}


@pytest.mark.parametrize(
    ("planes", "windows", "words"),
    [
        pytest.param(INTEGERS, None, "integer channels", id="integers"),
        pytest.param(PLANES, HUGE, "8100 megapixels", id="huge display window"),
        pytest.param(CHROMA, None, "channels are BY, RY, Y, expected R, G, B, or Y without RY and BY", id="chroma"),
    ],
)
def test_a_photo_whose_pixels_are_no_colours_is_refused(
    planes: dict[str, Any], windows: dict[str, tuple[int, int, int, int]] | None, words: str, tmp_path: Path
) -> None:
    path = save_exr(tmp_path / "bad.exr", planes, windows=windows)
    with pytest.raises(InputError, match=words):
        read_exr_rgb(path, 200)


def test_a_photo_of_several_parts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.exr"
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File([OpenEXR.Part({**header, "name": name}, dict(PLANES)) for name in ("left", "right")]).write(str(path))
    with pytest.raises(InputError, match="of several parts"):
        read_exr_rgb(path, 200)


def test_what_begins_otherwise_is_no_exr() -> None:
    assert not is_exr(Path(__file__))


def test_damage_is_at_most_an_input_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = save_exr(tmp_path / "a.exr", PLANES, {"artist": "me"})
    content = path.read_bytes()
    for size in range(4, len(content) - 1, len(content) // 23):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"a\.exr: damaged or truncated OpenEXR file"):
            read_exr_rgb(path, 200)
    rng = np.random.default_rng(0)
    for index in range(200):
        damaged = bytearray(content)
        for position in rng.integers(4, 500 if index % 2 else len(content), 3):
            damaged[position] = rng.integers(0, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            assert read_image(path, max_megapixels=1).ndim == 3
    written, told = capfd.readouterr()
    assert written == ""
    assert all("a.exr: (EXR_ERR_" in line for line in told.splitlines())  # the library's own, which has no switch


@pytest.mark.parametrize("place", ["no/a.exr", "folder.exr"])
def test_a_failed_write_leaves_nothing(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder.exr").mkdir()
    with pytest.raises(OutputError, match=rf"{place}: cannot be written"):
        write_exr(tmp_path / place, LIGHT)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.exr"]
