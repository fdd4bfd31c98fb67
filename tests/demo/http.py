"""Requests as anybody can send them, without a browser's good manners."""

import http.client
import json
import uuid
from pathlib import Path
from typing import Any

from tests.demo.conftest import Served

API = "/gradio_api"


def request(
    server: Served, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(server.host, timeout=120)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, {name.lower(): value for name, value in answer.getheaders()}


def get(server: Served, path: str, **headers: str) -> tuple[int, bytes]:
    return request(server, "GET", path, headers=headers)[:2]


def join(server: Served, data: list[Any], fn_index: int, session: str, **headers: str) -> tuple[int, bytes]:
    """Ask for an event, as the page does."""
    body = json.dumps({"data": data, "fn_index": fn_index, "session_hash": session}).encode()
    return request(server, "POST", f"{API}/queue/join", body, {"Content-Type": "application/json", **headers})[:2]


def upload(server: Served, path: Path) -> dict[str, Any]:
    """Upload a file, and what the page makes of the answer."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
    body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, answer, _ = request(server, "POST", f"{API}/upload", body, content_type)
    assert status == 200, answer
    return file_data(json.loads(answer)[0])


def file_data(path: str | Path, **other: Any) -> dict[str, Any]:
    return {"path": str(path), "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}, **other}


def event_of(server: Served, elem_id: str) -> int:
    """The number of the first event that the component starts on the server; others run in the browser alone."""
    config = json.loads(get(server, "/config")[1])
    (component,) = (part["id"] for part in config["components"] if part["props"].get("elem_id") == elem_id)
    return next(
        int(event["id"])
        for event in config["dependencies"]
        if event["backend_fn"] and component in [target for target, _ in event["targets"]]
    )


def outcome(server: Served, data: list[Any], elem_id: str) -> dict[str, Any]:
    """What the first event that a component starts ended with."""
    return outcome_of(server, data, event_of(server, elem_id))


def outcome_of(server: Served, data: list[Any], event: int) -> dict[str, Any]:
    """What an event ended with."""
    session = uuid.uuid4().hex
    status, answer = join(server, data, event, session)
    assert status == 200, answer
    connection = http.client.HTTPConnection(server.host, timeout=120)
    connection.request("GET", f"{API}/queue/data?session_hash={session}")
    for line in connection.getresponse():
        if line.startswith(b"data: ") and (message := json.loads(line[6:]))["msg"] == "process_completed":
            connection.close()
            output: dict[str, Any] = message["output"]
            return output
    raise AssertionError("the stream ended early")
