"""ltm-infer on deep, scene-linear and tagged photos: files read back by other readers, light computed by NumPy."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.cli.frames import BOX, save_trimap
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, assert_one_line, called, run
from tests.images.files import adobe_profile, read_exr, read_levels, save_exr, save_levels
from tests.images.light import decoded, encoded
from tests.matting.unmixed import unmixed


@pytest.fixture(scope="module")
def light() -> NDArray[np.float64]:
    """A crop of the example around the stem as light, with noise that 8 bits cannot hold."""
    with Image.open(EXAMPLE) as picture:
        crop = decoded(np.asarray(picture)[BOX])
    return np.asarray((crop * np.random.default_rng(0).uniform(0.97, 1.03, crop.shape)).clip(0, 1))


@pytest.fixture
def trimap(tmp_path: Path) -> Path:
    return save_trimap(tmp_path / "trimap.png")


def infer(photo: Path, trimap: Path, engine: Path, *options: str | Path) -> None:
    result = run("ltm-infer", photo, trimap, "--no-refine", "--engine", engine, *options)
    assert result.code == 0, result.err
    assert result.err == ""


def foreground(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float64]:
    """Colours estimated on light, in float64; opaque pixels are the photo's."""
    light = decoded(pixels)
    return np.where(alpha[:, :, None] >= 1, light, unmixed(light, alpha, max(1.0, light.max())))


def rgb(path: Path) -> NDArray[Any]:
    planes, _ = read_exr(path)
    return np.stack([planes[name] for name in "RGB"], axis=2)


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [
        (np.uint8, ".png"),
        (np.uint16, ".tif"),
        pytest.param(np.uint8, ".tif", marks=pytest.mark.heavy),
        pytest.param(np.uint16, ".png", marks=pytest.mark.heavy),
    ],
)
def test_levels_keep_their_depth_and_are_mixed_as_light(
    dtype: type, suffix: str, light: NDArray[np.float64], trimap: Path, tmp_path: Path, mean_onnx: Path
) -> None:
    pixels = encoded(light, dtype)
    photo = save_levels(tmp_path / f"photo{suffix}", pixels)
    behind = save_levels(tmp_path / f"behind{suffix}", np.ascontiguousarray(pixels[::-1, ::-1]))
    names = ("alpha", "cutout", "foreground", "alpha2", "over")
    files = {name: tmp_path / f"{name}{suffix}" for name in names}
    options = ("--cutout", files["cutout"], "--foreground", files["foreground"])
    infer(photo, trimap, mean_onnx, "-o", files["alpha"], *options)
    infer(photo, trimap, mean_onnx, "-o", files["alpha2"], "--cutout", files["over"], "--background", behind)
    alpha, cutout, colours, alpha2, over = (read_levels(files[name]) for name in names)
    assert {array.dtype for array in (alpha, cutout, colours, over)} == {np.dtype(dtype)}
    np.testing.assert_array_equal(cutout, np.dstack([colours, alpha]))
    opaque, clear = (read_levels(trimap) == value for value in (255, 0))
    unknown, top = ~(opaque | clear), np.iinfo(dtype).max
    assert (alpha[opaque] == top).all()
    assert (alpha[clear] == 0).all()
    seen = pixels >> 8 if dtype == np.uint16 else pixels
    assert np.abs(alpha[unknown].astype(int) - seen[unknown].mean(axis=1) / 255 * top).max() <= 0.51
    np.testing.assert_array_equal(cutout[opaque][:, :3], pixels[opaque])
    np.testing.assert_array_equal(over[opaque], pixels[opaque])
    np.testing.assert_array_equal(over[clear], pixels[::-1, ::-1][clear])
    wanted = foreground(pixels, alpha / top)
    difference = np.abs(colours.astype(int) - encoded(wanted, dtype)) * (alpha / top)[:, :, None]
    assert difference.max() <= 0.01 * top  # the alpha that was read back is rounded
    assert difference.mean() <= (0.1 if dtype == np.uint8 else 2)
    share = (alpha2 / top)[:, :, None]
    mixed = decoded(colours) * share + decoded(pixels[::-1, ::-1]) * (1 - share)
    difference = np.abs(over.astype(int) - encoded(mixed, dtype))
    assert difference.max() <= 0.01 * top
    assert difference.mean() <= (0.1 if dtype == np.uint8 else 2)


@pytest.mark.parametrize("dtype", [np.float16, pytest.param(np.float32, marks=pytest.mark.heavy)])
def test_exr_is_premultiplied_light_with_the_windows_and_attributes_of_the_photo(
    dtype: type, light: NDArray[np.float64], trimap: Path, tmp_path: Path, mean_onnx: Path
) -> None:
    pixels: NDArray[Any] = (light * 40).astype(dtype)  # over white
    height, width = pixels.shape[:2]
    attributes = {
        "framesPerSecond": Fraction(24000, 1001),
        "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, 1, 0, 0, 0, 0, 0, *range(1, 9)),
        "chromaticities": (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329),
        "pixelAspectRatio": 2.0,
        "camera": "Löwe",
    }
    planes = dict(zip("RGB", np.moveaxis(pixels, -1, 0), strict=True))
    windows = {"data": (7, -5, width, height), "display": (0, 0, 200, 100)}
    photo = save_exr(tmp_path / "photo.exr", planes, attributes, windows)
    files = {name: tmp_path / f"{name}.exr" for name in ("alpha", "cutout", "alpha2", "over")}
    common = ("--exposure", "-5")
    infer(photo, trimap, mean_onnx, "-o", files["alpha"], "--cutout", files["cutout"], *common)
    over_grey = ("--cutout", files["over"], "--background", "#808080")
    infer(photo, trimap, mean_onnx, "-o", files["alpha2"], *over_grey, *common)
    before = read_exr(photo)[1]
    for name, channels in (("alpha", "A"), ("cutout", "ABGR"), ("alpha2", "A"), ("over", "BGR")):
        planes, header = read_exr(files[name])
        assert "".join(sorted(planes)) == channels
        assert {plane.dtype for plane in planes.values()} == {np.dtype(dtype)}
        for attribute in ("dataWindow", "displayWindow", *attributes):
            assert str(header[attribute]) == str(before[attribute]), attribute
    alpha, alpha2 = (read_exr(files[name])[0]["A"] for name in ("alpha", "alpha2"))
    colours, mixed = rgb(files["cutout"]), rgb(files["over"])
    np.testing.assert_array_equal(read_exr(files["cutout"])[0]["A"], alpha)
    opaque = read_levels(trimap) == 255
    np.testing.assert_array_equal(colours[opaque], pixels[opaque])
    np.testing.assert_array_equal(mixed[opaque], pixels[opaque])
    assert colours.max() > 2
    share = alpha.astype(np.float64)[:, :, None]
    np.testing.assert_allclose(colours, foreground(pixels, share[:, :, 0]) * share, atol=0.01 * pixels.max())
    behind = decoded(np.array([128], np.uint8)) * (1 - alpha2.astype(np.float64))[:, :, None]
    np.testing.assert_allclose(mixed, colours + behind, atol=0.002 * pixels.max())
    assert np.abs(mixed - colours - behind).mean() < 1e-3


def test_the_network_sees_exr_exposed_clipped_and_encoded(
    light: NDArray[np.float64], trimap: Path, tmp_path: Path, mean_onnx: Path
) -> None:
    """The alpha of an EXR is that of the 8-bit PNG that was exposed, clipped and encoded by NumPy."""
    pixels = (light * 9).astype(np.float32)
    pixels[2, 3], pixels[4, 5], pixels[6, 7] = np.inf, -np.inf, np.nan
    photo = save_exr(tmp_path / "photo.exr", dict(zip("RGB", np.moveaxis(pixels, -1, 0), strict=True)))
    exposed = pixels.astype(np.float64) * 2.0**-3
    seen = save_levels(tmp_path / "seen.png", encoded(np.where(np.isposinf(exposed), 1, exposed), np.uint8))
    infer(photo, trimap, mean_onnx, *("-o", tmp_path / "exr.png", "--exposure", "-3", "--depth", "8"))
    infer(seen, trimap, mean_onnx, *("-o", tmp_path / "png.png"))
    difference = np.abs(read_levels(tmp_path / "exr.png").astype(int) - read_levels(tmp_path / "png.png"))
    assert difference.max() <= 1  # the engine's last bits differ from run to run
    assert difference.mean() < 0.01
    infer(photo, trimap, mean_onnx, *("-o", tmp_path / "deep.png", "--exposure", "-3"))
    deep = read_levels(tmp_path / "deep.png")
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - read_levels(tmp_path / "png.png")).max() <= 1.51
    result = run(
        "ltm-infer", photo, trimap, "-o", tmp_path / "a.exr", "--cutout", tmp_path / "c.exr", "--engine", mean_onnx
    )
    assert_one_line(result, 1, "photo.exr", "3 pixels are NaN or infinite", "clamp")
    assert not (tmp_path / "a.exr").exists()


def test_depth_and_premultiplication_by_name(
    light: NDArray[np.float64], trimap: Path, tmp_path: Path, mean_onnx: Path
) -> None:
    pixels = encoded(light, np.uint8)
    photo = save_levels(tmp_path / "photo.png", pixels)
    infer(photo, trimap, mean_onnx, *("-o", tmp_path / "a.png", "--cutout", tmp_path / "straight.tif", "--depth", "16"))
    infer(
        photo,
        trimap,
        mean_onnx,
        *("-o", tmp_path / "a.tif", "--cutout", tmp_path / "p.tif", "--depth", "16", "--premultiplied"),
    )
    infer(photo, trimap, mean_onnx, *("-o", tmp_path / "a.exr", "--cutout", tmp_path / "straight.exr", "--straight"))
    straight, premultiplied = read_levels(tmp_path / "straight.tif"), read_levels(tmp_path / "p.tif")
    opaque = read_levels(trimap) == 255
    np.testing.assert_array_equal(straight[opaque][:, :3], pixels[opaque] * np.uint16(257))
    difference = np.abs(premultiplied[:, :, :3] - straight[:, :, :3] * (premultiplied[:, :, 3:] / 65535))
    assert difference.max() <= 0.01 * 65535
    assert difference.mean() <= 2
    assert (read_levels(tmp_path / "a.png") % 257).any(), "more than 8 bits of alpha"
    planes, _ = read_exr(tmp_path / "straight.exr")
    assert all(plane.dtype == np.float16 for plane in planes.values())
    difference = np.abs(encoded(rgb(tmp_path / "straight.exr"), np.uint16).astype(int) - straight[:, :, :3])
    assert difference[opaque].max() <= 65535 * 2**-11
    assert difference.mean() <= 65535 * 2**-11
    for name, wanted in (("straight.tif", 2), ("p.tif", 1)):
        with Image.open(tmp_path / name) as picture:
            assert picture.tag_v2[338] == (wanted,)  # type: ignore[attr-defined]


def test_profile_exif_and_resolution_go_on(
    light: NDArray[np.float64], trimap: Path, tmp_path: Path, mean_onnx: Path
) -> None:
    """A sideways Adobe RGB JPEG: the network sees upright sRGB, results have the profile, the tags and the numbers."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    exif.get_ifd(0x8769)[0x829A] = 1 / 250
    profile = adobe_profile()
    stored = Image.fromarray(np.rot90(encoded(light, np.uint8)))
    said: dict[str, Any] = {"exif": exif, "icc_profile": profile, "dpi": (300, 150), "xmp": b"<x:xmpmeta/>"}
    stored.save(tmp_path / "photo.jpg", **said, quality=98, subsampling=0)
    with Image.open(tmp_path / "photo.jpg") as picture:
        upright = np.rot90(np.asarray(picture), 3)
    for suffix in (".png", ".tif"):
        cutout = tmp_path / f"cutout{suffix}"
        infer(tmp_path / "photo.jpg", trimap, mean_onnx, *("-o", tmp_path / f"alpha{suffix}", "--cutout", cutout))
        with Image.open(cutout) as picture:
            tags = picture.getexif()
            assert (tags.get(0x0112, 1), tags[0x010F]) == (1, "camera")
            assert tags.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 250)
            assert picture.info["icc_profile"] == profile
            assert picture.info["xmp"] == b"<x:xmpmeta/>"
            assert picture.info["dpi"] == pytest.approx((150, 300), abs=0.02)
            pixels = np.asarray(picture)
        opaque = read_levels(trimap) == 255
        np.testing.assert_array_equal(pixels[opaque][:, :3], upright[opaque])
        with Image.open(tmp_path / f"alpha{suffix}") as picture:
            assert "icc_profile" not in picture.info
            assert picture.getexif()[0x010F] == "camera"


def test_png_of_an_exr_shows_the_display_window(
    light: NDArray[np.float64], trimap: Path, tmp_path: Path, mean_onnx: Path
) -> None:
    """Trimaps may be of either window; PNG is 16-bit sRGB of what is shown, EXR keeps all pixels."""
    height, width = light.shape[:2]
    pixels = light.astype(np.float16)
    planes = dict(zip("RGB", np.moveaxis(pixels, -1, 0), strict=True))
    windows = {"data": (10, 8, width, height), "display": (0, 0, 110, 140)}
    photo = save_exr(tmp_path / "photo.exr", planes, windows=windows)
    shown = read_levels(trimap)[:, :100]
    frame = np.zeros((140, 110), np.uint8)
    frame[8 : 8 + height, 10:] = shown
    whole = save_levels(tmp_path / "frame.png", frame)
    part = save_levels(tmp_path / "part.png", np.pad(shown, ((0, 0), (0, 20)), mode="edge"))
    infer(photo, whole, mean_onnx, "-o", tmp_path / "a.exr", "--cutout", tmp_path / "c.png")
    infer(photo, whole, mean_onnx, "-o", tmp_path / "a.png", "--cutout", tmp_path / "o.png", "--background", "lime")
    infer(photo, part, mean_onnx, "-o", tmp_path / "b.exr")
    exr, same = (read_exr(tmp_path / name)[0]["A"].astype(np.float32) for name in ("a.exr", "b.exr"))
    assert exr.shape == (height, width)
    np.testing.assert_allclose(exr, same, atol=2e-3)
    cutout, over, alpha = (read_levels(tmp_path / name) for name in ("c.png", "o.png", "a.png"))
    assert (cutout.shape, alpha.shape) == ((140, 110, 4), (140, 110))
    assert cutout.dtype == np.uint16
    assert (cutout[:8] == 0).all()
    assert (over[:8] == (0, 65535, 0)).all()
    opaque = frame == 255
    inside = np.zeros((140, 110, 3), np.uint16)
    inside[8 : 8 + height, 10:] = encoded(pixels[:, :100], np.uint16)
    assert np.abs(cutout[opaque][:, :3].astype(int) - inside[opaque]).max() <= 1
    assert np.abs(over[opaque].astype(int) - inside[opaque]).max() <= 1


@pytest.fixture(scope="module")
def strange(light: NDArray[np.float64], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a photo, its trimap, and OpenEXR files that are wrong in many ways."""
    folder = tmp_path_factory.mktemp("strange")
    save_trimap(folder / "trimap.png")
    save_levels(folder / "photo.png", encoded(light, np.uint8))
    half = light[:, :, 0].astype(np.float16)
    save_exr(folder / "layers.exr", dict.fromkeys(("Z", *(f"diffuse.{name}" for name in "RGB")), half))
    save_exr(folder / "clear.exr", dict.fromkeys("RGBA", half))
    plain = save_exr(folder / "plain.exr", dict.fromkeys("RGB", half))
    save_exr(folder / "endless.exr", dict.fromkeys("RGB", np.where(half == half.max(), np.inf, half)))
    content = plain.read_bytes()
    (folder / "cut.exr").write_bytes(content[: len(content) * 2 // 3])
    (folder / "start.exr").write_bytes(content[:60])
    save_levels(folder / "small.png", encoded(light[:9, :9], np.uint8))
    save_levels(folder / "tiny.png", np.full((9, 9), 128, np.uint8))
    return folder


OUT = "-o alpha.png"
PAIR = f"photo.png trimap.png {OUT}"
CUT = f"{PAIR} --cutout cutout.png"
LIGHT = f"plain.exr trimap.png {OUT}"
WRONG_JOBS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "PNG has no half": (f"{PAIR} --depth half", 2, ("alpha.png", "--depth of PNG files must be 8 or 16; got half")),
    "OpenEXR has no 8 bits": (
        "photo.png trimap.png -o a.exr --depth 8", 2, ("a.exr", "OpenEXR", "half or float", "got 8"),
    ),
    "a depth must exist": (f"{PAIR} --depth 12", 2, ("--depth", "'12'")),
    "exposure is of OpenEXR": (f"{PAIR} --exposure 1", 2, ("--exposure", "photo.png", "OpenEXR")),
    "exposure has a limit": (f"{LIGHT} --exposure 5000", 2, ("--exposure must be", "-100 and 100 stops; got 5000")),
    "exposure is a number": (f"{LIGHT} --exposure nan", 2, ("--exposure must be", "-100 and 100 stops; got nan")),
    "exposure is finite": (f"{LIGHT} --exposure -inf", 2, ("--exposure must be", "-100 and 100 stops; got -inf")),
    "a background is behind a cut-out": (f"{PAIR} --background red", 2, ("--background", "--cutout")),
    "straight colours are a cut-out's": (f"{PAIR} --straight", 2, ("--premultiplied", "--cutout")),
    "an opaque cut-out is not premultiplied": (
        f"{CUT} --background red --premultiplied", 2, ("--premultiplied", "--background"),
    ),
    "a colour must exist": (f"{CUT} --background reddish", 2, ("reddish", "#rrggbb", ".png")),
    "a colour has levels to 255": (f"{CUT} --background rgb(300,0,0)", 2, ("rgb(300,0,0)", "#rrggbb", ".png")),
    "a background is opaque": (f"{CUT} --background #11223344", 2, ("#11223344", "opaque")),
    "two results are two files": (f"{CUT} --foreground cutout.png", 2, ("cutout.png", "two results would")),
    "results are not GIF": (f"{PAIR} --foreground f.gif", 2, ("f.gif", ".exr")),
    "a background is not overwritten": (
        f"{PAIR} --cutout small.png --background small.png", 2, ("small.png", "overwrite an input"),
    ),
    "a background has the photo's size": (
        f"{CUT} --background small.png", 1, ("small.png", "9x9", "120x90", "--background-fit cover or contain"),
    ),
    "a background must be there": (f"{CUT} --background no.png", 1, ("no.png", "no such file")),
    "a background is finite": (
        f"{CUT} --background endless.exr", 1, ("endless.exr", "1 pixels", "choose another background"),
    ),
    "layers are no photo": (
        f"layers.exr trimap.png {OUT}", 1, ("layers.exr", "has no R, G, B", "--layer: diffuse"),
    ),
    "a photo is opaque": (f"clear.exr trimap.png {OUT}", 1, ("clear.exr", "transparent")),
    "a photo must be whole": (f"cut.exr trimap.png {OUT}", 1, ("cut.exr", "damaged or truncated")),
    "a header must be whole": (f"start.exr trimap.png {OUT}", 1, ("start.exr", "damaged or truncated", "header")),
    "large photos are refused": (
        f"{LIGHT} --max-megapixels 0.01", 1, ("plain.exr", "0.0108 megapixels", "--max-megapixels"),
    ),
    "a trimap is not OpenEXR": (f"plain.exr plain.exr {OUT}", 1, ("plain.exr", "trimaps must be PNG or TIFF")),
    "layers are no mask": (f"plain.exr --mask layers.exr {OUT}", 1, ("layers.exr", "diffuse.R", "A, Y or R, G, B")),
    "a trimap has the size of its photo": (f"plain.exr tiny.png {OUT}", 1, ("tiny.png", "9x9", "plain.exr is 120x90")),
}  # fmt: skip


@pytest.mark.parametrize(("line", "code", "words"), WRONG_JOBS.values(), ids=WRONG_JOBS)
def test_what_cannot_be_held_or_mixed_is_one_line(
    strange: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(strange)
    before = set(strange.iterdir())
    assert_one_line(called("ltm-infer", *line.split()), code, *words)
    assert set(strange.iterdir()) == before


def test_mask_from_exr(light: NDArray[np.float64], tmp_path: Path, mean_onnx: Path) -> None:
    photo = save_levels(tmp_path / "photo.png", encoded(light, np.uint8))
    with Image.open(EXAMPLE_TRIMAP) as picture:
        share = (np.asarray(picture)[BOX] > 0).astype(np.float32)
    mask = save_exr(tmp_path / "mask.exr", {"A": share})
    grey = save_levels(tmp_path / "mask.png", (share * 255).astype(np.uint8))
    for name, path in (("exr", mask), ("png", grey)):
        result = run("ltm-infer", photo, "--mask", path, "-o", tmp_path / f"{name}.tif", "--engine", mean_onnx)
        assert result.code == 0, result.err
    difference = np.abs(read_levels(tmp_path / "exr.tif").astype(int) - read_levels(tmp_path / "png.tif"))
    assert difference.max() <= 1
    assert difference.mean() < 0.01
