"""ltm-demo before it serves; tests/demo has the page."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import assert_one_line, run


def test_without_its_extra() -> None:
    assert_one_line(run("ltm-demo", "--port", "0", block="gradio"), 1, "ltm-demo needs gradio", "[demo]")


def test_help_needs_no_extra() -> None:
    result = run("ltm-demo", "--help", block="gradio,uvicorn,fastapi,onnxruntime")
    assert result.code == 0, result.err
    for option in ("--engine", "--device", "--host", "--port", "--no-browser", "--max-megapixels"):
        assert option in result.out


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_line(run("ltm-demo", "--no-browser", "--port", port), 2, port, "in use", "port 0")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_here(host: str) -> None:
    assert_one_line(run("ltm-demo", "--no-browser", "--host", host, "--port", "0"), 2, host, "cannot listen")


def test_an_empty_host_is_not_every_address() -> None:
    assert_one_line(run("ltm-demo", "--no-browser", "--host", "", "--port", "0"), 2, "--host must be an address")


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    result = run("ltm-demo", "--no-browser", "--port", "0", "--engine", tmp_path / "no.onnx")
    assert_one_line(result, 1, "no.onnx")


def test_any_other_host_is_said_loudly(mean_onnx: Path) -> None:
    command: list[str | Path] = [
        Path(sys.executable).parent / "ltm-demo",
        "--engine",
        mean_onnx,
        "--no-browser",
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        [*command, "--host", "0.0.0.0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ltm-demo: http://0.0.0.0:")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.startswith("ltm-demo: WARNING: --host 0.0.0.0: anyone who can reach this machine")
    assert "without a password" in err
