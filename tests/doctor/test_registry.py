"""How the checks are made: none harms another, and every outcome is one row."""

import importlib
from pathlib import Path

import pytest

from litematting_deploy.cli.doctor import verdict
from litematting_deploy.doctor import registry
from litematting_deploy.doctor.registry import (
    BROKEN,
    CHECKS,
    INSTALLED,
    RUNS,
    UNAVAILABLE,
    Check,
    Found,
    Outcome,
    attempt,
    examine,
)
from litematting_deploy.engines.providers import PROVIDERS


def test_what_a_check_does_not_foresee_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two\nlines"))
    checks = [
        Check("forgotten", "files", "nowhere", needed=True),
        Check("slow", "host", "onnxruntime_cpu", timeout_s=0.01),
        Check("fine", "files", "cache", needed=True),
    ]
    seen: list[str] = []
    outcomes = {outcome.name: outcome for outcome in examine(checks, seen.append)}
    assert list(outcomes) == [check.name for check in checks]
    assert sorted(seen) == sorted(outcomes)
    assert [outcome.state for outcome in outcomes.values()] == ["broken", "broken", "runs"]
    assert outcomes["forgotten"].detail.endswith("check_files' has no attribute 'nowhere'")
    assert outcomes["slow"].detail == "did not finish within 0.01 s"
    assert outcomes["fine"].detail == f"{tmp_path}/two lines/litematting-deploy is writable"
    assert [name for name, outcome in outcomes.items() if outcome.harmful] == ["forgotten"]


def test_the_default_path_is_what_is_needed() -> None:
    assert [check.name for check in CHECKS if check.needed] == [
        *("shipped weights", "image formats", "ONNX Runtime on the CPU"),
    ]
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_every_check_is_there() -> None:
    for check in CHECKS:
        module = importlib.import_module(f"litematting_deploy.doctor.check_{check.group}")
        assert callable(getattr(module, check.function))


def test_every_provider_has_a_row() -> None:
    functions = {check.function for check in CHECKS}
    assert not [device for device in PROVIDERS if not functions & {device, f"onnxruntime_{device}"}]


def test_in_short_gpus_that_are_not_there_are_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is slow is imported; checks of GPUs are not made where there is no driver."""
    monkeypatch.setattr(registry, "call", _instead)
    outcomes = examine(CHECKS, full=False)
    states = {outcome.name: outcome.state for outcome in outcomes}
    assert states["GPUs"] == UNAVAILABLE
    assert not {check.name for check in CHECKS if check.group == "gpu" or check.gpu} & set(states)
    assert set(states) == {check.name for check in CHECKS if check.group != "gpu" and not check.gpu} | {"GPUs"}
    assert verdict(outcomes) == "verdict: ltm-infer works here, on the CPU; everything else that is installed works"
    everything = examine(CHECKS, full=True)
    assert [outcome.name for outcome in everything] == [check.name for check in CHECKS]


def _instead(_: str, check: Check, full: bool, timeout_s: float) -> tuple[str, Found]:
    """What a machine without GPUs would say, without its processes."""
    del full, timeout_s
    return (UNAVAILABLE if check.group == "gpu" or check.gpu else RUNS), Found("", "said")


def test_the_verdict_names_what_does_not_work() -> None:
    def outcome(name: str, state: str, needed: bool = False) -> Outcome:
        return Outcome(name, "host", needed, state, "", "", 0)

    works = outcome("ONNX Runtime on the CPU", RUNS, needed=True)
    assert verdict([works, outcome("clips", BROKEN), outcome("Triton client", UNAVAILABLE)]).endswith(
        "works here, on the CPU; installed but broken: clips"
    )
    assert verdict([outcome("image formats", BROKEN, needed=True)]) == (
        "verdict: ltm-infer does not work here: image formats; everything else that is installed works"
    )


def test_a_slow_check_is_imported_in_short() -> None:
    """The standard library's json stands for an engine; what is broken when it is imported is broken."""
    state, found = attempt(Check("a", "host", "nowhere", module="json"), full=False)
    assert (state, found.detail) == (INSTALLED, "can be imported; `full` also runs it")
    assert attempt(Check("a", "files", "cache", module="not_installed_here"), full=False)[0] == RUNS
