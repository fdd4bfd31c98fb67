"""What a function may do in a process of its own without harm to its caller."""

import pytest

from litematting_deploy.errors import UsageError
from litematting_deploy.isolation import ProcessError, call
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def tests_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_values_come_back_and_what_is_printed_does_not(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("tests.misbehaving:greet", "you", 2, timeout_s=30) == ("hello you", "hello you")
    assert capfd.readouterr() == ("", "")


def test_errors_of_the_package_come_back_whole() -> None:
    with pytest.raises(UsageError, match="`step` must be 1 or more; got 0") as caught:
        call("tests.misbehaving:refuse", timeout_s=30)
    assert (caught.value.parameter, caught.value.exit_code) == ("step", 2)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("crash", "its process was terminated by signal 11: Segmentation fault"),
        ("surprise", "RuntimeError: libnothing.so.1: cannot open shared object file"),
        ("silent", "its process exited with code 3"),
        ("leaves_early", "its process exited with code 0"),
        ("nowhere", "AttributeError: module 'tests.misbehaving' has no attribute 'nowhere'"),
    ],
)
def test_what_ends_the_process_is_an_error_in_one_line(function: str, reason: str) -> None:
    with pytest.raises(ProcessError) as caught:
        call(f"tests.misbehaving:{function}", timeout_s=30)
    assert str(caught.value) == reason


def test_a_hang_ends_with_its_time() -> None:
    with pytest.raises(ProcessError, match="did not finish within 2 s"):
        call("tests.misbehaving:hang", timeout_s=2)
