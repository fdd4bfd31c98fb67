"""ltm-serve before and after it serves; tests/server has what is between."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import assert_one_line, called, run
from tests.server.conftest import MATTE, photo_of, save, served, trimap_of


def test_without_its_extra() -> None:
    assert_one_line(
        run("ltm-serve", "--port", "0", block="prometheus_client"), 1, "ltm-serve needs prometheus", "[serve]"
    )


def test_help_needs_no_extra() -> None:
    result = run("ltm-serve", "--help", block="starlette,uvicorn,prometheus_client,onnxruntime")
    assert result.code == 0, result.err
    for option in ("--engine", "--device", "--host", "--port", "--token", "--queue", "--segmenter", "--max-megapixels"):
        assert option in result.out


def test_mistakes_before_it_serves(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_line(called("ltm-serve", "--port", port), 2, port, "in use", "port 0")
    assert_one_line(called("ltm-serve", "--token", "short"), 2, "--token must be at least 16", "5 characters")
    assert_one_line(called("ltm-serve", "--queue", "-1"), 2, "--queue must be between 0 and 10000; got -1")
    assert_one_line(called("ltm-serve", "--port", "0", "--engine", tmp_path / "no.onnx"), 1, "no.onnx")


def test_other_machines_are_not_served_without_a_token() -> None:
    result = called("ltm-serve", "--host", "0.0.0.0", "--port", "0")
    assert_one_line(result, 2, "--host 0.0.0.0 lets everybody", "set --token", "--allow-anyone", "127.0.0.1")


def test_what_it_has_accepted_is_finished(mean_onnx: Path, tmp_path: Path) -> None:
    """Also a request whose body is still on its way when it is told to end; the next one finds nobody."""
    photo, trimap = save(tmp_path / "photo.png", photo_of(0)), save(tmp_path / "trimap.png", trimap_of())
    options = ("--engine", mean_onnx, "--log", "json")
    with served(tmp_path / "service", *options, LTM_SERVE_TOKEN="a-token-of-the-tests") as service:
        assert service.client.get("/").status_code == 401
        service.client.headers["Authorization"] = "Bearer a-token-of-the-tests"
        files = {"photo": ("photo.png", photo.read_bytes()), "trimap": ("trimap.png", trimap.read_bytes())}
        request = service.client.build_request("POST", MATTE, files=files)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        body = request.read()
        host, _, port = service.address.rpartition("/")[2].partition(":")
        with socket.create_connection((host, int(port)), timeout=120) as connection:
            connection.sendall(f"POST {MATTE} HTTP/1.1\r\n{head}\r\n".encode() + body[:-100])
            deadline = time.monotonic() + 60
            while service.number("ltm_queue_length") != 1:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            service.client.close()
            service.process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                service.process.wait(0.5)
            connection.sendall(body[-100:])
            answer = httpx.Response(200, content=b"".join(iter(lambda: connection.recv(65536), b"")))
        assert answer.content.startswith(b"HTTP/1.1 200 OK")
        assert service.process.wait(60) == 128 + signal.SIGTERM
        assert not list(service.temporary.glob("ltm-serve-*"))
        log = (tmp_path / "service" / "stderr").read_text()
        assert '"path": "/v1/matte", "status": 200' in log
        assert "a-token" not in log
