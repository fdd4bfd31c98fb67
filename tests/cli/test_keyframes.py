"""--keyframes and --steady, as a user runs them on folders and clips."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.evaluation.metrics import sad
from litematting_deploy.evaluation.temporal import dtssd
from litematting_deploy.jobs.api import matte_clip, matte_folder
from litematting_deploy.jobs.clip import _Frames
from litematting_deploy.jobs.clip_trimaps import Pair
from litematting_deploy.jobs.cluster.pipeline import matte_on_cluster
from litematting_deploy.runtime.shipped import TINY_ENGINE
from litematting_deploy.specs import JobSpec, OutputSpec
from tests.conftest import EXAMPLE, Run, assert_one_line, called, run
from tests.matting.test_carrying import COUNT, frame
from tests.video.clips import read_clip, save_clip

FIRST = 1001
# A folder of scripts, which is no package to mypy.
moving_scenes: Any = importlib.import_module("benchmarks.moving_scenes")


def infer(*arguments: str | Path, by: Callable[..., Run] = called) -> Run:
    result = by("ltm-infer", *arguments, "--no-refine", "--engine", TINY_ENGINE)
    kept = [line for line in result.err.splitlines() if "no sidecar" not in line]
    return Run(result.code, result.out, "\n".join(kept))


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def seen(path: Path) -> NDArray[np.int_]:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames `i` of a square that moves, also as `clip.mkv`, all trimaps `t`, and trimaps `k` and masks `m` of the
    first and the last alone."""
    folder, planes = tmp_path_factory.mktemp("shot"), []
    for index in range(COUNT):
        grey, trimap = frame(index)
        name = f"frame_{FIRST + index}.png"
        save(folder / "i" / name, np.repeat(grey[:, :, None], 3, axis=2))
        save(folder / "t" / name, trimap)
        if index in (0, COUNT - 1):
            save(folder / "k" / name, trimap)
            save(folder / "m" / name, np.where(trimap == 255, np.uint8(255), np.uint8(0)))
        luma = np.rint(grey / 255.0 * 219 + 16).astype(np.uint16)
        planes.append([luma, np.full_like(luma, 128), np.full_like(luma, 128)])
    save_clip(folder / "clip.mkv", planes)
    return folder


def check_alphas(alphas: list[NDArray[np.int_]], top: int, least: float = 0.75) -> None:
    """What is sure of the true trimap is nowhere wrong; at least a share of the foreground is still sure."""
    for index, alpha in enumerate(alphas):
        true = frame(index)[1]
        assert (alpha[true == 255] == top).mean() > least
        assert (alpha[true == 0] == 0).mean() > 0.75
        assert (alpha[true == 255] > 0).all()
        assert (alpha[true == 0] < top).all()


def test_a_folder_with_two_keyframes(shot: Path, tmp_path: Path) -> None:
    arguments = (shot / "i", shot / "k", "-o", tmp_path / "out", "--preview", tmp_path / "look")
    without = infer(*arguments)
    assert without.code == 1
    assert "set --keyframes" in without.err
    result = infer(*arguments, "--keyframes", by=run)
    assert result.code == 0, result.err
    assert f"{COUNT} of {COUNT} frames" in result.out
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert names == [f"frame_{FIRST + index}.png" for index in range(COUNT)]
    check_alphas([seen(tmp_path / "out" / name) for name in names], 255)
    # The preview shows the carried band in magenta where the first frame has it, shifted.
    looks = [seen(tmp_path / "look" / name) for name in names]
    bands = [(look[:, :, 0] - look[:, :, 1] > 40).sum() for look in looks]
    assert min(bands) > 0.6 * bands[0] > 0


def test_resume_and_shards_of_a_folder_with_keyframes(shot: Path, tmp_path: Path) -> None:
    images, keys = tmp_path / "i", tmp_path / "k"
    shutil.copytree(shot / "i", images)
    shutil.copytree(shot / "k", keys)
    whole: tuple[str | Path, ...] = ("--keyframes", "--resume")
    for part in ("1/2", "2/2"):
        assert infer(images, keys, "-o", tmp_path / "parts", *whole, "--shard", part).code == 0
    assert infer(images, keys, "-o", tmp_path / "whole", *whole).code == 0
    made = sorted((tmp_path / "whole").glob("*.png"))
    for path in made:
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes()
    again = infer(images, keys, "-o", tmp_path / "whole", *whole)
    assert f"0 of {COUNT} frames" in again.out
    # All frames are made from these, and so they are made again when one changes.
    (keys / f"frame_{FIRST}.png").touch()
    again = infer(images, keys, "-o", tmp_path / "whole", *whole)
    assert f"{COUNT - 1} of {COUNT} frames" in again.out
    assert_one_line(
        infer(images, keys, "-o", tmp_path / "whole", "--resume"),
        2,
        "other settings: --keyframes, now without --keyframes",
    )


@pytest.mark.parametrize("kind", ["trimaps", "masks"])
def test_a_clip_with_two_keyframes_and_a_preview(kind: str, shot: Path, tmp_path: Path) -> None:
    given: tuple[str | Path, ...] = (shot / "k",) if kind == "trimaps" else ("--mask", shot / "m", "--unknown", "8")
    out, look = tmp_path / "m.mkv", tmp_path / "look.mkv"
    result = infer(shot / "clip.mkv", *given, "-o", out, "--keyframes", "--first-number", str(FIRST), "--preview", look)
    assert result.code == 0, result.err
    # The band of a mask takes 8 of the 48 pixels of the foreground on each side.
    check_alphas([planes[0].astype(int) for planes in read_clip(out)[1]], 65535, 0.75 if kind == "trimaps" else 0.3)
    pictures = read_clip(look)[1]
    assert len(pictures) == COUNT
    for index, planes in enumerate(pictures):
        # Magenta: both colour differences above grey.
        tinted = (planes[1].astype(int) > 128 * 256 + 2000) & (planes[2].astype(int) > 128 * 256 + 2000)
        true = frame(index)[1]
        scale = np.array(true.shape) // np.array(tinted.shape)
        near = true[:: scale[0], :: scale[1]]
        assert tinted[near == 128].mean() > 0.4
        assert tinted[near == 0].mean() < 0.3


def test_one_keyframe_is_warned_of(shot: Path, tmp_path: Path) -> None:
    """Its other side has none; frames are called by the numbers that people use."""
    key = tmp_path / "k" / f"frame_{FIRST + 2}.png"
    save(key, frame(2)[1])
    looks = ("--keyframes", "--verbose", "--preview")
    clip = infer(shot / "clip.mkv", key.parent, *looks, tmp_path / "look.mkv", "--first-number", str(FIRST))
    assert clip.code == 0, clip.err
    lines = clip.err.splitlines()
    assert lines[0] == "1 keyframe (1003), carried to 8 frames"
    assert lines[1].startswith("ltm-infer: frame 1001 to frame 1002: before the first keyframe, trimaps are carried ")
    assert lines[1].endswith("; draw a keyframe for frame 1001")
    assert lines[2].startswith("ltm-infer: frame 1004 to frame 1009: after the last keyframe, ")
    assert lines[2].endswith("; draw a keyframe for frame 1009")
    assert lines[3:] == [f"{index + 1}/{COUNT} frame {FIRST + index}" for index in range(COUNT)]
    folder = infer(shot / "i", key.parent, *looks, tmp_path / "looks").err.splitlines()
    assert folder[0] == "1 keyframe (frame_1003), carried to 8 frames"
    assert folder[2].startswith("ltm-infer: frame_1004 to frame_1009: after the last keyframe, ")
    both = infer(shot / "i", shot / "k", *looks, tmp_path / "looks")
    assert "one side only" not in both.err


@pytest.mark.parametrize("kind", ["trimap", "mask"])
def test_keyframes_that_contradict_each_other_are_warned_of(kind: str, shot: Path, tmp_path: Path) -> None:
    """The last one marks what the first one says is background."""
    elsewhere = np.zeros_like(frame(0)[1])
    elsewhere[:20, :40] = 255
    for index, key in ((0, frame(0)[1]), (COUNT - 1, elsewhere)):
        values = key if kind == "trimap" else np.where(key == 255, np.uint8(255), np.uint8(0))
        save(tmp_path / "k" / f"frame_{FIRST + index}.png", values)
    given = (tmp_path / "k",) if kind == "trimap" else ("--mask", tmp_path / "k", "--unknown", "3")
    looks = (*given, "--keyframes", "--preview")
    said = "the keyframes before and after contradict each other about 100% of the subject, which is unknown in these "
    clip = infer(shot / "clip.mkv", *looks, tmp_path / "look.mkv", "--first-number", str(FIRST))
    assert f"ltm-infer: frame 1002 to frame 1008: {said}frames; check both keyframes, or draw " in clip.err
    folder = infer(shot / "i", *looks, tmp_path / "looks")
    assert f"ltm-infer: frame_1002 to frame_1008: {said}frames; " in folder.err
    assert folder.err.count("contradict") == clip.err.count("contradict") == 1, "once for the frames between"
    assert "contradict" not in infer(shot / "i", shot / "k", "--keyframes", "--preview", tmp_path / "looks").err


@pytest.mark.parametrize("options", [(), ("--steady",)], ids=["plain", "steady"])
def test_a_clip_with_keyframes_is_resumed(
    options: tuple[str, ...], shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames after those that are done have the same alphas as without a break."""
    whole, broken = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
    arguments: tuple[str | Path, ...]
    arguments = (shot / "clip.mkv", shot / "k", "--keyframes", "--first-number", str(FIRST), "--segment", "3", *options)
    assert infer(*arguments, "-o", whole).code == 0
    saved = _Frames._save

    def failing(frames: _Frames, pair: Pair, item: Any, alpha: Any) -> None:
        if pair.frame.index == 5:
            raise InputError("the disk is gone")
        saved(frames, pair, item, alpha)

    with monkeypatch.context() as patched:
        patched.setattr(_Frames, "_save", failing)
        assert f"5 of {COUNT} frames kept" in infer(*arguments, "-o", broken).err
    resumed = infer(*arguments, "-o", broken, "--resume")
    assert resumed.code == 0, resumed.err
    assert "5 already done" in resumed.out
    for one, other in zip(read_clip(broken)[1], read_clip(whole)[1], strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_steady_averages_a_folder_and_knows_its_neighbours(tmp_path: Path, mean_onnx: Path) -> None:
    """The alpha of this network is the brightness that it sees, of which noise is an error; the camera stands still."""
    rng, (still, trimap) = np.random.default_rng(0), frame(0)
    true = 0.5 * still + 64
    for index in range(COUNT):
        name = f"frame_{FIRST + index}.png"
        levels = true[:, :, None] + rng.normal(0, 4, (*true.shape, 1)).repeat(3, axis=2)
        save(tmp_path / "i" / name, np.rint(levels.clip(0, 255)).astype(np.uint8))
        save(tmp_path / "t" / name, trimap)
    # Refinement, which is the default, would not follow what this network says.
    options: dict[str, Any] = {"engine": mean_onnx, "resume": True, "refine": False}
    matte_folder(tmp_path / "i", tmp_path / "t", tmp_path / "plain", **options)
    matte_folder(tmp_path / "i", tmp_path / "t", tmp_path / "steady", steady=True, **options)
    matte_folder(
        tmp_path / "i" / "frame_%d.png",
        tmp_path / "t" / "frame_%d.png",
        tmp_path / "some",
        steady=True,
        frames="1003-1009x3",
        **options,
    )
    errors: dict[str, list[float]] = {"plain": [], "steady": []}
    for index in range(1, COUNT - 1):
        name = f"frame_{FIRST + index}.png"
        for folder, found in errors.items():
            found.append(np.abs(seen(tmp_path / folder / name) - true)[trimap == 128].mean())
    assert np.mean(errors["steady"]) < 0.8 * np.mean(errors["plain"])
    chosen = sorted(path.name for path in (tmp_path / "some").glob("*.png"))
    assert chosen == ["frame_1003.png", "frame_1006.png", "frame_1009.png"]
    for name in chosen:
        # Neighbours that are not written are matted for it.
        np.testing.assert_array_equal(seen(tmp_path / "some" / name), seen(tmp_path / "steady" / name))


@pytest.mark.slow
def test_steady_lowers_the_error_over_time_of_a_drawn_clip(tmp_path: Path) -> None:
    """With the shipped weights, against exact truth; `benchmarks/clips.py` does it with more and longer clips."""
    scene = moving_scenes.draw(2, [EXAMPLE], size=128, count=3)
    for index, (image, trimap) in enumerate(zip(scene.images, scene.trimaps, strict=True)):
        save(tmp_path / "i" / f"{index}.png", image)
        save(tmp_path / "t" / f"{index}.png", trimap)
    errors = {}
    for name, options in (("plain", ("--no-refine",)), ("steady", ("--steady",))):
        result = called("ltm-infer", tmp_path / "i", tmp_path / "t", "-o", tmp_path / name, *options)
        assert result.code == 0, result.err
        found = [seen(tmp_path / name / f"{index}.png").astype(np.float32) / 255 for index in range(3)]
        mean_sad = np.mean([sad(*each) for each in zip(found, scene.alphas, scene.trimaps, strict=True)])
        errors[name] = dtssd(found, list(scene.alphas)), mean_sad
    assert errors["steady"][0] <= 0.85 * errors["plain"][0]
    assert errors["steady"][1] <= errors["plain"][1]


@pytest.mark.parametrize(
    ("code", "arguments", "words"),
    [
        (
            2,
            "SHOT/i/frame_1001.png SHOT/k/frame_1001.png -o a.png --keyframes",
            ("--keyframes does not apply to a photo",),
        ),
        (
            2,
            "SHOT/i SHOT/k -o out --steady --shard 1/2",
            ("--steady needs the frames before and after each frame", "--shard", "--frames"),
        ),
        (2, "SHOT/i SHOT/k -o out --keyframes --first-number 3", ("--first-number does not apply to a folder",)),
        (2, "SHOT/clip.mkv SHOT/k -o m.mkv --first-number 3", ("--first-number requires --keyframes", "--keyframes")),
        (1, "SHOT/clip.mkv SHOT/k -o m.mkv", ("number 1002 is missing", "--keyframes")),
        (1, "SHOT/clip.mkv SHOT/k -o m.mkv --keyframes", ("are numbered 0 to 8", "--first-number")),
        (
            1,
            "SHOT/clip.mkv SHOT/clip.mkv -o m.mkv --keyframes",
            ("keyframes for a clip must be numbered images", "name it keys/trimap.0000.png and give the folder keys"),
        ),
        (
            1,
            "SHOT/clip.mkv --mask SHOT/m/frame_1001.png -o m.mkv --keyframes --first-number 1001",
            ("for the first frame alone, name it keys/mask.1001.png and give the folder keys",),
        ),
        (
            1,
            "SHOT/clip.mkv --mask SHOT/m/frame_1001.png -o m.mkv",
            ("one image per frame; if you have a mask of some frames only, or of one, add --keyframes",),
        ),
        (1, "SHOT/i SHOT/none -o out --keyframes", ("none of its frames has a trimap in", "draw at least one")),
    ],
)
def test_a_mistake_is_one_line(
    code: int, arguments: str, words: tuple[str, ...], shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (shot / "none").mkdir(exist_ok=True)
    save(shot / "none" / "other.png", frame(0)[1])
    result = infer(*(word.replace("SHOT", str(shot)) for word in arguments.split()))
    reason = (result.err.splitlines() or [str(result)])[-1]
    assert_one_line(Run(result.code, "", reason), code, *words)


def test_keyframes_too_far_apart_are_refused(tmp_path: Path) -> None:
    image, trimap = frame(0)
    for index in range(260):
        (tmp_path / "i").mkdir(exist_ok=True)
        (tmp_path / "i" / f"{index}.png").touch()
    save(tmp_path / "i" / "0.png", image)
    save(tmp_path / "k" / "0.png", trimap)
    result = infer(tmp_path / "i", tmp_path / "k", "-o", tmp_path / "out", "--keyframes")
    assert_one_line(result, 1, "1.png: the next 259 frames have no keyframe", "at most 250 frames", "draw a keyframe")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["keyframes", "steady"])
def test_a_cluster_refuses_what_needs_an_order(option: str, shot: Path, tmp_path: Path) -> None:
    job = JobSpec.of(
        {option: True}, images=str(shot / "i"), source=str(shot / "k"), output=OutputSpec(alpha=str(tmp_path / "out"))
    )
    with pytest.raises(UsageError, match=f"`{option}` needs the frames in order"):
        matte_on_cluster(job)


def test_python_programs_have_the_same(shot: Path, tmp_path: Path, mean_onnx: Path) -> None:
    result = matte_clip(
        shot / "clip.mkv",
        shot / "k",
        tmp_path / "m.mkv",
        keyframes=True,
        first_number=FIRST,
        steady=True,
        engine=mean_onnx,
    )
    assert (result.total, result.failures) == (COUNT, {})
    for index, planes in enumerate(read_clip(tmp_path / "m.mkv")[1]):
        assert (planes[0][frame(index)[1] == 255] == 65535).mean() > 0.75


def test_ltm_eval_reports_clips(tmp_path: Path, mean_onnx: Path) -> None:
    for index in range(3):
        grey, trimap = frame(index)
        for folder, pixels in (
            ("image", np.repeat(grey[:, :, None], 3, axis=2)),
            ("trimap1", trimap),
            ("alpha", np.where(trimap == 128, np.uint8(128), trimap)),
        ):
            save(tmp_path / "set" / folder / "walk" / f"{index:04}.png", pixels)
            if index == 0:
                save(tmp_path / "set" / folder / "single.png", pixels)
    report = tmp_path / "page"
    result = called(
        "ltm-eval", tmp_path / "set", "--engine", mean_onnx, "--json", tmp_path / "e.json", "--report", report
    )
    assert result.code == 0, result.err
    content = json.loads((tmp_path / "e.json").read_text())
    assert [image["name"] for image in content["images"]] == ["single", "walk/0000", "walk/0001", "walk/0002"]
    (clip,) = content["clips"]
    assert (clip["name"], clip["frames"]) == ("walk", 3)
    alphas = []
    for index in range(3):
        grey, trimap = frame(index)
        alphas.append(np.where(trimap == 128, grey / 255 - 128 / 255, 0))
    wanted = np.mean([np.sqrt(np.square(alphas[t + 1] - alphas[t]).sum()) for t in range(2)])
    assert clip["dtssd"] == pytest.approx(wanted, rel=0.01)
    assert 0 < clip["messddt"] < np.mean([np.square(alpha).sum() for alpha in alphas]) * 2
    for text in (result.out, (report / "index.html").read_text()):
        assert "dtSSD" in text
        assert f"{clip['dtssd']:.3f}" in text
