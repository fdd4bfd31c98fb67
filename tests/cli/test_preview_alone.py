"""--preview without -o: trimaps are checked before any network runs."""

import shutil
from pathlib import Path

import pytest

from litematting_deploy.errors import UsageError
from litematting_deploy.jobs.api import matte_clip
from litematting_deploy.jobs.cluster.pipeline import matte_on_cluster
from litematting_deploy.specs import JobSpec, OutputSpec
from tests.cli.test_keyframes import FIRST, infer, seen
from tests.cli.test_keyframes import shot as shot  # a fixture
from tests.conftest import assert_one_line, called, run
from tests.matting.test_carrying import COUNT
from tests.video.clips import read_clip

# No engine is opened, or there would be an error.
NO_ENGINE = ("--engine", "no_such.onnx")


def test_a_photo(shot: Path, tmp_path: Path) -> None:
    photo, trimap = (shot / folder / f"frame_{FIRST}.png" for folder in "ik")
    alone = called("ltm-infer", photo, trimap, "--preview", tmp_path / "look.png", *NO_ENGINE)
    assert_one_line(alone, 0, f"{trimap}: ", "% of the pixels are unknown, 12.0% sure foreground")
    assert alone.out.startswith(f"Wrote {tmp_path / 'look.png'}: 160x120 in ")
    assert infer(photo, trimap, "-o", tmp_path / "a.png", "--preview", tmp_path / "both.png").code == 0
    assert (tmp_path / "look.png").read_bytes() == (tmp_path / "both.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "both.png", "look.png"]


def test_a_folder_with_keyframes(shot: Path, tmp_path: Path) -> None:
    arguments = (shot / "i", shot / "k", "--keyframes")
    alone = run("ltm-infer", *arguments, "--preview", tmp_path / "looks", *NO_ENGINE)
    assert alone.code == 0, alone.err
    assert f"{tmp_path / 'looks'}: {COUNT} of {COUNT} frames previewed in " in alone.out
    assert [path.name for path in tmp_path.iterdir()] == ["looks"]
    assert infer(*arguments, "-o", tmp_path / "out", "--preview", tmp_path / "both").code == 0
    names = sorted(path.name for path in (tmp_path / "looks").iterdir())
    assert names == [f"frame_{FIRST + index}.png" for index in range(COUNT)]
    for name in names:
        assert (seen(tmp_path / "looks" / name) == seen(tmp_path / "both" / name)).all()


@pytest.mark.parametrize("kind", ["trimaps", "masks"])
def test_a_clip_with_keyframes(kind: str, shot: Path, tmp_path: Path) -> None:
    given: tuple[str | Path, ...] = (shot / "k",) if kind == "trimaps" else ("--mask", shot / "m", "--unknown", "8")
    arguments = (shot / "clip.mkv", *given, "--keyframes", "--first-number", str(FIRST))
    alone = called("ltm-infer", *arguments, "--preview", tmp_path / "look.mkv", *NO_ENGINE)
    assert alone.code == 0, alone.err
    assert f"Wrote {tmp_path / 'look.mkv'} (ffv1): {COUNT} of {COUNT} frames previewed in " in alone.out
    assert [path.name for path in tmp_path.iterdir()] == ["look.mkv"]
    assert infer(*arguments, "-o", tmp_path / "m.mkv", "--preview", tmp_path / "both.mkv").code == 0
    for one, other in zip(*(read_clip(tmp_path / name)[1] for name in ("look.mkv", "both.mkv")), strict=True):
        for plane, wanted in zip(one, other, strict=True):
            assert (plane == wanted).all()


def test_a_wrong_trimap_stops_a_clip_and_leaves_nothing(shot: Path, tmp_path: Path) -> None:
    shutil.copytree(shot / "t", tmp_path / "t")
    (tmp_path / "t" / f"frame_{FIRST + 4}.png").write_bytes(b"no picture")
    result = called("ltm-infer", shot / "clip.mkv", tmp_path / "t", "--preview", tmp_path / "look.mkv", *NO_ENGINE)
    assert (result.code, f"frame_{FIRST + 4}.png" in result.err, "--resume" in result.err) == (1, True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", ("--output must say where the matte is written", "--preview")),
        ("--preview look --cutout cut", ("--cutout requires --output",)),
        ("--preview look --resume", ("--resume requires --output", "leave it out")),
    ],
)
def test_what_needs_a_matte(arguments: str, words: tuple[str, ...], shot: Path) -> None:
    assert_one_line(called("ltm-infer", shot / "i", shot / "t", *arguments.split()), 2, *words)


def test_python_programs_have_the_same(shot: Path, tmp_path: Path) -> None:
    result = matte_clip(shot / "clip.mkv", shot / "t", preview=tmp_path / "look.mkv")
    assert (result.total, result.engine, list(result.files)) == (COUNT, "", [str(tmp_path / "look.mkv")])
    with pytest.raises(UsageError, match="`alpha` must say where the matte is written") as failure:
        matte_clip(shot / "clip.mkv", shot / "t")
    assert failure.value.parameter == "alpha"
    output = OutputSpec(alpha=None, preview=str(tmp_path / "looks"))
    with pytest.raises(UsageError, match="`alpha` must be given to a cluster; previews alone are made on one machine"):
        matte_on_cluster(JobSpec(images=str(shot / "i"), source=str(shot / "t"), output=output))
