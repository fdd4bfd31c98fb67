"""ltm-infer on folders of frames: which there are, what is made of them, resuming, and what is told."""

import contextlib
import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy.runtime.shipped import TINY_ENGINE
from tests.cli.frames import command, finished, save_trimap
from tests.conftest import assert_one_line, called, run
from tests.images.files import read_levels, save_levels
from tests.images.light import encoded


def make_pairs(folder: Path, light: NDArray[Any], names: str) -> tuple[Path, Path]:
    """8-bit photos and their trimaps, named by a letter each."""
    images, trimaps = folder / "i", folder / "t"
    images.mkdir()
    for name in names:
        save_levels(images / f"{name}.png", encoded(light, np.uint8))
        save_trimap(trimaps / f"{name}.png")
    return images, trimaps


def test_patterns_ranges_shards_and_plain_lines(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    for number in range(1, 8):
        save_levels(tmp_path / f"beauty.{number:04}.png", encoded(light, np.uint8))
        save_trimap(tmp_path / "t" / f"tri_{number}.png")
    pattern, trimaps = tmp_path / "beauty.%04d.png", tmp_path / "t" / "tri_%d.png"
    arguments = command(pattern, trimaps, tmp_path / "out", mean_onnx, "--frames", "2-6", "--format", "tiff")
    for part, names in (("1/2", ("0002", "0004", "0006")), ("2/2", ("0003", "0005"))):
        result = run("ltm-infer", *arguments[1:], "--shard", part)
        assert result.code == 0, result.err
        assert result.err.splitlines() == [
            f"{index}/{len(names)} beauty.{name}" for index, name in enumerate(names, start=1)
        ]
    assert [path.name for path in finished(tmp_path / "out")] == [f"beauty.{number:04}.tif" for number in range(2, 7)]


def test_resuming_leaves_what_is_whole_and_does_the_rest(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    images, trimaps = make_pairs(tmp_path, light, "abc")
    arguments = command(images, trimaps, tmp_path / "out", mean_onnx)[1:]
    assert run("ltm-infer", *arguments).code == 0
    (whole, broken, stale) = (tmp_path / "out" / f"{name}.png" for name in "abc")
    wanted = [read_levels(path).astype(int) for path in (whole, broken, stale)]
    broken.write_bytes(broken.read_bytes()[:200])
    os.utime(stale, (1, 1))
    result = run("ltm-infer", *arguments, "--resume")
    assert result.code == 0
    assert result.err.splitlines() == ["1/2 b", "2/2 c"]
    assert "2 of 3 frames" in result.out
    assert "1 already done" in result.out
    for path, levels in zip((whole, broken, stale), wanted, strict=True):
        assert np.abs(read_levels(path) - levels).max() <= 1  # the engine's last bits differ from run to run
    again = run("ltm-infer", *arguments, "--resume", "--depth", "16")
    assert_one_line(again, 2, "was started with other settings: without --depth, now --depth 16")
    again = run("ltm-infer", *arguments, "--resume", "--plan", "grid")
    assert_one_line(again, 2, "was started with other settings: --plan adaptive --margin 6, now --plan grid --step 16")
    (tmp_path / "out" / ".ltm-infer.json").write_text("{")
    assert_one_line(run("ltm-infer", *arguments, "--resume"), 1, ".ltm-infer.json", "delete it")


def test_frames_that_fail_are_listed(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    images, trimaps = tmp_path / "i", tmp_path / "t"
    images.mkdir()
    for name in ("alone", "good", "small"):
        save_levels(images / f"{name}.png", encoded(light, np.uint8))
    save_trimap(trimaps / "good.png")
    Image.new("L", (5, 5), 128).save(trimaps / "small.png")
    result = run("ltm-infer", *command(images, trimaps, tmp_path / "out", mean_onnx)[1:])
    assert result.code == 1
    *_, first, second = result.err.strip().splitlines()
    assert (
        first
        == f"ltm-infer: failed: alone: {images}/alone.png: no matching trimap; add one, remove the photo or, if it "
        "lies between keyframes, set --keyframes"
    )
    assert second.startswith(f"ltm-infer: failed: small: {trimaps}/small.png: is 5x5")
    assert [path.name for path in finished(tmp_path / "out")] == ["good.png"]


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `i` of two photos, `t` with the trimap of one."""
    folder = tmp_path_factory.mktemp("shots")
    (folder / "i").mkdir()
    for name in ("a", "1"):
        save_levels(folder / "i" / f"{name}.png", np.full((90, 120, 3), 99, np.uint8))
    save_trimap(folder / "t" / "a.png")
    return folder


WRONG_JOBS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "results lie in no folder of photos": ("i t -o i", 2, ("a folder of sources",)),
    "nor below one": ("i t -o i/mattes", 2, ("is inside", "a folder of sources")),
    "nor below one of trimaps": ("i t -o out --preview t/looks", 2, ("is inside", "a folder of sources")),
    "two results are two folders": ("i t -o out --cutout out", 2, ("two results would have this name",)),
    "two frames have two results": ("i t -o out --preview out", 2, ("1.png: would be a result of both 1 and 1",)),
    "only patterns have frame numbers": ("i t -o out --frames 1-5", 2, ("--frames selects from a numbered pattern",)),
    "frame numbers are not empty": ("i/%d.png t -o out --frames ''", 2, ("--frames must be numbers", "got ''")),
    "a photo has no frame numbers": (
        "i/a.png t/a.png -o a.png --frames ''",
        2,
        ("--frames does not apply to a photo (it applies to a folder)",),
    ),
    "a photo is not resumed": (
        "i/a.png t/a.png -o a.png --resume",
        2,
        ("--resume does not apply to a photo (it applies to a folder and a clip)",),
    ),
    "a part is one of the parts": ("i t -o out --shard 4/3", 2, ("--shard must be PART/PARTS", "got '4/3'")),
    "a part is not empty": ("i t -o out --shard ''", 2, ("--shard must be PART/PARTS", "got ''")),
    "a format has its depths": ("i t -o out --format exr --depth 8", 2, ("half or float",)),
    "many photos have many masks": ("i --mask t/a.png -o out", 1, ("it is a single file",)),
    "many photos have many trimaps": ("i t/a.png -o out", 1, ("it is a single file", "a folder or a pattern")),
    "a pattern means a file": ("b.%d.png t -o out", 1, ("contains no image",)),
    "a folder must be there": ("nowhere t -o out", 1, ("nowhere: no such file or folder", "frame.%04d.exr")),
    "a pattern is of % or #": ("b.@@@@.png t -o out", 1, ("b.@@@@.png: no such file or folder", "frame.%04d.exr")),
}


@pytest.mark.parametrize(("line", "code", "words"), WRONG_JOBS.values(), ids=WRONG_JOBS)
def test_a_wrong_job_is_one_line(
    shots: Path, mean_onnx: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(shots)
    assert_one_line(called("ltm-infer", *shlex.split(line), "--engine", mean_onnx), code, *words)


def test_many_cut_outs_lie_in_a_folder_and_a_refused_job_leaves_nothing(shots: Path, tmp_path: Path) -> None:
    cutout, out = tmp_path / "x.png", tmp_path / "out"
    result = called("ltm-infer", shots / "i", shots / "t", "-o", out, "--cutout", cutout, "--engine", TINY_ENGINE)
    words = (f"{cutout}: {shots / 'i'} is many photos", "must be a folder", "choose the image type with --format")
    assert_one_line(result, 2, *words)
    assert not out.exists()
    assert not cutout.exists()


def test_results_that_would_be_lost(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    """Two frames' results in one file, a background that is overwritten, results among the sources of a pattern."""
    images, trimaps = tmp_path / "i", tmp_path / "t"
    for name in ("a", "cuts/a", "f.1"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        save_levels(images / f"{name}.png", encoded(light, np.uint8))
        save_trimap(trimaps / f"{name}.png")
    out, engine = tmp_path / "out", ("--engine", mean_onnx)
    result = called("ltm-infer", images, trimaps, "-o", out, "--cutout", out / "cuts", *engine)
    assert_one_line(result, 2, f"{out}/cuts/a.png: would be a result of both a and cuts/a", "separate")
    pattern = (images / "f.%d.png", trimaps / "f.%d.png")
    result = called("ltm-infer", *pattern, "-o", trimaps, *engine)
    assert_one_line(result, 2, f"{trimaps}/f.1.png: would later be mistaken for one of {trimaps}/f.%d.png")
    behind = save_levels(tmp_path / "f.1.png", encoded(light[::-1], np.uint8))
    content = behind.read_bytes()
    result = called("ltm-infer", *pattern, "-o", out, "--cutout", tmp_path, "--background", behind, *engine)
    assert result.code == 1
    assert f"ltm-infer: failed: f.1: {behind}: would overwrite an input" in result.err
    assert behind.read_bytes() == content
    assert not finished(out)
    (images / "last").symlink_to(tmp_path / "last")
    save_levels(tmp_path / "x.png", encoded(light, np.uint8))
    (tmp_path / "last").mkdir()
    (tmp_path / "x.png").rename(tmp_path / "last" / "x.png")
    result = called("ltm-infer", images, trimaps, "-o", tmp_path / "last", *engine)
    assert_one_line(result, 2, f"{tmp_path}/last/a.png: would later be mistaken for one of {tmp_path}/last")


def test_resuming_does_what_is_of_another_size_or_kind_again(
    light: NDArray[Any], tmp_path: Path, mean_onnx: Path
) -> None:
    images, trimaps = make_pairs(tmp_path, light, "abcde")
    arguments = command(images, trimaps, tmp_path / "out", mean_onnx)[1:]
    assert run("ltm-infer", *arguments).code == 0
    made = {name: tmp_path / "out" / f"{name}.png" for name in "abcde"}
    Image.new("L", (5, 5)).save(made["a"])
    Image.new("RGB", light.shape[1::-1]).save(made["b"])
    made["c"].write_bytes(made["c"].read_bytes()[:-3])  # decoders do not miss what says that here is the end
    turned = Image.fromarray(encoded(light, np.uint8).swapaxes(0, 1))
    turned.save(
        images / "d.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\5\0\0\0\0\0\0"
    )  # lies on its side
    Image.fromarray(encoded(light[:50], np.uint8)).save(images / "e.png")
    for name in "de":
        os.utime(images / f"{name}.png", (1, 1))
    result = run("ltm-infer", *arguments, "--resume")
    assert result.code == 1
    done = {line.partition(" ")[2] for line in result.err.splitlines()[:-1]}
    assert done == {"a", "b", "c", "e failed"}, "of the names, a photo on its side has the size of its matte"
    assert "failed: e: " in result.err.splitlines()[-1]


def test_a_link_that_leads_nowhere_is_a_frame_that_fails(tmp_path: Path, mean_onnx: Path) -> None:
    images, trimaps = tmp_path / "i", tmp_path / "t"
    images.mkdir()
    trimaps.mkdir()
    (images / "b.0002.png").symlink_to(tmp_path / "gone.png")
    for resume in ((), ("--resume",)):
        done = called("ltm-infer", images / "b.%04d.png", trimaps, "-o", tmp_path / "o", "--engine", mean_onnx, *resume)
        assert done.code == 1
        assert "failed: b.0002: " in done.err.splitlines()[-1]


def test_names_with_line_breaks_and_logs_that_are_no_terminals(
    light: NDArray[Any], tmp_path: Path, mean_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    (tmp_path / "i").mkdir()
    save_levels(tmp_path / "a.png", encoded(light, np.uint8)).rename(tmp_path / "i" / "a\nb.png")
    done = run("ltm-infer", *command(tmp_path / "i", tmp_path / "i", tmp_path / "o", mean_onnx, "--verbose")[1:])
    lines = done.err.splitlines()
    assert len(lines) == 3
    assert "engine: onnxruntime" in lines[0]
    assert lines[1] == r"1/1 a\nb failed"
    assert lines[2].startswith(r"ltm-infer: failed: a\nb: ")


def test_masks_of_a_folder_and_previews(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    """Trimaps on the way are those that ltm-trimap makes: the same alphas, and pictures of them beside."""
    for name in ("a", "b"):
        (tmp_path / "i" / "shot 1").mkdir(parents=True, exist_ok=True)
        photo = save_levels(tmp_path / "i" / "shot 1" / f"{name}.png", encoded(light, np.uint8))
        trimap = save_trimap(tmp_path / "m" / "shot 1" / f"{name}.png")
        mask = save_levels(trimap, np.where(read_levels(trimap) == 0, 0, 255).astype(np.uint8))
    save_levels(tmp_path / "i" / "shot 1" / "c.png", encoded(light, np.uint8))
    band = ("--unknown", "3%", "--adaptive")
    looks = ("--preview", tmp_path / "looks")
    arguments = ("--mask", tmp_path / "m", "-o", tmp_path / "out", "--engine", mean_onnx, *band, *looks)
    result = run("ltm-infer", tmp_path / "i", *arguments)
    assert result.code == 1
    assert "c.png: no matching mask; add one" in result.err.splitlines()[-1]
    made = ("-o", tmp_path / "t.png", *band, "--image", photo, "--preview", tmp_path / "look.png")
    assert run("ltm-trimap", mask, *made).code == 0
    single = ("-o", tmp_path / "s.png", "--engine", mean_onnx, "--preview", tmp_path / "single.png")
    assert run("ltm-infer", photo, tmp_path / "t.png", *single).code == 0
    for name in ("a", "b"):
        np.testing.assert_array_equal(
            read_levels(tmp_path / "out" / "shot 1" / f"{name}.png"), read_levels(tmp_path / "s.png")
        )
        look = read_levels(tmp_path / "looks" / "shot 1" / f"{name}.png")
        np.testing.assert_array_equal(look, read_levels(tmp_path / "look.png"))
    np.testing.assert_array_equal(read_levels(tmp_path / "single.png"), look)
    wider = run("ltm-infer", tmp_path / "i", *arguments, "--unknown", "9", "--resume")
    assert_one_line(wider, 2, "was started with other settings: --unknown 3%, now --unknown 9")


def test_results_of_other_settings_are_not_taken_for_done(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    """A folder that is begun again at another depth and goes on with --resume has one depth at the end."""
    images, trimaps = tmp_path / "i", tmp_path / "t"
    images.mkdir()
    for number in range(4):
        save_levels(images / f"f.{number}.png", encoded(light, np.uint8))
        save_trimap(trimaps / f"f.{number}.png")
    arguments = command(images / "f.%d.png", trimaps, tmp_path / "out", mean_onnx)[1:]
    assert run("ltm-infer", *arguments).code == 0
    deep = (*arguments, "--depth", "16")
    begun = run("ltm-infer", *deep, "--frames", "2,7-9")
    missing = f"ltm-infer: failed: {images}/f.%d.png: frames 7-9 not found"
    assert (begun.code, begun.err.splitlines()) == (1, ["1/1 f.2", missing])
    assert ", 3 missing, " in begun.out
    parts = [run("ltm-infer", *deep, "--resume", "--frames", "2,7-9", "--shard", part) for part in ("1/2", "2/2")]
    assert [part.err.removesuffix(" not found\n").rpartition(" ")[2] for part in parts] == ["7,9", "8"], (
        "each is told once"
    )
    rest = run("ltm-infer", *deep, "--resume")
    assert rest.err.splitlines() == ["1/3 f.0", "2/3 f.1", "3/3 f.3"]
    assert {read_levels(path).dtype for path in finished(tmp_path / "out")} == {np.dtype(np.uint16)}
    other = run("ltm-infer", *deep, "--resume", "--engine", TINY_ENGINE)
    assert other.code == 2
    assert "other settings: --engine (onnxruntime-cpu 32x32, weights " in other.err.splitlines()[-1]
    assert "; an engine in fp32, now an engine in unknown; " in other.err


def test_one_bar_on_a_terminal(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    """Frames, patches and what remains in one line that nothing else writes over; failures above it."""
    images, trimaps = make_pairs(tmp_path, light, "abcd")
    (images / "c.png").write_bytes(b"")
    arguments = command(images, trimaps, tmp_path / "out", mean_onnx, "--cutout", tmp_path / "cuts")
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=side, env={**os.environ, "TERM": "xterm"})
    os.close(side)
    said = b""
    with contextlib.suppress(OSError):  # what a terminal gives when its other side is closed
        while part := os.read(terminal, 65536):
            said += part
    os.close(terminal)
    process.communicate(timeout=60)
    assert process.returncode == 1
    lines = [line.strip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()))]
    bars = [line for line in lines if line.startswith("frames")]
    assert all(re.fullmatch(r"frames\s+[━╸╺]+\s+\d/4( patch \d+/\d+)?\s+[-\d]:..:..", bar) for bar in bars), bars
    assert len({bar.split("patch")[0] for bar in bars}) > 1
    failed, listed = [line for line in lines if line and line not in bars]
    assert re.fullmatch(r"\d/4 c failed", failed)
    assert listed.startswith("ltm-infer: failed: c: ")


def test_names_that_are_no_text_and_commands_to_a_terminal(
    light: NDArray[Any], tmp_path: Path, mean_onnx: Path
) -> None:
    images, trimaps = tmp_path / "i", tmp_path / "t"
    images.mkdir()
    name = os.fsdecode(b"\xff\x1b[31m")
    for stem in (name, f"bad{name}"):
        save_trimap(trimaps / "plain.png").rename(trimaps / f"{stem}.png")
    save_levels(tmp_path / "plain.png", encoded(light, np.uint8)).rename(images / f"{name}.png")
    (images / f"bad{name}.png").write_bytes(b"no picture")
    result = run("ltm-infer", *command(images, trimaps, tmp_path / "out", mean_onnx)[1:])
    assert result.code == 1
    assert "\x1b" not in result.err + result.out
    assert result.err.splitlines()[0] == r"1/2 bad\udcff\x1b[31m failed"
    assert "Traceback" not in result.err
    assert [path.name for path in finished(tmp_path / "out")] == [f"{name}.png"]
