"""Composites as photographers want them: JPEG, and backgrounds of another size; and what is refused of both."""

from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin

from litematting_deploy.errors import UsageError
from litematting_deploy.images.background import fitted
from litematting_deploy.images.encode import MOST_JPEG_SIDE, write_image
from litematting_deploy.runtime.shipped import TINY_ENGINE
from tests.cli.frames import BOX, save_trimap
from tests.conftest import EXAMPLE, assert_one_line, called

_ENGINE = ("--engine", TINY_ENGINE)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    exif = Image.Exif()
    exif[ExifTags.Base.Copyright] = "me"
    with Image.open(EXAMPLE) as picture:
        crop = Image.fromarray(np.asarray(picture)[BOX])
    crop.save(tmp_path / "photo.png", exif=exif, icc_profile=PROFILE, dpi=(300, 300))
    return tmp_path / "photo.png", save_trimap(tmp_path / "trimap.png")


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_jpeg_composite_keeps_what_the_photo_says(pair: tuple[Path, Path], tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("a.png", "w.jpg", "w.png", "f.JPEG", "p.jpg")}
    command = ("ltm-infer", *pair, "-o", files["a.png"], "--background", "white", *_ENGINE)
    done = called(*command, "--cutout", files["w.jpg"], "--foreground", files["f.JPEG"], "--preview", files["p.jpg"])
    assert done.code == 0, done.err
    assert called(*command, "--cutout", files["w.png"]).code == 0
    with Image.open(files["w.jpg"]) as jpeg:
        assert (jpeg.format, jpeg.mode, jpeg.info["dpi"], jpeg.info["icc_profile"]) == (
            "JPEG",
            "RGB",
            (300, 300),
            PROFILE,
        )
        assert jpeg.getexif()[ExifTags.Base.Copyright] == "me"
        assert isinstance(jpeg, JpegImagePlugin.JpegImageFile)
        assert [component[1:3] for component in jpeg.layer] == [(1, 1)] * 3, "colour at full size"
    difference = np.abs(pixels_of(files["w.jpg"]).astype(int) - pixels_of(files["w.png"]))
    assert difference.mean() < 2
    for name in ("f.JPEG", "p.jpg"):
        with Image.open(files[name]) as picture:
            assert picture.format == "JPEG"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "a.jpg"), ("a.jpg: the alpha cannot be a JPEG, which has no exact values", ".png")),
        (("-o", "a.png", "--cutout", "c.jpg"), ("c.jpg: the cut-out cannot be a JPEG", "give --background")),
        (("-o", "a.png", "--cutout", "c.webp"), ("c.webp: results must end in .png, .tif, .tiff, .exr",)),
        (("-o", "a.png", "--background-fit", "cover"), ("--background-fit requires --background",)),
    ],
    ids=["alpha", "transparent", "unknown ending", "fit of nothing"],
)
def test_what_is_no_jpeg_is_refused(
    options: tuple[str, ...], words: tuple[str, ...], pair: tuple[Path, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_line(called("ltm-infer", *pair, *options, *_ENGINE), 2, *words)
    assert not list(tmp_path.glob("[ac].*"))


def test_a_folder_of_jpeg_composites(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for folder, source in zip(("p", "t"), pair, strict=True):
        (tmp_path / folder).mkdir()
        for name in "xy":
            (tmp_path / folder / f"{name}.png").write_bytes(source.read_bytes())
    job: tuple[str | Path, ...] = ("ltm-infer", tmp_path / "p", tmp_path / "t", "-o", tmp_path / "o", *_ENGINE)
    job = (*job, "--cutout", tmp_path / "c")
    assert_one_line(called(*job, "--format", "jpeg"), 2, "--format jpeg requires a result without transparency")
    job = (*job, "--format", "jpeg", "--background", "white")
    assert called(*job).code == 0
    assert sorted(path.name for path in (tmp_path / "o").glob("[xy]*")) == ["x.png", "y.png"]
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["x.jpg", "y.jpg"]
    cut = tmp_path / "c" / "x.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    again = called(*job, "--resume")
    assert "1 of 2 frames" in again.out
    assert again.code == 0


@pytest.mark.parametrize("flag", ["--output", "--cutout", "--foreground", "--preview"])
def test_many_photos_go_to_folders(flag: str, pair: tuple[Path, Path], tmp_path: Path) -> None:
    for folder, source in zip(("p", "t"), pair, strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(source.read_bytes())
    outputs = {"--output": tmp_path / "o"} | {flag: tmp_path / "x.png"}
    options = [word for pair_ in outputs.items() for word in pair_]
    result = called("ltm-infer", tmp_path / "p", tmp_path / "t", *options, *_ENGINE)
    assert_one_line(result, 2, "x.png: ", "choose the image type with --format")
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(("fit", "size"), [("cover", (60, 200)), ("contain", (60, 200)), ("cover", (400, 500))])
def test_a_background_of_another_size(fit: str, size: tuple[int, int], pair: tuple[Path, Path], tmp_path: Path) -> None:
    """At pixels that are all background, the result is Pillow's picture of the same name."""
    from PIL import ImageOps

    smooth = np.add.outer(np.linspace(0, 120, size[0]), np.linspace(0, 120, size[1]))
    behind = Image.fromarray(np.dstack([smooth, 240 - smooth, smooth / 2]).astype(np.uint8))
    behind.save(tmp_path / "sky.png")
    job: tuple[str | Path, ...] = ("ltm-infer", *pair, "-o", tmp_path / "a.png", "--cutout", tmp_path / "c.png")
    job = (*job, *_ENGINE, "--background", tmp_path / "sky.png")
    refused = called(*job)
    assert_one_line(refused, 1, "sky.png: is", "--background-fit cover or contain")
    assert called(*job, "--background-fit", fit).code == 0
    photo, alpha = pixels_of(pair[0]), pixels_of(tmp_path / "a.png")
    shape = photo.shape[1::-1]
    wanted = ImageOps.fit(behind, shape) if fit == "cover" else ImageOps.pad(behind, shape)
    clear = alpha == 0
    assert clear.sum() > 500
    np.testing.assert_allclose(pixels_of(tmp_path / "c.png")[clear].astype(int), np.asarray(wanted)[clear], atol=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_pixels_of_every_kind_are_fitted(dtype: Any) -> None:
    pixels = np.full((7, 9, 3), 100, dtype)
    covered, contained = fitted(pixels, (20, 50), "cover"), fitted(pixels, (20, 50), "contain")
    assert covered.dtype == contained.dtype == dtype
    assert covered.shape == contained.shape == (20, 50, 3)
    assert (covered == 100).all()
    # 7 to 20 rows, so that 9 columns become 26, twelve from each edge.
    assert (contained[:, 12:38] == 100).all()
    assert not contained[:, :12].any()
    assert not contained[:, 38:].any()


def test_pixels_that_are_opaque_in_the_file_have_the_photos_values(tmp_path: Path) -> None:
    """Also where alpha is a little below 1, which a half float rounds to it."""
    from litematting_deploy.images.photo import read_photo
    from litematting_deploy.matting.composite import cutout_picture

    light = np.random.default_rng(0).random((40, 50, 3)).astype(np.float16)
    planes = {name: light[:, :, index].copy() for index, name in enumerate("RGB")}
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, planes).write(
        str(tmp_path / "p.exr")
    )
    photo = read_photo(tmp_path / "p.exr")
    alpha = np.tile(np.linspace(0.99, 1, 50, dtype=np.float32), (40, 1))
    estimated = (photo.pixels.astype(np.float32) * 0.98).astype(np.float16)
    estimated[alpha == 1] = photo.pixels[alpha == 1]
    for dtype, premultiplied in ((np.float16, True), (np.float16, False), (np.uint8, False)):
        cutout = cutout_picture(photo, estimated, alpha, dtype, premultiplied)
        opaque = cutout[:, :, 3] == (255 if dtype == np.uint8 else 1)
        assert opaque[0].sum() > (1 if dtype == np.float16 else 5), "some of them are not 1 before they are stored"
        if dtype == np.float16:
            np.testing.assert_array_equal(cutout[opaque][:, :3], light[opaque])
        else:
            whole = cutout_picture(photo, photo.pixels, np.ones_like(alpha), dtype, premultiplied)
            np.testing.assert_array_equal(cutout[opaque], whole[opaque])


@pytest.mark.parametrize("name", ["a.webp", "a", "a.gif", "a.jp2", "a.PNGX"])
def test_an_ending_that_is_not_written_is_refused_everywhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"images must end in \.png, \.tif, \.tiff, \.exr, \.jpg, \.jpeg"):
        write_image(tmp_path / name, np.zeros((4, 4), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint16), np.zeros((4, 4, 4), np.uint8), np.zeros((1, MOST_JPEG_SIDE + 1), np.uint8)]
)
def test_what_a_jpeg_cannot_hold(pixels: NDArray[Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be uint8|a JPEG has no alpha"):
        write_image(tmp_path / "a.jpg", pixels)
