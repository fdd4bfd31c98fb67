"""What all commands have: quiet, lines with the time or as JSON, variables of the environment, and threads."""

import json
import re
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
from PIL import Image

from litematting_deploy.cli.infer import main as infer
from litematting_deploy.cli.log import LOG
from litematting_deploy.runtime.shipped import TINY_ENGINE
from tests.conftest import assert_one_line, called

HW = (30, 40)
COMMANDS = sorted(point.name for point in entry_points(group="console_scripts") if point.name.startswith("ltm-"))


@pytest.fixture
def job(tmp_path: Path) -> tuple[str | Path, ...]:
    """A folder of two photos, the second without a trimap of its size."""
    for folder in "pt":
        (tmp_path / folder).mkdir()
    levels = np.full(HW, 255, np.uint8)
    levels[:, 10:20], levels[:, 20:] = 128, 0
    for name, trimap in (("a", levels), ("b", levels[:9])):
        Image.fromarray(np.zeros((*HW, 3), np.uint8)).save(tmp_path / "p" / f"{name}.png")
        Image.fromarray(trimap).save(tmp_path / "t" / f"{name}.png")
    return ("ltm-infer", tmp_path / "p", tmp_path / "t", "-o", tmp_path / "o", "--engine", TINY_ENGINE)


def test_quiet_prints_warnings_and_errors_alone(job: tuple[str | Path, ...]) -> None:
    loud, quiet = called(*job), called(*job, "--quiet")
    assert (loud.code, quiet.code) == (1, 1)
    assert "1/2 a" in loud.err
    assert "2 frames" in loud.out
    assert quiet.out == ""
    assert [line.partition("failed")[1] or "warning" for line in quiet.err.splitlines()] == [
        "warning",
        "failed",
        "failed",
    ]


def test_lines_as_json(job: tuple[str | Path, ...]) -> None:
    done = called(*job, "--log", "json")
    lines = [json.loads(line) for line in (done.err + done.out).splitlines()]
    for line in lines:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
        assert line["command"] == "ltm-infer"
    assert {line["level"] for line in lines} == {"warning", "info", "error", "result"}
    frames = {line["frame"]: line for line in lines if "frame" in line}
    assert [(each["done"], each["total"]) for each in frames.values()] == [(1, 2), (2, 2)]
    assert "failure" not in frames["a"]
    assert "the sizes must match" in frames["b"]["failure"]
    mistake = called(*job, "--log", "json", "--step", "none")
    assert json.loads(mistake.err) | {"exit_code": 2, "level": "error"} == json.loads(mistake.err)


def test_lines_with_the_time(job: tuple[str | Path, ...]) -> None:
    done = called(*job, "--log", "time")
    for line in (done.err + done.out).splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR|RESULT) ", line), line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_variable(command: str) -> None:
    (point,) = entry_points(group="console_scripts", name=command)
    main: click.Command = point.load()
    own = f"{command.replace('-', '_').upper()}_"
    for option in main.params:
        if isinstance(option, click.Option) and option.name != "version":
            name = max(option.opts, key=len).removeprefix("--").replace("-", "_").upper()
            assert option.envvar == [f"{own}{name}", f"LTM_{name}"]
    assert {"quiet", "log"} <= {option.name for option in main.params}


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"LTM_STEP": "7"}, {"step": 7}),
        ({"LTM_STEP": "7", "LTM_INFER_STEP": "9"}, {"step": 9}),
        ({"LTM_UNKNOWN": "2%", "LTM_ADAPTIVE": "1"}, {"unknown_width": "2%", "adaptive": True}),
        ({"LTM_MASK_LABEL": "3 7"}, {"mask_labels": (3, 7)}),
        ({"LTM_SOUND": "0"}, {"sound": False}),
        ({"LTM_PREMULTIPLIED": "false"}, {"premultiplied": False}),
        ({"LTM_PATCH": "64x96", "LTM_THREADS": "2"}, {"patch_hw": (64, 96), "threads": 2}),
        ({"LTM_OUTPUT": "here"}, {"alpha": "here"}),
    ],
    ids=str,
)
def test_variables_are_read(variables: dict[str, str], wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    words = ["a.png", "b.png"] + ([] if "LTM_OUTPUT" in variables else ["-o", "c.png"])
    given = infer.make_context("ltm-infer", [*words]).params
    assert {name: given[name] for name in wanted} == wanted
    if "step" in wanted:
        assert infer.make_context("ltm-infer", [*words, "--step", "5"]).params["step"] == 5, "the command line wins"


def test_a_wrong_variable_is_named(job: tuple[str | Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTM_DEPTH", "12")
    assert_one_line(called(*job), 2, "(set by LTM_DEPTH)", "'12'")


def test_threads_are_those_of_pictures_too(job: tuple[str | Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(cv2, "setNumThreads", asked.append)
    assert called(*job, "--threads", "2", "--device", "cpu").code == 1  # of the frame that fails
    assert asked == [2]
    assert_one_line(called(*job, "--threads", "0"), 2, "--threads must be between 1 and 65536; got 0")


def test_what_is_waited_for_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 80 columns, in as many lines as it takes."""
    import io

    from litematting_deploy.cli import command

    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    console = command.PlainConsole(file=file, width=80, highlight=False, force_terminal=True)
    monkeypatch.setattr(command, "_wrapping", console)
    monkeypatch.setattr(LOG, "form", "plain")
    monkeypatch.setattr(LOG, "quiet", False)
    with command.waiting(f"exporting {'x' * 40} and comparing it with the PyTorch model, which ends here"):
        pass
    assert "ends here" in " ".join(file.getvalue().split())
