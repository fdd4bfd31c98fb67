"""Commands by the rules of Windows for files, and with its code pages."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy import files
from litematting_deploy.errors import ForegroundError, OutputError
from litematting_deploy.jobs import clip_results
from tests.conftest import called
from tests.video.clips import grey_clip, moving, save_clip, trimaps
from tests.windows import windows_rules


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos and trimaps of 48x64 pixels, and a clip with its trimaps."""
    known = np.full((48, 64), 128, np.uint8)
    known[:16], known[32:] = 0, 255
    light = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    for kind, levels in (("photos", light), ("trimaps", known)):
        (tmp_path / kind).mkdir()
        for name in ("one", "two"):
            Image.fromarray(levels).save(tmp_path / kind / f"{name}.png")
    save_clip(tmp_path / "clip.mp4", moving(3))
    grey_clip(tmp_path / "known.mkv", trimaps(3))
    return tmp_path


def test_the_rules_are_those_of_windows(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").touch()
    with windows_rules(tmp_path):
        with (tmp_path / "a").open("rb"), pytest.raises(PermissionError, match="another process"):
            (tmp_path / "a").unlink()
        mapped = np.memmap(tmp_path / "a", np.uint8, "r")
        with pytest.raises(PermissionError, match="another process"):
            (tmp_path / "b").replace(tmp_path / "a")
        del mapped
        with pytest.raises(OSError, match="syntax is incorrect"):
            (tmp_path / "a?").touch()
        (tmp_path / "b").replace(tmp_path / "a")
        (tmp_path / "a").unlink()
    assert not any(tmp_path.iterdir())


def test_photos_folders_and_clips_replace_nothing_that_is_open(folder: Path, mean_onnx: Path) -> None:
    """Results are written twice, once over what is there."""
    engine = ("--engine", mean_onnx)
    photo = ("ltm-infer", folder / "photos/one.png", folder / "trimaps/one.png", "-o", folder / "alpha.png")
    many = ("ltm-infer", folder / "photos", folder / "trimaps", "-o", folder / "mattes", "--cutout", folder / "cut")
    matte = ("ltm-infer", folder / "clip.mp4", folder / "known.mkv", "-o", folder / "m.mkv")
    both = (*matte, "--cutout", folder / "c.mov")
    trimap = ("ltm-trimap", folder / "trimaps/one.png", "-o", folder / "trimap.png", "--unknown", "3")
    with windows_rules(folder):
        for command in (photo, many, (*many, "--resume"), both, (*both, "--resume")):
            for _ in range(2):
                done = called(*command, *engine)
                assert done.code == 0, done.err
        for _ in range(2):
            done = called(*trimap)
            assert done.code == 0, done.err
    assert not (folder / ".m.mkv.parts").exists()
    assert sorted(path.name for path in (folder / "mattes").glob("*.png")) == ["one.png", "two.png"]


def test_a_clip_s_matte_alone_is_removed_once_it_is_closed(
    folder: Path, mean_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As foreground colours fail, segments of the matte alone lie in a folder of their own."""
    pictures = clip_results.ClipResults.pictures

    def fail(self: Any, *given: Any) -> Any:
        if len(self.results) > 1:
            raise ForegroundError("no colours")
        return pictures(self, *given)

    monkeypatch.setattr(clip_results.ClipResults, "pictures", fail)
    with windows_rules(folder):
        done = called(
            *("ltm-infer", folder / "clip.mp4", folder / "known.mkv", "-o", folder / "m.mkv"),
            *("--cutout", folder / "c.mov", "--engine", mean_onnx),
        )
    assert done.code == 1, done
    assert "m.mkv was written" in done.err
    assert not (folder / ".m.mkv.alone.parts").exists()


@pytest.mark.parametrize("held", [2, 99])
def test_a_file_that_a_program_has_open_is_waited_for_a_moment(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virus scanner lets go of it; a viewer does not, and its user is told."""
    tries = []
    pauses: list[float] = []

    def replace(path: Path, target: Path) -> None:
        tries.append(path)
        if len(tries) <= held:
            error = PermissionError(13, "Access is denied")
            error.winerror = 5  # type: ignore[attr-defined]
            raise error
        os.replace(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr("time.sleep", pauses.append)
    if held < 10:
        files.replace_file(tmp_path / "a.png", b"new")
        assert (tmp_path / "a.png").read_bytes() == b"new"
        assert len(pauses) == held
    else:
        with pytest.raises(OutputError, match=r"a\.png: cannot be written: Access is denied; close the program"):
            files.replace_file(tmp_path / "a.png", b"new")
        assert 1 < sum(pauses) < 3
        assert not any(tmp_path.iterdir())


def test_a_folder_that_is_read_only_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waited"))
    with pytest.raises(OutputError, match="Permission denied; free some space, or choose another output"):
        files.replace_file(tmp_path / "a.png", b"new")


@pytest.mark.parametrize("page", ["cp437", "cp1252", "cp932", "ascii"])
def test_a_code_page_prints_what_it_has_and_spells_the_rest(page: str, tmp_path: Path) -> None:
    """As where the output goes to a file on Windows: the console itself takes every sign."""
    missing = tmp_path / "写真×é.png"
    done = subprocess.run(
        [Path(sys.executable).parent / "ltm-infer", missing, "t.png", "-o", "a.png"],
        env={**os.environ, "PYTHONIOENCODING": page, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    said = done.stderr.decode(page)
    assert said.count("\n") == 1
    assert "Traceback" not in said
    spelled = "写真×é.png".encode(page, "backslashreplace").decode(page)
    assert spelled in said


def test_help_is_printed_in_every_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.docs.pages import build

    for command in build.commands().values():
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding="cp437")
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as ended:
            command.main(["--help"])
        out.flush()
        assert ended.value.code == 0
        assert b"General:" in raw.getvalue()
