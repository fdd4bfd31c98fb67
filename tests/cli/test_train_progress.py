"""What ltm-train shows of a run's reports."""

import io
import json
import re

import pytest
from rich.console import Console

from litematting_deploy.cli import train_progress
from litematting_deploy.cli.log import LOG
from litematting_deploy.cli.train_progress import TrainBar
from litematting_deploy.training.progress import TrainProgress

REPORTS = (
    TrainProgress("drawing training alphas", 0, 40),
    TrainProgress("drawing training alphas", 40, 40),
    TrainProgress("encoder", 0, 2),
    TrainProgress("encoder", 0.5, 2, 0.25),
    TrainProgress("training", 100, 200),
    TrainProgress("training", 150, 200, 1.5),
    TrainProgress(note="step 150: validation error 0.1000, MSE 0.01000"),
)


def test_lines_say_how_far_a_run_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_progress, "LINE_EVERY_S", 0)
    with TrainBar() as bar:
        for report in REPORTS:
            bar(report)
    drawing, encoder, training, note = capsys.readouterr().err.splitlines()
    assert drawing == "drawing training alphas: 40 of 40"
    assert encoder == "encoder: 0.5 of 2 min, relative error 0.250"
    assert re.fullmatch(r"step 150 of 200, loss 1\.500, [\d.]+ steps/s, 0 min left", training)
    assert note == REPORTS[-1].note
    monkeypatch.setattr(LOG, "quiet", True)
    with TrainBar() as bar:
        for report in (*REPORTS, TrainProgress(note="warning: slow", warning=True)):
            bar(report)
    assert capsys.readouterr().err == "warning: slow\n"
    monkeypatch.setattr(LOG, "quiet", False)
    monkeypatch.setattr(LOG, "form", "json")
    with TrainBar() as bar:
        for report in REPORTS[4:6]:
            bar(report)
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["what"], said["done"], said["total"], said["error"]) == ("training", 150, 200, 1.5)


def test_a_terminal_has_one_bar_for_what_goes_on_now() -> None:
    shown = io.StringIO()
    with TrainBar(Console(file=shown, force_terminal=True, width=100)) as bar:
        for report in REPORTS[:-1]:
            bar(report)
    last = shown.getvalue().rpartition("\r")[2]
    assert "training" in last
    assert "150/200 steps, loss 1.500" in last
    assert "drawing" not in last
