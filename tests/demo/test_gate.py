"""What the server refuses, asked over HTTP."""

import http.server
import json
import re
import signal
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litematting_deploy.runtime.shipped import EXAMPLE_IMAGE
from tests.demo.conftest import Served, served
from tests.demo.http import API, event_of, file_data, get, join, outcome, request, upload


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """Another server of this machine, and who asked it for what."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # its name in http.server
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(EXAMPLE_IMAGE.read_bytes())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_asks_for_nothing_outside(demo: Served) -> None:
    status, content, headers = request(demo, "GET", "/")
    assert status == 200
    page = content.decode()
    assert "LiteMatting" in page
    loaded = re.findall(r"<(?:link|script|img|iframe)\b[^>]*?(?:href|src)=\"([^\"]*)\"", page)
    assert loaded
    assert not [address for address in loaded if "//" in address]
    for rule in ("default-src 'self'", "frame-ancestors 'none'"):
        assert rule in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert json.loads(get(demo, "/config")[1])["analytics_enabled"] is False


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "//etc/passwd", "/proc/self/environ", "../../../../etc/passwd", "%2Fetc%2Fpasswd", "C:/x"),
        *("{folder}/../../../../../../../etc/passwd", "{folder}/%2e%2e/cwd", "{trap}/x", "a" * 5000, "%00"),
    ],
)
def test_files_and_urls_are_not_served(demo: Served, trap: tuple[str, list[str]], path: str) -> None:
    address, asked = trap
    status, content = get(demo, f"{API}/file={path.format(folder=demo.folder, trap=address)}")
    assert status == 403
    assert len(content) < 100
    assert not asked


@pytest.mark.parametrize(
    "path",
    [
        *("proxy={trap}/x", "file/etc/passwd", "stream/a", "runs", "openapi.json", "mcp/", "vibe-code", "deep_link"),
        *("custom_component/1/client/component/x", "user", "token", "process_recording"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(demo: Served, trap: tuple[str, list[str]], path: str) -> None:
    assert get(demo, f"{API}/{path.format(trap=trap[0])}")[0] == 404
    assert not trap[1]


@pytest.mark.parametrize("path", ["/monitoring", "/docs", "/login", "/assets/../routes.py", "/static/%2e%2e/x"])
def test_no_other_pages(demo: Served, path: str) -> None:
    assert get(demo, path)[0] == 404


@pytest.mark.parametrize("path", ["run/x", "api/x", "call/x", "call/v2/x", "vibe-edit", "login", "component_server"])
def test_no_other_calls(demo: Served, path: str) -> None:
    status, _, _ = request(demo, "POST", f"{API}/{path}", b'{"data": []}', {"Content-Type": "application/json"})
    assert status == 404


def payloads(trap: str, own: str) -> list[Any]:
    return [
        file_data("/etc/passwd"),
        {"path": "/etc/passwd"},
        file_data(f"{trap}/photo.jpg"),
        file_data(own, url=f"{trap}/photo.jpg"),
        file_data(own, url=f"{trap}{API}/file={own}"),
        {"url": f"{trap}/photo.jpg"},
        {"background": file_data("/etc/passwd"), "layers": [], "composite": None},
        {"background": None, "layers": [file_data("/etc/passwd")], "composite": None},
        [[[{"x": {"path": "/etc/hostname"}}]]],
    ]


def test_requests_cannot_name_files_or_urls(demo: Served, trap: tuple[str, list[str]]) -> None:
    own = upload(demo, EXAMPLE_IMAGE)
    event = event_of(demo, "photo")
    for payload in payloads(trap[0], own["path"]):
        for content_type in ("application/json", "text/plain"):
            status, answer = join(demo, [payload], event, "session", **{"Content-Type": content_type})
            assert status == 403, (payload, answer)
    mine = f"{demo.address.rstrip('/')}{API}/file={own['path']}"
    assert join(demo, [{**own, "url": mine}], event, "session")[0] == 200
    assert not trap[1]


def test_other_sites_are_refused(demo: Served) -> None:
    own = f"http://{demo.host}"
    port = demo.host.rpartition(":")[2]
    assert get(demo, "/", Host="evil.example")[0] == 421
    assert get(demo, "/", Host=f"evil.example:{port}")[0] == 421
    assert get(demo, "/", Host=f"localhost:{port}")[0] == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"http://localhost:{port}"):
        assert join(demo, [None], 0, "session", Origin=origin)[0] == 403
        assert get(demo, "/config", Origin=origin)[0] == 403
    assert get(demo, "/config", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})[0] == 403
    assert get(demo, "/", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200
    assert join(demo, [None], event_of(demo, "photo"), "session", Origin=own)[0] == 200


@pytest.mark.parametrize(
    ("path", "kind", "length", "wanted"),
    [
        ("upload", "multipart/form-data; boundary=x", "Content-Length: 6000000", 413),
        ("upload", "multipart/form-data; boundary=x", "Transfer-Encoding: chunked", 411),
        ("upload", "application/json", "Content-Length: 2", 415),
        ("queue/join", "application/json", "Content-Length: 1000001", 413),
    ],
    ids=["a large upload", "an upload of unknown length", "an upload of another type", "large JSON"],
)
def test_a_request_is_refused_at_its_head(demo: Served, path: str, kind: str, length: str, wanted: int) -> None:
    """Only the head is sent: the answer does not wait for the rest."""
    head = f"POST {API}/{path} HTTP/1.1\r\nHost: {demo.host}\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"
    with socket.create_connection(demo.host.split(":"), timeout=60) as connection:  # type: ignore[arg-type]
        connection.sendall(head.encode())
        assert int(connection.recv(100).split()[1]) == wanted


@pytest.mark.parametrize("body", [b"{", b"", b"[" * 100_000, b"\xff"])
def test_what_is_no_json(demo: Served, body: bytes) -> None:
    status, _, _ = request(demo, "POST", f"{API}/queue/join", body, {"Content-Type": "application/json"})
    assert status == 400


def test_what_is_malformed(demo: Served) -> None:
    """Answered by the gate: a server that fails would say 500."""
    assert get(demo, "/", Host="[")[0] == 400
    assert get(demo, "/config", Origin="http://[")[0] == 400
    json_type = {"Content-Type": "application/json"}
    url = b'{"data": [{"url": "http://[x"}]}'
    deep = b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}"
    for body in (url, deep):
        assert request(demo, "POST", f"{API}/queue/join", body, json_type)[0] in (400, 422)
    with socket.create_connection(demo.host.split(":"), timeout=60) as connection:  # type: ignore[arg-type]
        head = f"POST {API}/queue/join HTTP/1.1\r\nHost: {demo.host}\r\nContent-Length: {'9' * 5000}\r\n\r\n"
        connection.sendall(head.encode())
        assert int(connection.recv(100).split()[1]) == 400


def test_megapixels_are_seen_in_the_header(demo: Served, tmp_path: Path) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))))
    told = outcome(demo, [upload(demo, bomb)], "photo")["error"]
    assert told.startswith("bomb.png: 30000x30000 is 900 megapixels, over the limit of 0.5")
    assert "\n" not in told


def test_a_server_that_ends_leaves_nothing(mean_onnx: Path, tmp_path: Path) -> None:
    with served(tmp_path, mean_onnx) as server:
        upload(server, EXAMPLE_IMAGE)
        assert list(server.folder.rglob("dandelion.jpg"))
        folder = server.folder
        assert folder.stat().st_mode & 0o077 == 0
        with socket.create_connection(server.host.split(":")) as connection:  # type: ignore[arg-type]
            connection.sendall(f"GET {API}/heartbeat/abc HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode())
            assert b"200" in connection.recv(100)  # a page that is still open
            started = time.monotonic()
            server.process.send_signal(signal.SIGINT)
            _, err = server.process.communicate(timeout=120)
        assert time.monotonic() - started < 60
        assert server.process.returncode == 130
        assert err.split() == ["ltm-demo:", "interrupted"]
        assert not [path for path in server.temporary.iterdir() if path.name in ("gradio", folder.name)]
        assert not list(server.cwd.iterdir())
