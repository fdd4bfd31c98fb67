"""ltm-infer on folders of frames: mixed depths, a corrupt one, kills and resuming."""

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.cli.test_infer_colour import foreground
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, assert_one_line, run
from tests.matting.files import read_exr, read_levels, save_exr, save_levels
from tests.matting.light import decoded, encoded

BOX = slice(1000, 1090), slice(600, 720)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COMMAND = Path(sys.executable).parent / "ltm-infer"


@pytest.fixture
def light() -> NDArray[np.float64]:
    """A crop of the example around the stem, as light."""
    with Image.open(EXAMPLE) as picture:
        return decoded(np.asarray(picture)[BOX])


def timecode(number: int) -> dict[str, Any]:
    return {
        "timeCode": OpenEXR.TimeCode(1, 2, 3, number, 0, 0, 0, 0, 0, 0, *range(1, 9)),
        "framesPerSecond": Fraction(24000, 1001),
    }


def save_trimap(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(EXAMPLE_TRIMAP) as picture:
        Image.fromarray(np.asarray(picture)[BOX]).save(path)
    return path


def make_frames(folder: Path, light: NDArray[Any]) -> tuple[Path, Path]:
    """Twelve frames of three depths in two sub-folders with blanks and umlauts, and their trimaps."""
    images, trimaps = folder / "bilder für uns", folder / "tri maps"
    for number in range(12):
        shot = "shot 1" if number < 6 else "Szene ü"
        seen = np.roll(light, number * 3, axis=1)
        target = images / shot / f"frame.{number:04}"
        target.parent.mkdir(parents=True, exist_ok=True)
        save_trimap(trimaps / shot / f"frame.{number:04}.png")
        if number % 3 == 0:
            path = target.with_suffix(f".{number:04}.png")
            Image.fromarray(encoded(seen, np.uint8)).save(path, icc_profile=PROFILE, dpi=(300, 300))
        elif number % 3 == 1:
            save_levels(target.with_suffix(f".{number:04}.tif"), encoded(seen, np.uint16))
        else:
            planes = dict(zip("RGB", np.moveaxis(seen.astype(np.float16), 2, 0), strict=True))
            save_exr(target.with_suffix(f".{number:04}.exr"), planes, timecode(number))
    return images, trimaps


def command(images: Path, trimaps: Path, output: Path, engine: Path, *options: str | Path) -> list[str]:
    fixed = ("--engine", engine, "--step", "64")
    return [str(item) for item in (COMMAND, images, trimaps, "-o", output, *fixed, *options)]


def finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(count: int, folder: Path, process: "subprocess.Popen[str]") -> None:
    while len(finished(folder)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_twice_and_resumed(light: NDArray[Any], tmp_path: Path, small_onnx: Path) -> None:
    images, trimaps = make_frames(tmp_path, light)
    corrupt = images / "shot 1" / "frame.0003.png"
    corrupt.write_bytes(corrupt.read_bytes()[:900])
    output, cuts = tmp_path / "out", tmp_path / "cut outs"
    arguments = command(images, trimaps, output, small_onnx, "--cutout", cuts, "--resume")
    for number, (kill, code) in enumerate(((signal.SIGKILL, -9), (signal.SIGTERM, 143))):
        process = start(*arguments)
        wait_for(2 + 3 * number, cuts, process)
        process.send_signal(kill)
        process.communicate(timeout=60)
        assert process.returncode == code
    before = {path: path.stat().st_mtime_ns for path in finished(output)}
    done = run("ltm-infer", *arguments[1:])
    assert done.code == 1, done
    *lines, failed = done.err.strip().splitlines()
    assert failed == f"ltm-infer: failed: shot 1/frame.0003: {corrupt}: " + failed.split(f"{corrupt}: ")[1]
    assert "damaged or truncated image" in failed
    assert len(lines) < 12, "what was done is not done again"
    assert "of 12 frames" in done.out
    assert "1 failed" in done.out
    kept = [path for path, written in before.items() if path.stat().st_mtime_ns == written]
    assert len(kept) >= len(before) - 1  # one may have had its alpha and not yet its cut-out
    names = {path.relative_to(images).with_suffix("") for path in finished(images)} - {Path("shot 1/frame.0003")}
    assert {path.relative_to(output).with_suffix("") for path in finished(output)} == names
    for image in finished(images):
        if image != corrupt:
            check_frame(image, images, output, cuts)


def check_frame(image: Path, images: Path, output: Path, cuts: Path) -> None:
    """Depth, metadata and colours of the results; colours as light, beside PyMatting's on NumPy's light."""
    kind = ".exr" if image.suffix == ".exr" else ".png"
    alpha_file = (output / image.relative_to(images)).with_suffix(kind)
    cutout_file = (cuts / image.relative_to(images)).with_suffix(kind)
    if kind == ".exr":
        planes, _ = read_exr(image)
        photo = np.stack([planes[name] for name in "RGB"], axis=2)
        (alpha,) = read_exr(alpha_file)[0].values()
        cut, header = read_exr(cutout_file)
        for name, wanted in timecode(int(image.stem[-4:])).items():
            assert str(header[name]) == str(wanted)
        assert {plane.dtype for plane in (alpha, *cut.values())} == {np.dtype(np.float16)}
        np.testing.assert_array_equal(cut["A"], alpha)
        colours, weight = np.stack([cut[name] for name in "RGB"], axis=2), alpha.astype(np.float64)
    else:
        photo, alpha, levels = read_levels(image), read_levels(alpha_file), read_levels(cutout_file)
        assert alpha.dtype == levels.dtype == photo.dtype
        if image.suffix == ".png":
            with Image.open(cutout_file) as picture:
                assert picture.info["icc_profile"] == PROFILE
                assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        np.testing.assert_array_equal(levels[:, :, 3], alpha)
        weight = alpha / np.iinfo(alpha.dtype).max
        colours = decoded(levels[:, :, :3]) * weight[:, :, None]
    with Image.open(EXAMPLE_TRIMAP) as trimap:
        opaque = np.asarray(trimap)[BOX] == 255
    assert opaque.any()
    np.testing.assert_allclose(colours[opaque], decoded(photo)[opaque], atol=1e-6)
    difference = np.abs(colours - foreground(photo, weight) * weight[:, :, None])
    assert difference.max() <= 0.02
    assert difference.mean() <= 5e-4
    assert ((weight > 0) & (weight < 1)).sum() > 100


def test_patterns_ranges_shards_and_plain_lines(light: NDArray[Any], tmp_path: Path, small_onnx: Path) -> None:
    for number in range(1, 8):
        save_levels(tmp_path / f"beauty.{number:04}.png", encoded(light, np.uint8))
        save_trimap(tmp_path / "t" / f"tri_{number}.png")
    pattern, trimaps = tmp_path / "beauty.%04d.png", tmp_path / "t" / "tri_%d.png"
    arguments = command(pattern, trimaps, tmp_path / "out", small_onnx, "--frames", "2-6", "--format", "tiff")
    for part, names in (("1/2", ("0002", "0004", "0006")), ("2/2", ("0003", "0005"))):
        result = run("ltm-infer", *arguments[1:], "--shard", part)
        assert result.code == 0, result.err
        assert result.err.splitlines() == [
            f"{index}/{len(names)} beauty.{name}" for index, name in enumerate(names, start=1)
        ]
    assert [path.name for path in finished(tmp_path / "out")] == [f"beauty.{number:04}.tif" for number in range(2, 7)]


def test_resuming_leaves_what_is_whole_and_does_the_rest(light: NDArray[Any], tmp_path: Path, small_onnx: Path) -> None:
    images, trimaps = tmp_path / "i", tmp_path / "t"
    images.mkdir()
    for name in "abc":
        save_levels(images / f"{name}.png", encoded(light, np.uint8))
        save_trimap(trimaps / f"{name}.png")
    arguments = command(images, trimaps, tmp_path / "out", small_onnx)[1:]
    assert run("ltm-infer", *arguments).code == 0
    (whole, broken, stale) = (tmp_path / "out" / f"{name}.png" for name in "abc")
    wanted = [read_levels(path).astype(int) for path in (whole, broken, stale)]
    broken.write_bytes(broken.read_bytes()[:200])
    os.utime(stale, (1, 1))
    result = run("ltm-infer", *arguments, "--resume")
    assert result.code == 0
    assert result.err.splitlines() == ["1/2 b", "2/2 c"]
    assert "2 of 3 frames" in result.out
    assert "1 were done" in result.out
    for path, levels in zip((whole, broken, stale), wanted, strict=True):
        assert np.abs(read_levels(path) - levels).max() <= 1  # the engine's last bits differ from run to run
    again = run("ltm-infer", *arguments, "--resume", "--depth", "16")
    assert_one_line(again, 2, "was begun with another depth", "None, now '16'")
    again = run("ltm-infer", *(part for part in arguments if part not in ("--step", "64")), "--resume")
    assert_one_line(again, 2, "was begun with another plan", "'grid, step 64', now 'grid, step 32'")
    (tmp_path / "out" / ".ltm-infer.json").write_text("{")
    assert_one_line(run("ltm-infer", *arguments, "--resume"), 1, ".ltm-infer.json", "delete it")


def test_frames_that_fail_are_listed(light: NDArray[Any], tmp_path: Path, small_onnx: Path) -> None:
    images, trimaps = tmp_path / "i", tmp_path / "t"
    images.mkdir()
    for name in ("alone", "good", "small"):
        save_levels(images / f"{name}.png", encoded(light, np.uint8))
    save_trimap(trimaps / "good.png")
    Image.new("L", (5, 5), 128).save(trimaps / "small.png")
    result = run("ltm-infer", *command(images, trimaps, tmp_path / "out", small_onnx)[1:])
    assert result.code == 1
    *_, first, second = result.err.strip().splitlines()
    assert (
        first
        == f"ltm-infer: failed: alone: {images}/alone.png: has no trimap of its name; make one, or take the photo out"
    )
    assert second.startswith(f"ltm-infer: failed: small: {trimaps}/small.png: is 5x5")
    assert [path.name for path in finished(tmp_path / "out")] == ["good.png"]


def test_interrupted(light: NDArray[Any], tmp_path: Path, small_onnx: Path) -> None:
    images, trimaps = make_frames(tmp_path, light)
    process = start(*command(images, trimaps, tmp_path / "out", small_onnx))
    wait_for(1, tmp_path / "out", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "ltm-infer: interrupted"
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.name != ".ltm-infer.json"]
    for path in finished(tmp_path / "out"):
        assert (read_exr(path)[0] if path.suffix == ".exr" else read_levels(path)) is not None


def test_a_full_disk_ends_the_run(light: NDArray[Any], tmp_path: Path, small_onnx: Path) -> None:
    images, trimaps = make_frames(tmp_path, light)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # as a full disk: writing on fails, and says so
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        command(images, trimaps, tmp_path / "out", small_onnx),
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    last = done.stderr.strip().splitlines()[-1]
    assert "cannot be written" in last
    assert "Traceback" not in done.stderr
    assert len(finished(tmp_path / "out")) < 12
    for path in finished(tmp_path / "out"):
        read_levels(path)
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.name != ".ltm-infer.json"]


@pytest.mark.parametrize(("options", "words"), [("size=28k", "No space left"), ("ro", "Read-only file system")])
def test_a_small_disk_and_a_read_only_one(
    options: str, words: str, light: NDArray[Any], tmp_path: Path, small_onnx: Path
) -> None:
    images, trimaps = make_frames(tmp_path, light)
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    inside = f"mount -t tmpfs -o {options} tmpfs {shlex.quote(str(disk))} || exit 77\n"
    inside += shlex.join(command(images, trimaps, disk / "out", small_onnx))
    inside += f"\ncode=$?; cp -r {shlex.quote(str(disk))} {shlex.quote(str(kept))}; exit $code"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", inside], capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 1, done
    assert words in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not [path for path in kept.rglob(".*") if path.name != ".ltm-infer.json"]
    for path in finished(kept):
        assert (read_exr(path)[0] if path.suffix == ".exr" else read_levels(path)) is not None
    assert len(finished(kept)) < 12


def test_two_runs_at_once_leave_whole_frames(light: NDArray[Any], tmp_path: Path, small_onnx: Path) -> None:
    images, trimaps = make_frames(tmp_path, light)
    both = [start(*command(images, trimaps, tmp_path / "out", small_onnx)) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    assert len(finished(tmp_path / "out")) == 12
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.name != ".ltm-infer.json"]
    content = json.loads((tmp_path / "out" / ".ltm-infer.json").read_text())
    assert content["plan"] == "grid, step 64"


def test_mistakes(light: NDArray[Any], tmp_path: Path, small_onnx: Path) -> None:
    images, trimaps = tmp_path / "i", tmp_path / "t"
    images.mkdir()
    photo = save_levels(images / "a.png", encoded(light, np.uint8))
    trimap = save_trimap(trimaps / "a.png")
    out = ("-o", tmp_path / "out", "--engine", small_onnx)
    cases: list[tuple[int, tuple[str | Path, ...], tuple[str, ...]]] = [
        (2, (images, trimaps, "-o", images), ("a folder of sources",)),
        (2, (images, trimaps, *out, "--frames", "1-5"), ("--frames chooses from a numbered pattern",)),
        (2, (images, trimaps, *out, "--shard", "4/3"), ("wanted PART/PARTS",)),
        (2, (images, "--mask", trimap, *out), ("--mask is for a single photo",)),
        (2, (images, trimaps, *out, "--cutout", tmp_path / "out"), ("two different files",)),
        (2, (photo, trimap, "-o", tmp_path / "a.png", "--resume"), ("--resume is for folders",)),
        (1, (images, trimap, *out), ("no such folder",)),
        (1, (tmp_path / "b.%d.png", trimaps, *out), ("no image there",)),
    ]
    if os.geteuid() != 0:
        shutil.copytree(images, tmp_path / "locked")
        (tmp_path / "locked").chmod(0o500)
        cases.append((1, (images, trimaps, "-o", tmp_path / "locked" / "out"), ("cannot be made",)))
    for code, arguments, words in cases:
        assert_one_line(run("ltm-infer", *arguments), code, *words)
