"""Photos and nothing else, as a user has them: ltm-trimap and ltm-infer make the mask from the photo itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy import make_trimap
from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.images.colour import srgb_decode
from litematting_deploy.jobs.outputs import Remarks, notes
from tests.conftest import Run, assert_one_line, called
from tests.images.files import save_exr
from tests.segmentation.scenes import BOX, HW, NETWORKS, alpha, before_screen, check, network, pair, save
from tests.video.clips import read_clip, save_clip

BOX_TEXT = ",".join(map(str, BOX))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    image, plate = pair()
    save(tmp_path / "photo.png", image)
    save(tmp_path / "plate.png", plate)
    save(tmp_path / "screen.png", before_screen())
    save(tmp_path / "strokes.png", ((alpha() == 1) * 255).astype(np.uint8))
    network(tmp_path / "net.onnx", **NETWORKS["U2-Net"])  # type: ignore[arg-type]
    return tmp_path


def load(name: str) -> NDArray[np.uint8]:
    with Image.open(name) as picture:
        return np.asarray(picture)


def codes(image: NDArray[np.uint8]) -> list[NDArray[np.uint16]]:
    """The Y, Cb and Cr of Rec. 709, of limited range."""
    red, green, blue = np.moveaxis(image / 255, -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    planes = (16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748)
    return [np.rint(plane).astype(np.uint16) for plane in planes]


def infer(engine: Path, *arguments: str) -> Run:
    result = called("ltm-infer", *arguments, "--engine", engine, "--device", "cpu")
    assert result.code == 0, result.err
    return result


@pytest.mark.usefixtures("here")
def test_trimaps_from_a_photo_alone() -> None:
    for options, source, wrong in (
        (("--key", "green"), "screen.png", 0.001),
        (("--clean-plate", "plate.png"), "photo.png", 0.005),
        (("--box", BOX_TEXT, "--sure-foreground", "strokes.png", "--unknown", "10"), "photo.png", 0.02),
    ):
        result = called("ltm-trimap", source, "-o", "t.png", *options, "--preview", "look.png")
        assert (result.code, result.err) == (0, ""), result
        assert "t.png and look.png: 320x240, " in result.out
        check(load("t.png"), wrong=wrong, most_unknown=0.6)
        assert load("look.png").shape == (*HW, 3)
        assert ((load("look.png") == (255, 220, 0)).all(axis=2)).sum() > 100, "the mask's edge"
    assert (load("look.png")[BOX[1], BOX[0] : BOX[0] + BOX[2]] == (0, 235, 60)).all(), "the box"


@pytest.mark.usefixtures("here")
def test_a_segmenter_and_what_it_hesitates_at() -> None:
    assert called("ltm-trimap", "screen.png", "-o", "t.png", "--segmenter", "net.onnx", "--device", "cpu").code == 0
    wide = (load("t.png") == 128).mean()
    options = ("--segmenter", "net.onnx", "--doubt", "0.3,0.7")
    assert called("ltm-trimap", "screen.png", "-o", "t.png", *options).code == 0
    assert 0 < (load("t.png") == 128).mean() < wide


@pytest.mark.usefixtures("here")
def test_two_corners_for_a_box_are_told(mean_onnx: Path) -> None:
    box = ("--box", "70,30,270,220", "--sure-foreground", "strokes.png")
    told = (
        "photo.png: --box 70,30,270,220 reaches beyond the photo, which is 320x240; it is left, top, width and height"
    )
    assert told in called("ltm-trimap", "photo.png", "-o", "t.png", *box).err
    assert told in infer(mean_onnx, "photo.png", *box, "-o", "a.png").err


@pytest.mark.usefixtures("here")
def test_python_does_what_the_command_does(here: Path) -> None:
    strokes = (alpha() == 1) & (np.arange(HW[1]) < 150)
    save(here / "faint.png", (strokes * 180).astype(np.uint8))
    for options, arguments in (
        (("--key", "green"), {"key": "green"}),
        (("--clean-plate", "plate.png"), {"plate": "plate.png"}),
        (("--box", BOX_TEXT, "--sure-foreground", "faint.png"), {"box": BOX, "sure_foreground": strokes}),
        (("--segmenter", "net.onnx"), {"segmenter": "net.onnx"}),
    ):
        source = "photo.png" if options[0] in ("--box", "--clean-plate") else "screen.png"
        common = ("--adaptive", "--largest", "1", "--doubt", "0.2,0.7", "--unknown", "6")
        made = called("ltm-trimap", source, "-o", "t.png", *options, *common)
        assert (made.code, made.err) == (0, ""), made
        shared: dict[str, Any] = {"largest": 1, "doubt": (0.2, 0.7), "unknown_width": 6, **arguments}
        np.testing.assert_array_equal(make_trimap(source, adaptive=True, **shared), load("t.png"))
        if "box" in arguments:
            assert (make_trimap(source, **shared) != load("t.png")).any(), "only where it is asked for"
    with pytest.raises(InputError, match=r"`sure_foreground` must be bool, .*; its largest value is 1"):
        make_trimap("screen.png", key="green", sure_foreground=strokes.astype(np.uint8))
    with pytest.raises(InputError, match=r"`sure_background` must be \(H, W\) bool or uint8; got"):
        make_trimap("screen.png", key="green", sure_background=before_screen())
    with pytest.raises(UsageError, match="`adaptive` requires `image`"):
        make_trimap("strokes.png", adaptive=True)


def test_pieces_are_told_and_the_largest_is_kept(here: Path) -> None:
    screen = before_screen(noise=0.6)
    for index in range(6):
        screen[5:15, 20 + 30 * index : 30 + 30 * index] = (200, 40, 90)
    save(here / "pieces.png", screen)
    told = called("ltm-trimap", "pieces.png", "-o", "t.png", "--key", "green", "--unknown", "2")
    assert_one_line(told, 0, "pieces.png: the mask made from it has 7 pieces; --largest 1 keeps only the largest")
    assert (load("t.png")[8:12, 23:27] == 255).any()
    kept = called("ltm-trimap", "pieces.png", "-o", "t.png", "--key", "green", "--unknown", "2", "--largest", "1")
    assert (kept.code, kept.err) == (0, "")
    assert (load("t.png")[:15] == 0).mean() > 0.95
    assert (load("t.png")[110:140, 150:190] == 255).all()
    told_of_one, told_of_two = (
        notes({name: Remarks(pieces=pieces) for name, pieces in found.items()})
        for found in ({"a": 5}, {"a": 5, "b": 7})
    )
    assert told_of_one == ["a: the mask made from it has 5 pieces; `largest=1` keeps only the largest"]
    assert told_of_two == [
        "b: the mask made from it has 7 pieces (the most of 2 masks with many); `largest=1` keeps only the largest"
    ]


def test_a_photo_a_folder_and_a_clip_are_matted(here: Path, mean_onnx: Path) -> None:
    infer(mean_onnx, "screen.png", "--key", "green", "-o", "plain.png", "--no-refine")
    truth, plain = alpha(), load("plain.png") / 255
    np.testing.assert_array_equal(plain[(truth == 1) & (plain > 0.9)], 1)
    infer(mean_onnx, "screen.png", "--key", "green", "-o", "alpha.png", "--preview", "look.png")
    infer(mean_onnx, "screen.png", "--key", "green", "-o", "refined.png", "--refine")
    np.testing.assert_array_equal(load("alpha.png"), load("refined.png"), "refined unless told otherwise")
    found = load("alpha.png") / 255
    assert np.abs(found - truth).mean() < 0.8 * np.abs(plain - truth).mean()
    assert ((load("look.png") == (255, 220, 0)).all(axis=2)).any()
    for name in ("one", "two"):
        save(here / "photos" / f"{name}.png", before_screen())
    options = ("photos", "--key", "green", "-o", "mattes", "--resume")
    assert "2 of 2 frames" in infer(mean_onnx, *options).out
    np.testing.assert_array_equal(load("mattes/two.png"), load("alpha.png"))
    assert "2 already done" in infer(mean_onnx, *options).out
    other = called("ltm-infer", *options, "--key-tolerance", "0.3", "--engine", mean_onnx)
    assert_one_line(other, 2, "was started with other settings: without --key-tolerance, now --key-tolerance 0.3; give")
    other = called("ltm-infer", *options, "--no-refine", "--engine", mean_onnx, "--device", "cpu")
    assert_one_line(other, 2, "was started with other settings: --refine, now --no-refine; give")
    frames = [before_screen(), before_screen(noise=1), np.full((*HW, 3), (70, 172, 89), np.uint8)]
    save_clip(here / "clip.mkv", [codes(frame) for frame in frames], kind="yuv444p")
    result = infer(mean_onnx, "clip.mkv", "--key", "#46ac59", "-o", "matte.mkv", "--no-sound", "--preview", "look.mov")
    assert "3 frames" in result.out
    assert ", refined, unknown band 8 px on each side of the edge (automatic)" in result.out
    look = read_clip(here / "look.mov")[0][0].to_ndarray(format="rgb24").astype(int)
    yellow = (look[..., 0] > 200) & (look[..., 1] > 170) & (look[..., 2] < 90)
    assert yellow.sum() > 100, "where the mask is half sure"
    assert "no sure foreground" in result.out, "an object may leave the picture"
    failed = called("ltm-infer", "clip.mkv", "--key", "blue", "-o", "blue.mkv", "--no-sound", "--engine", mean_onnx)
    assert_one_line(failed, 1, "clip.mkv: frame 0 (0.000 s): contains hardly any blue", "--failed-frames known")
    assert failed.err.count("frame 0") == 1
    matte = read_clip(here / "matte.mkv")[1]
    assert (matte[2][0] == 0).all()
    assert np.abs(matte[0][0] / 65535 - found).mean() < 0.05


WRONG: dict[str, tuple[str, int, str]] = {
    "one way is enough": ("ltm-trimap screen.png -o t.png --key green --box 1,2,3,4", 2, "got --box and --key"),
    "a box has four numbers": (
        "ltm-trimap screen.png -o t.png --box 1,2,3",
        2,
        "expected 4 whole numbers, such as 40,20",
    ),
    "a box has a size": ("ltm-trimap screen.png -o t.png --box 1,2,0,4", 2, "--box must be x, y, width and height"),
    "doubt rises": (
        "ltm-trimap screen.png -o t.png --key green --doubt 0.9,0.1",
        2,
        "--doubt must be two rising values",
    ),
    "a share is up to 1": (
        "ltm-trimap screen.png -o t.png --key green --key-tolerance 3",
        2,
        "--key-tolerance must be",
    ),
    "tolerance is of a key": (
        "ltm-trimap screen.png -o t.png --box 1,2,3,4 --key-tolerance 0.2",
        2,
        "requires --key",
    ),
    "thresholds are of masks": ("ltm-trimap screen.png -o t.png --key green --mask-threshold 9", 2, "--key makes one"),
    "a mask is no photo": ("ltm-trimap strokes.png -o t.png --sure-foreground a.png", 2, "but a mask is given"),
    "the photo is given": ("ltm-trimap screen.png -o t.png --key green --image screen.png", 2, "leave it out"),
    "a device is of a segmenter": (
        "ltm-trimap screen.png -o t.png --key green --device cpu",
        2,
        "--device requires --segmenter",
    ),
    "a plate must be there": ("ltm-trimap screen.png -o t.png --clean-plate no.png", 1, "no.png: no such file"),
    "a plate is not overwritten": (
        "ltm-trimap photo.png -o plate.png --clean-plate plate.png",
        2,
        "overwrite an input",
    ),
    "a network must be there": ("ltm-trimap screen.png -o t.png --segmenter no.onnx", 1, "no.onnx: no such file"),
    "a key is a colour, before any frame": (
        "ltm-infer . --key purple -o mattes",
        2,
        "--key must be green, blue, auto or a colour such as #00b140; got 'purple'",
    ),
    "a screen is no grey": ("ltm-infer screen.png --key #808080 -o a.png", 2, "--key must be a saturated colour"),
    "strokes are not in colour": (
        "ltm-trimap screen.png -o t.png --key green --sure-foreground photo.png",
        1,
        "photo.png: is a colour image, expected grey values; save it as a greyscale image; paint white strokes on",
    ),
    "strokes mark something": (
        "ltm-trimap screen.png -o t.png --key green --sure-background black.png",
        1,
        "black.png: has no bright pixel, so it marks nothing",
    ),
    "strokes agree": (
        "ltm-trimap screen.png -o t.png --key green --sure-foreground strokes.png --sure-background faint.png",
        1,
        "--sure-foreground and --sure-background both mark the same",
    ),
    "no object": (
        "ltm-trimap plate.png -o t.png --clean-plate plate.png",
        1,
        "--clean-plate found no subject; give",
    ),
    "no screen": (
        "ltm-trimap strokes.png -o t.png --key auto",
        1,
        "give the colour of the screen, such as --key #00b140",
    ),
    "strokes fit": ("ltm-trimap screen.png -o t.png --key green --sure-foreground small.png", 1, "must be 320x240"),
    "not both": (
        "ltm-infer screen.png strokes.png -o a.png --key green",
        2,
        "but a trimap is given; use only one of them",
    ),
    "keyframes are drawn": (
        "ltm-infer screen.png -o a.png --key green --keyframes",
        2,
        "--key makes a mask for every frame; use only one",
    ),
    "something": ("ltm-infer screen.png -o a.png", 2, "no trimap: give TRIMAP or --mask, or let --box, --key"),
}


@pytest.mark.parametrize(("line", "code", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_and_writes_nothing(here: Path, line: str, code: int, words: str) -> None:
    save(here / "small.png", np.full((20, 30), 255, np.uint8))
    save(here / "black.png", np.zeros(HW, np.uint8))
    save(here / "faint.png", ((alpha() == 1) * 180).astype(np.uint8))
    before = {path.name: path.stat().st_mtime_ns for path in here.iterdir()}
    assert_one_line(called(*line.split()), code, words)
    assert {path.name: path.stat().st_mtime_ns for path in here.iterdir()} == before


def test_layers_and_exposure_of_exr_photos_and_plates(here: Path) -> None:
    """A layer that is two stops too dark makes the trimap of the picture as it was, before the same wall."""
    image, plate = pair()
    for name, pixels in {"photo": image, "plate": plate}.items():
        light = (srgb_decode(pixels / 255) / 4).astype(np.float32)
        planes = {f"beauty.{channel}": light[:, :, index].copy() for index, channel in enumerate("RGB")}
        save_exr(here / f"{name}.exr", planes | {"depth.Y": np.ones(HW, np.float32)})
    exr = ("--layer", "beauty", "--exposure", "2")
    for empty in ("plate.exr", "plate.png"):
        made = called("ltm-trimap", "photo.exr", "-o", "t.png", "--clean-plate", empty, *exr)
        assert (made.code, made.err) == (0, ""), made
        check(load("t.png"), wrong=0.005, most_unknown=0.6)
    made = called("ltm-trimap", "photo.png", "-o", "t.png", "--clean-plate", "plate.png", *exr)
    assert_one_line(made, 2, "applies only to scene-linear OpenEXR photos")
