"""ltm-train, called in this process: how it is stopped before it trains, what it refuses, and what it tells whom."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from litematting_deploy.cli.train import main
from litematting_deploy.errors import UsageError
from litematting_deploy.training import callbacks, library
from litematting_deploy.training.checkpoints import MemoryStopError
from litematting_deploy.training.job import new_run, train_run
from litematting_deploy.training.module import MattingModule
from litematting_deploy.training.progress import Reporter, TrainProgress
from litematting_deploy.training.recipe import read_recipe
from litematting_deploy.training.spec import TrainSpec
from tests.cli.runs import arguments, invoke
from tests.training.slow_drawing import sleeps

TINY = """
precision = "32-true"
validation_scenes = 1
[[stages]]
steps = 1
crop = 64
batch = 1
[procedural]
count = 4
size = 128
refresh = false
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path / "tiny.toml"


@pytest.fixture
def sigterm() -> Iterator[None]:
    """The handler that was there before a command took its place."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def _ends(words: list[str | Path], capsys: pytest.CaptureFixture[str]) -> tuple[object, list[str]]:
    """Exit code and lines on the standard error."""
    with pytest.raises(SystemExit) as ended:
        main.main([str(word) for word in words])
    return ended.value.code, capsys.readouterr().err.strip().splitlines()


@pytest.mark.usefixtures("sigterm")
def test_sigterm_while_alphas_are_drawn_stops_at_once(
    material: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "draw_shard", sleeps)
    words: list[str | Path] = [tiny, "--photos", material / "photos", "-o", tmp_path / "run"]
    words += ["--device", "cpu", "--workers", "1"]

    def terminate() -> None:
        while not list((tmp_path / "run").glob("alphas-*")):
            time.sleep(0.05)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    begun = time.monotonic()
    code, lines = _ends(words, capsys)
    assert time.monotonic() - begun < 1800, "the drawing takes an hour"
    assert code == 143
    assert lines[-1] == f"{tmp_path / 'run'}: terminated; continue with: ltm-train --resume -o {tmp_path / 'run'}"


@pytest.mark.usefixtures("sigterm")
def test_sigterm_in_the_first_validation_is_told_as_later_and_each_line_is_json(
    finished: Path, material: Path, tiny: Path, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def terminated(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert finished.is_dir()  # whose library is used
    monkeypatch.setattr(MattingModule, "validation_step", terminated)
    code, lines = _ends([tiny, *arguments(material, tmp_path / "run"), "--log", "json"], capsys)
    assert code == 143
    said = [json.loads(line) for line in lines]
    assert {line["level"] for line in said} == {"info"}
    assert said[0]["message"].startswith("precision 32-true: ")
    assert any("GiB of memory per process" in line["message"] for line in said)
    assert said[-1]["message"].endswith(f"terminated; continue with: ltm-train --resume -o {tmp_path / 'run'}")
    # Nothing has been computed, and so the run does not stand in the way of another.
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["stages"][0]["steps"] == 1
    code, lines = _ends([tiny, *arguments(material, tmp_path / "run"), "--quiet", "--memory", "0.01"], capsys)
    assert code == 2
    (line,) = lines
    assert "ltm-train: --memory is 0.01, but this run needs about " in line


class Enough(Exception):  # noqa: N818
    """What a caller's own function raises."""


def test_a_program_is_told_everything_and_nothing_is_printed(
    finished: Path, material: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[TrainProgress] = []

    def tell(progress: TrainProgress) -> None:
        told.append(progress)
        if progress.what == "training":
            raise Enough

    assert finished.is_dir()  # whose library is used
    photos, libraries = material / "photos", material / "libraries"
    spec = TrainSpec(run=tmp_path / "run", recipe=tiny, device="cpu", photos=photos, libraries=libraries)
    with pytest.raises(Enough):
        train_run(spec, tell)
    notes = [progress.note for progress in told if progress.note]
    assert [note.split(":")[0].split(" ")[0] for note in notes] == ["precision", "plan", "plan", "step"]
    assert "validation error" in notes[-1]
    assert told[-1] == TrainProgress("training", 0, 1)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(UsageError, match="`progress` must be a function or None"):
        train_run(spec, "print")  # type: ignore[arg-type]


def test_two_processes_do_not_train_in_one_folder(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(finished / ".lock"):
        code, line = invoke(capsys, "--resume", "-o", finished)
    assert (code, f"{finished}: another ltm-train is training there" in line) == (2, True), line


def test_a_checkpoint_with_damaged_bytes_is_not_gone_on_from(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_bytes((finished / "run.json").read_bytes())
    content = bytearray((finished / "last.ckpt").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(byte ^ 0xFF for byte in content[middle : middle + 400])
    (tmp_path / "last.ckpt").write_bytes(content)
    code, line = invoke(capsys, "--resume", "-o", tmp_path)
    assert (code, "last.ckpt: damaged: the checksum of its record" in line) == (1, True), line


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        ("{tiny} --photos {photos} -o {run} --minutes nan", 2, ("--minutes must be above 0", "nan")),
        ("{tiny} --photos {photos} -o {run} --encoder-minutes 3", 2, ("--encoder-minutes requires --encoder",)),
        ("{tiny} --photos {photos} -o {run} --encoder {here}/x.jpg", 1, ("x.jpg: ", ".npz; got '.jpg'")),
        ("{tiny} --photos {photos} -o {run} --encoder {here}/x.npz", 1, ("x.npz: no such file; give",)),
        ("{large} --photos {photos} -o {run}", 2, ("large.toml: crop is 320, but procedural.size only 64", "480")),
        ("{tiny} --photos {damaged} -o {run} --device cpu", 1, ("a.jpg",)),
        ("--continue {here} -o {run}", 2, ("contains no run", "leave --continue out")),
        ("--continue {here} -o {run} --init w.safetensors", 2, ("leave --init out, or --continue",)),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    words: str, code: int, parts: tuple[str, ...], material: Path, tiny: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "large.toml").write_text(TINY.replace("crop = 64", "crop = 320").replace("size = 128", "size = 64"))
    (tmp_path / "damaged").mkdir()
    for name, source in (("a.jpg", "0.jpg"), ("b.jpg", "1.jpg")):
        content = (material / "photos" / source).read_bytes()
        (tmp_path / "damaged" / name).write_bytes(content[: len(content) // 3] if name == "a.jpg" else content)
    places = {"tiny": tiny, "large": tmp_path / "large.toml", "photos": material / "photos", "here": tmp_path}
    places |= {"damaged": tmp_path / "damaged", "run": tmp_path / "r"}
    got, line = invoke(capsys, *(word.format(**places) for word in words.split()))
    assert got == code, line
    assert [part for part in parts if part not in line] == [], line
    assert line.count("x.npz") < 2
    assert not (tmp_path / "r").exists(), "a mistake must not stand in the way of the next try"


def _followed(finished: Path, folder: Path, **others: str) -> Path:
    """A run to continue, begun with other folders."""
    begun = json.loads((finished / "run.json").read_text())
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(begun | others))
    (folder / "last.ckpt").write_bytes((finished / "last.ckpt").read_bytes())
    return folder


def test_a_run_that_is_continued_lends_its_recipe_and_what_the_new_one_uses(finished: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    report = Reporter(lambda progress: notes.append(progress.note or ""))
    run = _followed(finished, tmp_path / "run", strands=str(tmp_path / "s"), cutouts=str(tmp_path / "c"))
    begun = new_run(TrainSpec(run=tmp_path / "new", follows=run), report)
    assert json.loads(json.dumps(begun.recipe.to_dict())) == json.loads((run / "run.json").read_text())["recipe"]
    assert (begun.strands, begun.cutouts, notes) == (str(tmp_path / "s"), str(tmp_path / "c"), [])

    (tmp_path / "plain.toml").write_text(
        TINY.replace("refresh", "cutouts = 0.0\nrefresh") + "[procedural.weights]\nfur = 1.0\n"
    )
    begun = new_run(TrainSpec(run=tmp_path / "new", follows=run, recipe=tmp_path / "plain.toml"), report)
    assert (begun.strands, begun.cutouts) == (None, None)
    assert begun.recipe == read_recipe(tmp_path / "plain.toml")
    assert notes == [
        f"the strands of {run} are not used: the recipe gives groomed no weight",
        f"the cutouts of {run} are not used: the recipe sets procedural.cutouts to 0",
    ]
    given = TrainSpec(run=tmp_path / "new", follows=run, recipe=tmp_path / "plain.toml", strands=tmp_path / "s")
    with pytest.raises(UsageError, match=r"plain\.toml: procedural\.weights: `strands` are given, but groomed has no"):
        new_run(given, report)


@pytest.mark.parametrize(("crop", "warnings"), [(128, 0), (160, 1)])
def test_a_crop_larger_than_the_alphas_is_warned_of(
    tiny: Path, material: Path, tmp_path: Path, crop: int, warnings: int
) -> None:
    told: list[TrainProgress] = []
    tiny.write_text(TINY.replace("crop = 64", f"crop = {crop}"))
    new_run(TrainSpec(run=tmp_path / "r", recipe=tiny, photos=material / "photos"), Reporter(told.append))
    warned = [str(progress.note) for progress in told if progress.warning]
    assert len(warned) == warnings
    assert all("tiny.toml: crop is 160 and procedural.size 128: most crops mirror" in note for note in warned)


def test_a_process_that_holds_more_memory_than_it_may_stops_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    held = [3 * 2**30, 1 * 2**30, 3 * 2**30, 3 * 2**30]
    monkeypatch.setattr(callbacks, "held_memory_bytes", lambda: held.pop(0))
    monkeypatch.setattr(callbacks, "return_freed_memory", lambda: None)
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, **_: decision)
    trainer: Any = SimpleNamespace(strategy=strategy, global_step=7, should_stop=False)
    checkpoints: Any = SimpleNamespace(run=tmp_path, save=lambda trainer: saved.append(trainer.global_step))
    stop = callbacks.Stop(checkpoints, 100, TrainSpec(run=tmp_path, memory_gib=2.0))
    stop.on_train_batch_end(trainer)
    assert saved == [], "what was freed and kept is given back first"
    with pytest.raises(MemoryStopError, match="stopped after step 7, since a process holds more than 2 GiB of memory"):
        stop.on_train_batch_end(trainer)
    assert saved == [7]
