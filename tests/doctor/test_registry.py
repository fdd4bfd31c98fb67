"""How the checks are made: none harms another, and every outcome is one row."""

import importlib
from pathlib import Path

import pytest

from litematting_deploy.doctor import CHECKS, Check, examine
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
    assert outcomes["fine"].detail == f"{tmp_path}/two lines/litematting-deploy can be written"
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
