"""What a check may do in its process without harm to the others."""

import pytest

from litematting_deploy.doctor import CHECKS, Check, examine, patient
from tests.conftest import ROOT


@pytest.fixture
def unwell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "_PACKAGE", "tests.doctor.unwell")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.usefixtures("unwell")
def test_crashes_and_hangs_are_rows() -> None:
    names = ("crash", "hang", "surprise", "silent", "fine")
    checks = [Check(name, f"host:{name}", name == "crash", timeout_s=3 if name == "hang" else 30) for name in names]
    seen: list[str] = []
    outcomes = {outcome.name: outcome for outcome in examine(checks, seen.append)}
    assert list(outcomes) == list(names)
    assert sorted(seen) == sorted(names)
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        **dict.fromkeys(names[:4], "broken"),
        "fine": "runs",
    }
    assert outcomes["crash"].detail == "its process was ended by signal 11: Segmentation fault"
    assert outcomes["hang"].detail == "did not finish within 3 s"
    assert outcomes["surprise"].detail == "RuntimeError: libnothing.so.1: cannot open shared object file"
    assert outcomes["silent"].detail == "its process ended with code 3"
    assert (outcomes["fine"].version, outcomes["fine"].detail) == ("lib 1", "two lines")
    assert [name for name, outcome in outcomes.items() if outcome.harmful] == ["crash"]


def test_the_default_path_is_what_is_needed() -> None:
    assert [check.name for check in CHECKS if check.needed] == [
        *("shipped weights", "image formats", "ONNX Runtime on the CPU"),
    ]
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_every_check_is_there() -> None:
    import importlib

    for check in CHECKS:
        module, _, function = check.function.partition(":")
        assert callable(getattr(importlib.import_module(f"litematting_deploy.doctor.{module}"), function))
