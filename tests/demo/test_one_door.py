"""Jobs through one door: command, Python, page and service make the same files of the same job."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from litematting_deploy import matte_photo
from tests.conftest import called
from tests.demo.conftest import Served
from tests.demo.http import API, get, outcome_of, upload
from tests.server.conftest import Served as Service
from tests.server.conftest import served

RESULTS = "alpha", "cutout"


@pytest.fixture(scope="module")
def service(mean_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("service"), "--engine", mean_onnx) as running:
        yield running


def by_command(photo: Path, trimap: Path, engine: Path, folder: Path) -> dict[str, bytes]:
    paths = {name: folder / f"{name}.png" for name in RESULTS}
    options = ("-o", paths["alpha"], "--cutout", paths["cutout"], "--engine", engine, "--device", "cpu")
    result = called("ltm-infer", photo, trimap, *options)
    assert result.code == 0, result.err
    return {name: path.read_bytes() for name, path in paths.items()}


def by_python(photo: Path, trimap: Path, engine: Path, folder: Path) -> dict[str, bytes]:
    paths = {name: folder / f"{name}.png" for name in RESULTS}
    matte_photo(photo, trimap, paths["alpha"], cutout=paths["cutout"], engine=engine, device="cpu")
    return {name: path.read_bytes() for name, path in paths.items()}


def by_page(photo: Path, trimap: Path, page: Served) -> dict[str, bytes]:
    """Of 13 inputs: photo, paint, the trimap's file, colour and picture behind, and what reads it."""
    reading = ("trimap", 15, False, "exact", "", "", "pixels", "auto")
    data = [upload(page, photo), None, upload(page, trimap), "#ffffff", None, *reading]
    done = outcome_of(page, data, event_with(page, "run", len(data)))
    assert "error" not in done or done["error"] is None, done
    files = [part["value"]["path"] for part in done["data"] if isinstance(part, dict) and "path" in _value(part)]
    found = {path.rpartition("_")[2].removesuffix(".png"): get(page, f"{API}/file={quote(path)}")[1] for path in files}
    return {name: found[name] for name in RESULTS}


def _value(part: dict[str, Any]) -> Any:
    """What a component is updated to, where that is a file."""
    value = part.get("value")
    return value if isinstance(value, dict) else {}


def event_with(page: Served, elem_id: str, count: int) -> int:
    """The number of the event that a component starts with so many inputs."""
    config = json.loads(get(page, "/config")[1])
    (component,) = (part["id"] for part in config["components"] if part["props"].get("elem_id") == elem_id)
    (found,) = (
        int(event["id"])
        for event in config["dependencies"]
        if component in [target for target, _ in event["targets"]] and len(event["inputs"]) == count
    )
    return found


def by_service(photo: Path, trimap: Path, service: Service) -> dict[str, bytes]:
    found = {}
    for name in RESULTS:
        files = {"photo": photo.name, "trimap": trimap.name}
        answer = service.matte(photo.parent, files, result=name)
        assert answer.status_code == 200, answer.text
        found[name] = answer.content
    return found


def test_one_job_through_every_door(
    demo: Served, service: Service, deep_photo: Path, mean_onnx: Path, tmp_path: Path
) -> None:
    trimap = deep_photo.parent / "trimap.png"
    values = np.full((200, 300), 128, np.uint8)
    values[:60], values[150:, 40:] = 0, 255
    Image.fromarray(values).save(trimap)
    folders = [tmp_path / uuid.uuid4().hex for _ in range(2)]
    for folder in folders:
        folder.mkdir()
    wanted = by_command(deep_photo, trimap, mean_onnx, folders[0])
    assert by_python(deep_photo, trimap, mean_onnx, folders[1]) == wanted
    assert by_service(deep_photo, trimap, service) == wanted
    assert by_page(deep_photo, trimap, demo) == wanted
    with Image.open(folders[0] / "cutout.png") as picture:
        assert picture.mode == "RGBA"
