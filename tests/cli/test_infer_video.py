"""ltm-infer on clips, as a user runs it."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from litematting_deploy.errors import InputError
from litematting_deploy.jobs.clip import _Frames
from litematting_deploy.jobs.clip_trimaps import Pair
from litematting_deploy.runtime.shipped import TINY_ENGINE
from litematting_deploy.video import segments
from litematting_deploy.video.reader import Clip
from tests.cli.frames import COMMAND
from tests.cli.test_infer_interrupted import start
from tests.conftest import Run, assert_one_line, called, run
from tests.video.clips import (
    TIME_BASE,
    grey_clip,
    moving,
    packets,
    read_clip,
    rgb,
    save_clip,
    trimaps,
)

COUNT = 10
TIMES = [0, 1001, 3003, 3503, 4504, 8008, 9009, 10010, 12012, 13013]


def infer(*arguments: str | Path, engine: Path = TINY_ENGINE, by: Callable[..., Run] = run) -> Run:
    result = by("ltm-infer", *arguments, "--no-refine", "--engine", engine)
    kept = [line for line in result.err.splitlines() if "no sidecar" not in line and "/" + str(COUNT) not in line]
    return Run(result.code, result.out, "\n".join(kept))


def tiny_alpha(trimap: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.select([trimap == 255, trimap == 128], [1.0, 0.5], 0.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a variable frame rate, sound and timecode."""
    path = tmp_path_factory.mktemp("clip") / "clip.mov"
    return save_clip(path, moving(COUNT), times=TIMES, sound="aac", timecode="01:02:03:04")


@pytest.fixture(scope="module")
def trimap_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grey_clip(tmp_path_factory.mktemp("trimaps") / "trimaps.mp4", trimaps(COUNT))


def test_prores_4444_with_the_clips_times_sound_and_timecode(clip: Path, trimap_clip: Path, tmp_path: Path) -> None:
    result = infer(clip, trimap_clip, "-o", tmp_path / "matte.mov", "--segment", "4")
    assert (result.code, result.err) == (0, ""), result
    assert "matte.mov (prores4444): 10 of 10 frames matted in" in result.out
    assert [path.name for path in tmp_path.iterdir()] == ["matte.mov"]
    pictures, planes, stream = read_clip(tmp_path / "matte.mov")
    source_pictures, source_planes, source_stream = read_clip(clip)
    assert (stream.context.name, stream.context.profile) == ("prores", "4444")
    assert stream.context.codec_tag == "ap4h"
    assert (stream.time_base, [picture.pts for picture in pictures]) == (TIME_BASE, TIMES)
    assert stream.duration == source_stream.duration
    assert stream.metadata["timecode"] == "01:02:03:04"
    assert packets(tmp_path / "matte.mov", "audio") == packets(clip, "audio")
    for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
        assert getattr(stream.context, name) == getattr(source_pictures[0], name) == 1
    for index, (noisy, *_) in enumerate(read_clip(trimap_clip)[1]):
        luma, _, _, alpha = planes[index]
        grey = np.rint((noisy - 16.0) * 255 / 219)
        assert len(np.unique(grey)) > 3, "compressed"
        trimap = np.select([grey <= 32, grey >= 223], [0, 255], 128).astype(np.uint8)
        inside = tiny_alpha(trimap)
        sure = inside != 0.5
        np.testing.assert_array_equal(alpha[sure] // 4, (inside * 1023)[sure])  # 12 bits of 10
        np.testing.assert_allclose(alpha[~sure] / 4095, 0.5, atol=0.002)
        opaque = trimap == 255
        assert np.abs(luma / 16 - source_planes[index][0])[opaque].max() <= 2


def test_grey_mattes_are_exact_at_black_and_white(clip: Path, tmp_path: Path, mean_onnx: Path) -> None:
    for number, trimap in enumerate(trimaps(COUNT)):
        (tmp_path / "t").mkdir(exist_ok=True)
        Image.fromarray(trimap).save(tmp_path / "t" / f"tri_{number + 7}.png")  # 10 comes after 9
    for name, codec, white, black in (
        ("a.mkv", "ffv1", 65535, 0),
        ("b.mov", "prores422hq", 940, 64),
        ("c.mp4", "h264", 235, 16),
    ):
        result = infer(clip, tmp_path / "t", "-o", tmp_path / name, "--codec", codec, engine=mean_onnx)
        assert (result.code, result.err) == (0, ""), result
        pictures, planes, stream = read_clip(tmp_path / name)
        assert stream.context.color_range == (2 if codec == "ffv1" else 1)
        seconds = [float(picture.pts * stream.time_base) for picture in pictures]
        np.testing.assert_allclose(seconds, np.array(TIMES) / 24000, atol=0.00051 if codec == "ffv1" else 0)
        assert packets(tmp_path / name, "audio")[0][1] == packets(clip, "audio")[0][1]
        sources = read_clip(clip)[1]
        for source, trimap, matte in zip(sources, trimaps(COUNT), planes, strict=True):
            assert np.median(matte[0][18:30, 22:30][trimap[18:30, 22:30] == 255]) == white
            assert np.median(matte[0][trimap == 0]) == black
            for chroma in matte[1:]:
                assert np.ptp(chroma) == 0
            if codec == "ffv1":
                whole = [np.kron(plane, np.ones((2, 2))) if plane.shape[0] == 24 else plane for plane in source]
                wanted = np.where(trimap == 128, rgb(whole, 8).clip(0, 1).mean(axis=2), trimap / 255)
                assert np.abs(matte[0] / 65535 - wanted).mean() < 0.01
                np.testing.assert_array_equal(matte[0][trimap != 128], trimap[trimap != 128].astype(int) * 257)


def test_vp9_with_alpha_a_composite_and_premultiplied(clip: Path, trimap_clip: Path, tmp_path: Path) -> None:
    web, green = tmp_path / "matte.webm", ("--background", "#00ff00")
    refused = infer(clip, trimap_clip, "-o", web)
    assert_one_line(refused, 2, ".webm cannot store the clip's audio (aac)", "--no-sound")
    result = infer(clip, trimap_clip, "-o", web, "--no-sound", "--cutout", tmp_path / "over.mkv", *green)
    assert (result.code, result.err) == (0, ""), result
    pictures, planes, stream = read_clip(web, "libvpx-vp9")
    assert stream.metadata["alpha_mode"] == "1"
    milliseconds = [picture.pts * stream.time_base * 1000 for picture in pictures]
    np.testing.assert_allclose(np.array(milliseconds, float), np.array(TIMES) / 24, atol=0.51)
    for trimap, (_, _, _, alpha) in zip(trimaps(COUNT), planes, strict=True):
        assert np.abs(alpha / 255 - tiny_alpha(trimap)).mean() < 0.02
    over = read_clip(tmp_path / "over.mkv")[1][0]
    trimap = trimaps(1)[0]
    behind = rgb(over, 16)[trimap == 0]
    np.testing.assert_allclose(behind, np.tile([0, 1, 0], (len(behind), 1)), atol=1e-4)
    source = read_clip(clip)[1][0]
    np.testing.assert_allclose(over[0][trimap == 255] / 256, source[0][trimap == 255], atol=0.01)

    cut = tmp_path / "cut.mkv"
    result = infer(clip, trimap_clip, "-o", tmp_path / "m.mkv", "--cutout", cut, "--premultiplied")
    assert result.code == 0, result
    luma, _, _, alpha = read_clip(cut)[1][0]
    np.testing.assert_array_equal(alpha, read_clip(tmp_path / "m.mkv")[1][0][0])
    assert (luma[alpha == 0] == 16 * 256).all()
    straight = (source[0][trimap == 255] - 16.0) / 219
    np.testing.assert_allclose((luma[trimap == 255] / 256 - 16) / 219, straight, atol=1e-4)


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_ended_and_resumed_gives_the_same_frames(ending: signal.Signals, code: int, tmp_path: Path) -> None:
    count = 60
    clip = save_clip(tmp_path / "clip.mov", moving(count), sound="pcm_s16le")
    trimap_clip = grey_clip(tmp_path / "t.mkv", trimaps(count))
    arguments = (str(clip), str(trimap_clip), "--codec", "prores422hq", "--engine", str(TINY_ENGINE), "--segment", "7")
    process = start(str(COMMAND), *arguments, "-o", str(tmp_path / "m.mov"))
    parts = tmp_path / ".m.mov.parts"
    while not (parts / "00000000.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.0005)
    process.send_signal(ending)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert not (tmp_path / "m.mov").exists()
    other = run("ltm-infer", *arguments, "-o", tmp_path / "m.mov", "--resume", "--plan", "grid")
    assert other.code == 2
    assert "was started with other settings: --plan adaptive --margin " in other.err
    resumed = run("ltm-infer", *arguments, "-o", tmp_path / "m.mov", "--resume")
    assert resumed.code == 0, resumed.err
    done = int(resumed.out.partition(" already done")[0].rpartition(" ")[2])
    assert 7 <= done < count
    assert f"{count - done}/{count - done} frame 59" in resumed.err
    assert not parts.exists()
    whole = run("ltm-infer", *arguments, "-o", tmp_path / "whole.mov")
    assert whole.code == 0, whole.err
    for kind in ("video", "audio"):
        assert packets(tmp_path / "m.mov", kind) == packets(tmp_path / "whole.mov", kind)
    again = run("ltm-infer", *arguments, "-o", tmp_path / "m.mov", "--resume")
    assert_one_line(again, 0, "m.mov is up to date")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Has frame 5 of a clip end with an exception; None for no longer."""
    saved = _Frames._save

    def fail(with_: BaseException | None) -> None:
        def save(frames: _Frames, pair: Pair, item: Any, alpha: Any) -> None:
            if pair.frame.index == 5 and with_ is not None:
                raise with_
            saved(frames, pair, item, alpha)

        monkeypatch.setattr(_Frames, "_save", save)

    return fail


@pytest.mark.parametrize(
    ("name", "options", "kept"), [("m.mkv", (), 5), ("m.mp4", (), 5), ("m.mp4", ("--segment", "3"), 3)]
)
def test_an_interrupt_says_what_is_kept(
    name: str, options: tuple[str, ...], kept: int, clip: Path, trimap_clip: Path, tmp_path: Path, failing: Any
) -> None:
    """Frames of H.264 depend on where segments end: all are kept unless their length is asked for."""
    failing(KeyboardInterrupt())
    arguments: tuple[str | Path, ...] = (clip, trimap_clip, "-o", tmp_path / name, *options)
    result = infer(*arguments, by=called)
    assert result.code == 130
    told = f"ltm-infer: interrupted: {kept} of {COUNT} frames kept; continue with --resume"
    assert result.err.splitlines()[-1] == told
    failing(None)
    resumed = infer(*arguments, "--resume", by=called)
    assert f"{COUNT - kept} of {COUNT} frames matted in " in resumed.out
    assert f" s, {kept} already done, " in resumed.out
    assert len(read_clip(tmp_path / name)[0]) == COUNT


def test_a_segment_ends_after_a_while(
    clip: Path, trimap_clip: Path, tmp_path: Path, failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a machine that goes down loses little, however slow the frames are."""
    failing(InputError("the disk is gone"))
    for seconds, firsts in ((60.0, [0]), (0.0, [0, 1, 2, 3, 4])):
        monkeypatch.setattr(segments, "DEFAULT_SEGMENT_S", seconds)
        result = infer(clip, trimap_clip, "-o", tmp_path / "m.mp4", by=called)
        assert f"the disk is gone; 5 of {COUNT} frames kept; fix this and continue with " in result.err
        # A frame after the one that fails may have been under way.
        found = sorted(path.stem for path in (tmp_path / ".m.mp4.parts").glob("0*.json"))
        assert found[: len(firsts)] == [f"{first:08}" for first in firsts]
        assert len(found) <= len(firsts) + 2
    assert infer(clip, trimap_clip, "-o", tmp_path / "n.mp4", "--segment", "4", by=called).code == 1
    assert [path.stem for path in (tmp_path / ".n.mp4.parts").glob("0*.json")] == ["00000000"]


def test_verbose_names_the_engine(clip: Path, trimap_clip: Path, tmp_path: Path) -> None:
    result = infer(clip, trimap_clip, "-o", tmp_path / "m.mkv", "--verbose", by=called)
    assert result.err.splitlines()[0].startswith("engine: onnxruntime-cpu")


def test_a_damaged_frame_ends_the_run_and_its_repair_goes_on(tmp_path: Path) -> None:
    frames = moving(COUNT)
    clip = save_clip(tmp_path / "clip.mov", frames, "mjpeg", "yuvj420p", options={}, tags=(1, 2))
    whole, (_, damaged) = clip.read_bytes(), packets(clip, "video")[6]
    trimap_clip = grey_clip(tmp_path / "t.mkv", trimaps(COUNT))
    clip.write_bytes(whole.replace(damaged, b"\0" * len(damaged)))
    out = tmp_path / "m.mkv"
    result = infer(clip, trimap_clip, "-o", out, "--segment", "4")
    assert_one_line(result, 1, f"{clip}: frame 6 (", f"6 of {COUNT} frames kept", "--resume")
    clip.write_bytes(whole)
    result = infer(clip, trimap_clip, "-o", out, "--segment", "4", "--resume")
    assert result.code == 0, result
    assert "6 already done" in result.out
    assert len(read_clip(out)[0]) == COUNT

    out.unlink()
    clip.write_bytes(whole.replace(damaged, b"\0" * len(damaged)))
    assert infer(clip, trimap_clip, "-o", out, "--segment", "4").code == 1
    save_clip(clip, moving(COUNT, seed=1)[::-1], "mjpeg", "yuvj420p", options={}, tags=(1, 2))
    other = infer(clip, trimap_clip, "-o", out, "--resume")
    assert_one_line(other, 1, "frame 0 (0.000 s): was made from another image or trimap")


def test_turned_clips_and_masks(tmp_path: Path, mean_onnx: Path) -> None:
    """As a phone makes them: the picture is upright in the result, and the mask is of the upright one."""
    clip = save_clip(tmp_path / "clip.mov", moving(3), turned=90)
    masks = [np.rot90(np.where(trimap == 255, np.uint8(255), np.uint8(0))) for trimap in trimaps(3)]
    mask_clip = grey_clip(tmp_path / "mask.mp4", masks)
    out = tmp_path / "m.mkv"
    result = infer(clip, "--mask", mask_clip, "--unknown", "3", "-o", out, engine=mean_onnx)
    assert result.code == 0, result
    alpha = read_clip(out)[1][0][0]
    assert alpha.shape == (64, 48)
    sure = np.rot90(trimaps(1)[0]) == 255
    assert (alpha[sure] == 65535).mean() > 0.3
    assert (alpha[~sure] == 65535).sum() == 0
    luma, *chroma = read_clip(clip)[1][0]
    source = np.rot90(rgb([luma, *(np.kron(plane, np.ones((2, 2))) for plane in chroma)], 8)).clip(0, 1).mean(axis=2)
    unknown = (alpha > 0) & (alpha < 65535)
    assert np.abs(alpha / 65535 - source)[unknown].mean() < 0.01


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what no clip can be matted with."""
    folder = tmp_path_factory.mktemp("wrong")
    grey_clip(folder / "few.mp4", trimaps(COUNT - 1))
    grey_clip(folder / "small.mp4", [trimap[:, :32] for trimap in trimaps(COUNT)])
    grey_clip(folder / "soft.mp4", [np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))] * COUNT)
    (folder / "gap").mkdir()
    for number in (1, 3, 10**11):
        Image.fromarray(trimaps(1)[0]).save(folder / "gap" / f"{number}.png")
    (folder / "text.mov").write_text("no clip")
    return folder


@pytest.mark.parametrize(
    ("code", "arguments", "words"),
    [
        (1, "CLIP WRONG/few.mp4 -o m.mkv", ("has 9 images", "has 10 frames")),
        (1, "CLIP WRONG/gap -o m.mkv", ("number 2 is missing",)),
        (1, "CLIP WRONG/small.mp4 -o m.mkv", ("frame 0", "is 32x48", "is 64x48")),
        (1, "CLIP WRONG/soft.mp4 -o m.mkv", ("frame 0", "looks like a matte", "--mask")),
        (1, "CLIP CLIP -o m.mkv", ("frame 0", "is in colour")),
        (1, "WRONG/text.mov TRIMAPS -o m.mkv", ("cannot be read as a video", "give a complete")),
        (2, "CLIP TRIMAPS -o m.png", (".mov, .webm, .mkv, .mp4",)),
        (2, "CLIP TRIMAPS -o m.mp4 --codec ffv1", ("--codec ffv1 requires .mkv",)),
        (2, "CLIP TRIMAPS -o m.mkv --cutout c.mp4", ("h264 has no alpha channel",)),
        (2, "CLIP TRIMAPS -o m.mkv --premultiplied", ("--premultiplied requires --cutout",)),
        (
            2,
            "CLIP TRIMAPS -o m.mkv --depth 16",
            ("--depth does not apply to a clip (it applies to a photo and a folder)",),
        ),
        (2, "CLIP TRIMAPS -o CLIP", ("would overwrite an input",)),
        (2, "CLIP TRIMAPS -o m.mkv --preview m.mkv", ("m.mkv: two results would have this name",)),
        (2, "a.png b.png -o m.mkv --codec h264", ("--codec does not apply to a photo (it applies to a clip)",)),
    ],
)
def test_a_mistake_is_one_line(
    code: int,
    arguments: str,
    words: tuple[str, ...],
    clip: Path,
    trimap_clip: Path,
    wrong: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"CLIP": str(clip), "TRIMAPS": str(trimap_clip)}
    said = [places.get(word, word.replace("WRONG", str(wrong))) for word in arguments.split()]
    result = infer(*said, by=called)
    reason = (result.err.splitlines() or [str(result)])[-1]
    assert_one_line(Run(result.code, "", reason), code, *words)


def test_a_soft_matte_may_be_a_trimap_where_it_is_said_to_be(clip: Path, wrong: Path, tmp_path: Path) -> None:
    result = infer(clip, wrong / "soft.mp4", "-o", tmp_path / "m.mkv", "--trimap-encoding", "between")
    assert result.code == 0, result


def test_clips_need_an_extra(clip: Path, trimap_clip: Path, tmp_path: Path) -> None:
    missing = run("ltm-infer", clip, trimap_clip, "-o", tmp_path / "m.mkv", block="av")
    assert_one_line(missing, 1, "needs av, which is not installed: ", "[video]'")


def test_clips_are_files_on_this_machine(clip: Path, trimap_clip: Path, tmp_path: Path) -> None:
    """Whatever a name looks like; a list of clips is no clip, and nothing waits for a pipe."""
    (tmp_path / clip.name).write_bytes(clip.read_bytes())
    os.mkfifo(tmp_path / "pipe.mp4")
    out = ("-o", tmp_path / "m.mkv")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        for name in (f"http://{address}/x.mp4", f"tcp:{address}.mp4"):
            result = infer(name, trimap_clip, *out, by=called)
            assert_one_line(result, 1, f"{name}: no such file; give the path of a clip on this machine")
        for name in (f"tcp:{address}.mp4", "100%25 %03d.mp4"):
            (tmp_path / name).write_bytes(clip.read_bytes())
        result = run("ltm-infer", f"tcp:{address}.mp4", trimap_clip, *out, "--engine", TINY_ENGINE, cwd=tmp_path)
        assert result.code == 0, result
        with pytest.raises(BlockingIOError):
            server.accept()
    assert len(read_clip(tmp_path / "m.mkv")[0]) == COUNT
    assert sum(1 for _ in Clip(str(tmp_path / "100%25 %03d.mp4")).frames()) == COUNT
    assert_one_line(infer(tmp_path / "pipe.mp4", trimap_clip, *out, by=called), 1, "pipe.mp4: not a regular file")
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {clip.name}\n")
    result = infer(tmp_path / "list.mp4", trimap_clip, *out, by=called)
    assert_one_line(
        result, 1, "list.mp4: cannot be read as a video; give a complete MOV", "or WMV file, not a list of clips"
    )


def test_times_that_begin_late(tmp_path: Path) -> None:
    """The sound begins at once and the picture later: so in the result; what begins at any time, at zero."""
    times = [2002 + 1001 * index for index in range(4)]
    trimap_clip = grey_clip(tmp_path / "t.mkv", trimaps(4))
    late = save_clip(tmp_path / "late.mov", moving(4), times=times, sound="pcm_s16le")
    for name, source in (("m.mov", late), ("m.mkv", save_clip(tmp_path / "late.ts", moving(4), times=times))):
        result = infer(source, trimap_clip, "-o", tmp_path / name, "--timings", tmp_path / "t.json")
        assert result.code == 0, result
        pictures, _, stream = read_clip(tmp_path / name)
        begins = 2002 / 24000 if name == "m.mov" else 0
        assert float(pictures[0].pts * stream.time_base) == pytest.approx(begins, abs=0.001)
        assert len(pictures) == 4
    stages = {stage["name"] for stage in json.loads((tmp_path / "t.json").read_text())["stages"]}
    assert {"decode photo", "encode", "join"} <= stages


def test_masks_of_a_clip_need_their_option(clip: Path, tmp_path: Path) -> None:
    """Trimaps without any unknown pixel are masks; frames without an object are normal beside others."""
    sure = [np.where(trimap == 128, np.uint8(255), trimap) for trimap in trimaps(COUNT)]
    hard = grey_clip(tmp_path / "hard.mkv", sure, "ffv1")
    out = ("-o", tmp_path / "a.mkv")
    assert_one_line(infer(clip, hard, *out), 1, "hard.mkv: has no unknown pixels", "--mask", "--allow-no-unknown")
    assert not (tmp_path / "a.mkv").exists()
    result = infer(clip, hard, *out, "--allow-no-unknown")
    assert result.code == 0, result
    for trimap, (matte, *_) in zip(sure, read_clip(tmp_path / "a.mkv")[1], strict=True):
        np.testing.assert_array_equal(matte, trimap.astype(int) * 257)
    empty = [np.zeros_like(trimap) for trimap in sure[:-1]]
    late = grey_clip(tmp_path / "late.mkv", [*empty, trimaps(COUNT)[-1]], "ffv1")
    result = infer(clip, late, "-o", tmp_path / "b.mkv")
    assert result.code == 0, result
    assert "without sure foreground or background: 9 (frame 0: no sure foreground)" in result.out


def test_dim_masks_of_a_clip(clip: Path, tmp_path: Path) -> None:
    sure = [trimap == 255 for trimap in trimaps(COUNT)]
    dim = grey_clip(tmp_path / "dim.mkv", [np.where(inside, np.uint8(100), np.uint8(0)) for inside in sure], "ffv1")
    out = ("-o", tmp_path / "a.mkv", "--unknown", "2")
    words = ("dim.mkv: no mask reaches the top", "frame 0", "of 255", "--mask-threshold", "--mask-label")
    assert_one_line(infer(clip, "--mask", dim, *out), 1, *words)
    result = infer(clip, "--mask", dim, *out, "--mask-threshold", "50")
    assert result.code == 0, result
    for inside, (matte, *_) in zip(sure, read_clip(tmp_path / "a.mkv")[1], strict=True):
        np.testing.assert_array_equal(matte == 65535, distance_transform_edt(inside) > 2)
        np.testing.assert_array_equal(matte == 0, distance_transform_edt(~inside) > 2)


def test_a_mask_that_fades_in_a_clip(clip: Path, tmp_path: Path) -> None:
    """As a clip and as files; the last frame alone tells the scale."""
    sure = [trimap == 255 for trimap in trimaps(COUNT)]
    greys = [min(20 + 26 * index, 255) for index in range(COUNT)]
    assert (greys[-2] < 250, greys[-1]) == (True, 254)
    masks = [np.where(inside, np.uint8(grey), np.uint8(0)) for inside, grey in zip(sure, greys, strict=True)]
    (tmp_path / "m").mkdir()
    for index, mask in enumerate(masks):
        Image.fromarray(mask).save(tmp_path / "m" / f"{index}.png")
    for source in (tmp_path / "m", grey_clip(tmp_path / "fade.mkv", masks, "ffv1")):
        out = tmp_path / f"{source.stem}_alpha.mkv"
        result = infer(clip, "--mask", source, "-o", out, "--unknown", "2", by=called)
        assert result.code == 0, result
        assert "without sure foreground or background: 9 (frame 0: no sure foreground)" in result.out
        for inside, (matte, *_) in zip(sure, read_clip(out)[1], strict=True):
            np.testing.assert_array_equal(matte == 0, distance_transform_edt(~inside) > 2)
        assert (matte == 65535).any()
