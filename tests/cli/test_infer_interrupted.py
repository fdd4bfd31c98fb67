"""ltm-infer on folders of frames that is killed, has no room or is not alone: what is there is whole, and goes on."""

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.cli.frames import BOX, PROFILE, command, finished, make_frames, timecode
from tests.cli.test_infer_colour import foreground
from tests.conftest import EXAMPLE_TRIMAP, ROOT, run
from tests.images.files import read_exr, read_levels
from tests.images.light import decoded, encoded

SLOWED = Path(__file__).parent / "slowed"


def start(*arguments: str, fsync_s: float = 0) -> "subprocess.Popen[str]":
    """As from a terminal: SIGHUP ends it, also where the tests themselves run under nohup."""
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": f"{SLOWED}{os.pathsep}{ROOT}", "LTM_FSYNC_S": str(fsync_s)},
    )


def drafts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".ltm-infer.json"]


def wait_for(count: int, folder: Path, process: "subprocess.Popen[str]") -> None:
    """Until so many files are finished and one more is being written."""
    before = set(drafts(folder))
    while len(finished(folder)) < count or not set(drafts(folder)) - before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def read_all(folder: Path) -> dict[Path, int]:
    """Every finished file can be read; their times."""
    for path in finished(folder):
        assert (read_exr(path)[0] if path.suffix == ".exr" else read_levels(path)) is not None
    return {path: path.stat().st_mtime_ns for path in finished(folder)}


@pytest.mark.slow
def test_killed_twice_and_resumed(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    images, trimaps = make_frames(tmp_path, light)
    corrupt = images / "shot 1" / "frame.0003.png"
    corrupt.write_bytes(corrupt.read_bytes()[:900])
    output, cuts = tmp_path / "out", tmp_path / "cut outs"
    arguments = command(images, trimaps, output, mean_onnx, "--cutout", cuts, "--resume", "--no-refine")
    for number, (kill, code) in enumerate(((signal.SIGKILL, -9), (signal.SIGTERM, 143))):
        process = start(*arguments, fsync_s=0.3)
        wait_for(2 + 3 * number, cuts, process)
        process.send_signal(kill)
        process.communicate(timeout=60)
        assert process.returncode == code
        before = read_all(output)
        assert 0 < len(before) <= len(read_all(cuts)) + 1
        assert len(drafts(cuts)) == 1, "SIGKILL leaves one, SIGTERM none of its own"
    (draft,) = drafts(cuts)
    os.utime(draft, (1, 1))
    done = run("ltm-infer", *arguments[1:])
    assert done.code == 1, done
    *lines, failed = done.err.strip().splitlines()
    assert failed == f"ltm-infer: failed: shot 1/frame.0003: {corrupt}: " + failed.split(f"{corrupt}: ")[1]
    assert "damaged or truncated image" in failed
    assert len(lines) < 12, "what was done is not done again"
    assert "of 12 frames" in done.out
    assert "1 failed" in done.out
    assert not drafts(cuts), "old ones are cleared away"
    kept = [path for path, written in before.items() if path.stat().st_mtime_ns == written]
    assert len(kept) >= len(before) - 1  # one may have had its alpha and not yet its cut-out
    names = {path.relative_to(images).with_suffix("") for path in finished(images)} - {Path("shot 1/frame.0003")}
    assert {path.relative_to(output).with_suffix("") for path in finished(output)} == names
    for image in finished(images):
        if image != corrupt:
            check_frame(image, images, output, cuts)


def check_frame(image: Path, images: Path, output: Path, cuts: Path) -> None:
    """Depth, metadata and colours of the results. The alpha of this network is the mean of what it sees; colours as
    light, beside those estimated on NumPy's light."""
    kind = ".exr" if image.suffix == ".exr" else ".png"
    alpha_file = (output / image.relative_to(images)).with_suffix(kind)
    cutout_file = (cuts / image.relative_to(images)).with_suffix(kind)
    if kind == ".exr":
        planes, _ = read_exr(image)
        photo = np.stack([planes[name] for name in "RGB"], axis=2)
        (alpha,), alpha_header = read_exr(alpha_file)[0].values(), read_exr(alpha_file)[1]
        cut, header = read_exr(cutout_file)
        for name, wanted in timecode(int(image.stem[-4:])).items():
            assert str(header[name]) == str(alpha_header[name]) == str(wanted)
        assert {plane.dtype for plane in (alpha, *cut.values())} == {np.dtype(np.float16)}
        np.testing.assert_array_equal(cut["A"], alpha)
        colours, weight = np.stack([cut[name] for name in "RGB"], axis=2), alpha.astype(np.float64)
        seen, step = encoded(photo, np.uint8), 2.0**-11
    else:
        photo, alpha, levels = read_levels(image), read_levels(alpha_file), read_levels(cutout_file)
        assert alpha.dtype == levels.dtype == photo.dtype
        if image.suffix == ".png":
            with Image.open(cutout_file) as picture, Image.open(alpha_file) as grey:
                assert picture.info["icc_profile"] == PROFILE
                assert "icc_profile" not in grey.info
                for result in (picture, grey):
                    assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        np.testing.assert_array_equal(levels[:, :, 3], alpha)
        top = np.iinfo(alpha.dtype).max
        weight = alpha / top
        colours = decoded(levels[:, :, :3]) * weight[:, :, None]
        seen, step = (photo >> 8 if photo.dtype == np.uint16 else photo), 1 / top
    with Image.open(EXAMPLE_TRIMAP) as trimap:
        opaque, unknown = (np.asarray(trimap)[BOX] == value for value in (255, 128))
    assert opaque.any()
    np.testing.assert_allclose(colours[opaque], decoded(photo)[opaque], atol=1e-6)
    np.testing.assert_allclose(weight[unknown], seen[unknown].mean(axis=1) / 255, atol=0.51 * step)
    np.testing.assert_array_equal(weight[~unknown], opaque[~unknown])
    difference = np.abs(colours - foreground(photo, weight) * weight[:, :, None])
    assert difference.max() <= 0.02
    assert difference.mean() <= 5e-4
    assert ((weight > 0) & (weight < 1)).sum() > 100


@pytest.mark.parametrize(
    ("ending", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGHUP, 129, "stopped")]
)
def test_interrupted(
    ending: signal.Signals, code: int, word: str, light: NDArray[Any], tmp_path: Path, mean_onnx: Path
) -> None:
    images, trimaps = make_frames(tmp_path, light)
    arguments = command(images, trimaps, tmp_path / "out", mean_onnx)
    process = start(*arguments, fsync_s=0.2)
    wait_for(1, tmp_path / "out", process)
    process.send_signal(ending)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    (last,) = [line for line in err.splitlines() if line and "/12 " not in line]
    told = re.fullmatch(rf"ltm-infer: {word}: (\d+) of 12 frames kept; continue with --resume", last)
    assert told, last
    assert not drafts(tmp_path / "out")
    # The one that was being written is finished, too.
    assert 0 < int(told[1]) == len(read_all(tmp_path / "out")) < 12
    assert run("ltm-infer", *arguments[1:], "--resume").code == 0
    assert len(read_all(tmp_path / "out")) == 12


def test_a_full_disk_ends_the_run(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    images, trimaps = make_frames(tmp_path, light)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # as a full disk: writing on fails, and says so
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        command(images, trimaps, tmp_path / "out", mean_onnx),
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    last = done.stderr.strip().splitlines()[-1]
    assert "cannot be written" in last
    assert "Traceback" not in done.stderr
    assert len(read_all(tmp_path / "out")) < 12
    assert not drafts(tmp_path / "out")
    assert run("ltm-infer", *command(images, trimaps, tmp_path / "out", mean_onnx)[1:], "--resume").code == 0
    assert len(read_all(tmp_path / "out")) == 12


@pytest.mark.parametrize(("options", "words"), [("size=28k", "No space left"), ("ro", "Read-only file system")])
def test_a_small_disk_and_a_read_only_one(
    options: str, words: str, light: NDArray[Any], tmp_path: Path, mean_onnx: Path
) -> None:
    images, trimaps = make_frames(tmp_path, light)
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    inside = f"mount -t tmpfs -o {options} tmpfs {shlex.quote(str(disk))} || exit 77\n"
    inside += shlex.join(command(images, trimaps, disk / "out", mean_onnx))
    inside += f"\ncode=$?; cp -r {shlex.quote(str(disk))} {shlex.quote(str(kept))}; exit $code"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", inside], capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 1, done
    assert words in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not drafts(kept)
    assert len(read_all(kept)) < 12


def test_two_runs_at_once_leave_whole_frames(light: NDArray[Any], tmp_path: Path, mean_onnx: Path) -> None:
    images, trimaps = make_frames(tmp_path, light)
    both = [start(*command(images, trimaps, tmp_path / "out", mean_onnx), fsync_s=0.05) for _ in range(2)]
    while any(process.poll() is None for process in both):
        read_all(tmp_path)
    for process in both:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    assert len(finished(tmp_path / "out")) == 12
    assert not drafts(tmp_path / "out")
    content = json.loads((tmp_path / "out" / ".ltm-infer.json").read_text())
    assert content["engine"].startswith("onnxruntime-cpu 32x32, weights ")
    assert (content["device"], content["precision"]) == ("cpu", "fp32")
