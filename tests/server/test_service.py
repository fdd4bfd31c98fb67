"""What clients ask for over HTTP, and what they get: the files of the command, or its sentence."""

import io
import re
import socket
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy import Matter
from litematting_deploy.cli.command import with_flags
from litematting_deploy.cli.infer import main as infer
from litematting_deploy.server.form import FILES, TEXTS
from litematting_deploy.server.openapi import SAID
from tests.conftest import ROOT, called
from tests.docs.pages import blocks
from tests.server.conftest import HW, MATTE, MEGAPIXELS, Served, photo_of, trimap_of

PAIR = {"photo": "photo.png", "trimap": "trimap.png"}


def pixels(content: bytes) -> NDArray[Any]:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


def test_the_alpha_is_that_of_python(service: Served, pictures: Path, mean_onnx: Path) -> None:
    answer = service.matte(pictures, PAIR)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert 'filename="photo_alpha.png"' in answer.headers["content-disposition"]
    with Matter.load(mean_onnx, refine=True) as matter:
        np.testing.assert_array_equal(pixels(answer.content), matter(photo_of(0), trimap_of(), dtype=np.uint8))


@pytest.mark.parametrize(
    ("files", "fields", "kind", "options"),
    [
        (PAIR, {"result": "cutout"}, "cutout.png", ()),
        (PAIR, {"result": "foreground", "format": "jpeg"}, "foreground.jpg", ()),
        (PAIR, {"result": "cutout", "background": "#00b140"}, "cutout.png", ("--background", "#00b140")),
        (
            {**PAIR, "background": "behind.png"},
            {"result": "cutout", "format": "jpeg"},
            "cutout.jpg",
            ("--background", "behind.png"),
        ),
        (PAIR, {"result": "alpha", "depth": "16", "format": "tiff"}, "alpha.tif", ("--depth", "16")),
        (PAIR, {"result": "cutout", "format": "exr", "depth": "float"}, "cutout.exr", ("--depth", "float")),
        (PAIR, {"result": "preview"}, "preview.png", ()),
        (PAIR, {"refine": "true"}, "alpha.png", ("--refine",)),
        (
            {"photo": "photo.png", "mask": "mask.png"},
            {"unknown_width": "5", "adaptive": "true"},
            "alpha.png",
            ("--mask", "mask.png", "--unknown", "5", "--adaptive"),
        ),
        (
            {"photo": "photo.png", "mask": "dim.png"},
            {"mask_labels": ["100", "7"]},
            "alpha.png",
            ("--mask", "dim.png", "--mask-label", "100", "--mask-label", "7"),
        ),
        ({"photo": "screen.png"}, {"key": "green"}, "alpha.png", ("--key", "green")),
        ({"photo": "screen.png"}, {"box": "14,10,36,28"}, "alpha.png", ("--box", "14,10,36,28")),
    ],
    ids=lambda given: "-".join(map(str, given.values())) if isinstance(given, dict) else None,
)
def test_results_are_those_of_the_command(
    service: Served,
    pictures: Path,
    mean_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    fields: dict[str, Any],
    kind: str,
    options: tuple[str, ...],
) -> None:
    answer = service.matte(pictures, files, **fields)
    assert answer.status_code == 200, answer.text
    monkeypatch.chdir(pictures)
    result, _, suffix = kind.rpartition(".")
    alpha = tmp_path / f"alpha.{'png' if suffix == 'jpg' else suffix}"
    arguments = [files["photo"], *([files["trimap"]] if "trimap" in files else []), "-o", str(alpha)]
    named = [] if result == "alpha" else [f"--{result}", str(tmp_path / kind)]
    run = called("ltm-infer", *arguments, *named, *options, "--engine", mean_onnx, "--device", "cpu")
    assert run.code == 0, run.err
    assert answer.content == (tmp_path / kind).read_bytes()


def test_several_results_come_in_a_zip(service: Served, pictures: Path) -> None:
    answer = service.matte(pictures, PAIR, result=["alpha", "cutout"])
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["alpha.png", "cutout.png"]
        alpha, cutout = (pixels(archive.read(name)) for name in archive.namelist())
    np.testing.assert_array_equal(cutout[..., 3], alpha)


ALONE = {"photo": "photo.png"}


@pytest.mark.parametrize(
    ("files", "fields", "status", "options"),
    [
        ({**PAIR, "photo": "cut.png"}, {}, 422, ()),
        ({**PAIR, "photo": "damaged.png"}, {}, 422, ()),
        ({**PAIR, "photo": "text.png"}, {}, 422, ()),
        ({**PAIR, "photo": "empty.png"}, {}, 422, ()),
        ({**PAIR, "photo": "large.png"}, {}, 422, ()),
        ({**ALONE, "trimap": "small.png"}, {}, 422, ()),
        ({**ALONE, "trimap": "known.png"}, {}, 422, ()),
        ({**ALONE, "trimap": "odd.png"}, {}, 422, ()),
        ({**ALONE, "trimap": "cut.png"}, {}, 422, ()),
        ({**ALONE, "mask": "dim.png"}, {}, 422, ("--mask", "dim.png")),
        ({**PAIR, "mask": "mask.png"}, {}, 400, ("--mask", "mask.png")),
        (ALONE, {}, 400, ()),
        ({"photo": "plain.png"}, {"key": "green"}, 422, ("--key", "green")),
        (ALONE, {"key": "greenish"}, 400, ("--key", "greenish")),
        (ALONE, {"box": "60,40,30,30"}, 422, ("--box", "60,40,30,30")),
        (PAIR, {"key_tolerance": "0.2"}, 400, ("--key-tolerance", "0.2")),
        (PAIR, {"unknown_width": "0"}, 400, ("--unknown", "0")),
        (PAIR, {"background": "white"}, 400, ("--background", "white")),
        (PAIR, {"premultiplied": "true"}, 400, ("--premultiplied",)),
        (PAIR, {"depth": "half"}, 400, ("--depth", "half")),
        (PAIR, {"exposure": "1000"}, 400, ("--exposure", "1000")),
        ({**PAIR, "background": "small.png"}, {"result": "cutout"}, 422, ("--background", "small.png")),
    ],
    ids=lambda given: "-".join(map(str, given.values())) or "nothing" if isinstance(given, dict) else None,
)
def test_bad_requests_are_told_in_the_words_of_the_command(
    service: Served,
    pictures: Path,
    mean_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    fields: dict[str, str],
    status: int,
    options: tuple[str, ...],
) -> None:
    answer = service.matte(pictures, files, **fields)
    assert answer.status_code == status, answer.text
    said = answer.json()
    monkeypatch.chdir(pictures)
    monkeypatch.setenv("LTM_MAX_MEGAPIXELS", str(MEGAPIXELS))
    arguments = [files["photo"], *([files["trimap"]] if "trimap" in files else []), "-o", "alpha.png"]
    named = ["--cutout", "cutout.png"] if fields.get("result") == "cutout" else []
    run = called("ltm-infer", *arguments, *named, *options, "--engine", mean_onnx)
    assert run.code in (1, 2)
    assert f"ltm-infer: {with_flags(said['error'], infer)}\n" == run.err
    assert said.get("field") in (None, "photo", "trimap", "mask", *TEXTS)
    assert not (pictures / "alpha.png").exists()


@pytest.mark.parametrize(
    ("files", "fields", "words"),
    [
        ({"trimap": "trimap.png"}, {}, ("`photo` must be given",)),
        (PAIR, {"colour": "red"}, ("'colour' is no field", "unknown_width")),
        (PAIR, {"result": "matte"}, ("`result` must be one of alpha, cutout, foreground, preview", "'matte'")),
        (PAIR, {"depth": "12"}, ("`depth` must be one of 8, 16, half, float", "'12'")),
        (ALONE, {"box": "1,2,x"}, ("`box` must be 4 numbers with commas between them", "'1,2,x'")),
        (ALONE, {"box": "1,2,3"}, ("`box` must be 4 numbers", "'1,2,3'")),
        (ALONE, {"key": ["green", "blue"]}, ("`key` must be given once", "got 2")),
        (PAIR, {"adaptive": "perhaps"}, ("`adaptive` must be true or false", "'perhaps'")),
        (PAIR, {"largest": "1.5"}, ("`largest` must be a whole number",)),
        ({**PAIR, "depth": "text.png"}, {}, ("`depth` must be a text; got a file",)),
        (ALONE, {"trimap": "/etc/passwd"}, ("`trimap` must be a file of the form", "no paths or URLs are opened")),
        (ALONE, {"mask": "http://127.0.0.1/mask.png"}, ("`mask` must be a file of the form",)),
        (PAIR, {"result": "cutout", "background": "../behind.png"}, ("`background` must be a colour", "or a file")),
        (PAIR, {"result": "cutout", "format": "jpeg"}, ("requires a result without transparency",)),
        (PAIR, {"engine": "other.onnx"}, ("'engine' is no field",)),
        (PAIR, {"result": "cutout", "background": "/etc/passwd"}, ("`background` must be a colour",)),
    ],
)
def test_forms_that_are_none(
    service: Served, pictures: Path, files: dict[str, str], fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    answer = service.matte(pictures, files, **fields)
    assert answer.status_code == 400, answer.text
    for word in words:
        assert word in answer.json()["error"]


@pytest.mark.parametrize(
    "name", ["../../escape.png", "/etc/escape.png", "a\\..\\b.png", "\x1b[31mred.png", "..", "x" * 300]
)
def test_names_of_files_lead_nowhere(service: Served, pictures: Path, name: str) -> None:
    files = {"photo": (name, (pictures / "text.png").read_bytes()), "trimap": (name, b"")}
    said = service.client.post(MATTE, files=files).json()["error"]
    assert said.isprintable()
    assert "/" not in said.partition(":")[0]
    assert not list(service.cwd.iterdir())
    assert service.keeps() == []


def test_what_is_no_form_is_refused(service: Served) -> None:
    post, form = service.client.post, {"Content-Type": "multipart/form-data; boundary=x"}
    assert post(MATTE, json={}).status_code == 415
    other = {"Content-Type": "multipart/form-database; boundary=x"}
    assert post(MATTE, content=b"--x--", headers=other).status_code == 415
    upper = post(MATTE, content=b"--x--", headers={"Content-Type": "Multipart/Form-Data; boundary=x"})
    assert (upper.status_code, upper.json()["field"]) == (400, "photo"), "names of types have no case"
    assert post(MATTE, content=iter([b"x"]), headers=form).status_code == 411
    # Only the head is sent: the answer does not wait for the rest.
    host, _, port = service.address.rpartition("/")[2].partition(":")
    head = f"POST {MATTE} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {form['Content-Type']}\r\nContent-Length: 9999999"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert int(connection.recv(100).split()[1]) == 413
    assert post(MATTE, content=b"no boundary", headers=form).status_code == 400
    # As curl sends it with photo=<photo.jpg in place of photo=@photo.jpg: without a name it is a text.
    unnamed = post(MATTE, files={"photo": (None, bytes(20_000))})
    assert unnamed.status_code == 400
    assert "each file has a name, and each text at most 10000 bytes" in unnamed.json()["error"]
    many = [("mask_labels", (None, "1"))] * 300
    assert post(MATTE, files=many).status_code == 400
    assert post(MATTE, files={"key": (None, "x" * 20_000)}).status_code in (400, 413)
    assert service.client.get(MATTE).status_code == 405
    assert service.client.get("/v1/other").json() == {"error": "Not Found"}
    assert service.client.get("/", headers={"Host": "evil.example"}).status_code == 421
    answer = service.client.get("/", headers={"Origin": "http://evil.example"})
    assert (answer.status_code, answer.json()) == (403, {"error": "requests from other sites are refused"})


def test_what_it_says_of_itself(service: Served) -> None:
    get = service.client.get
    assert get("/healthz").json() == {"status": "ok"}
    engine = get("/v1/engine").json()
    assert engine["name"] == "onnxruntime-cpu"
    assert engine["patch_hw"] == [32, 32]
    assert engine["max_megapixels"] == MEGAPIXELS
    document = get("/openapi.json").json()
    form = document["paths"][MATTE]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == set(SAID) == {*FILES, *TEXTS, "result"}
    assert set(form["properties"]["depth"]["enum"]) == {"8", "16", "half", "float"}
    answers = document["paths"][MATTE]["post"]["responses"]
    table = (ROOT / "docs" / "how-to" / "serve.md").read_text().partition("## Errors")[2].partition("\n## ")[0]
    assert set(answers) == {"200", *re.findall(r"\b[45]\d\d\b", " ".join(re.findall(r"^\| ([\d, ]+) \|", table, re.M)))}
    page = get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert all(f"<code>{name}</code>" in page.text for name in SAID)
    assert "http://" not in page.text
    assert "<script" not in page.text


def test_it_counts(service: Served, pictures: Path) -> None:
    def counted() -> tuple[float, ...]:
        done, bad = (f'ltm_requests_total{{method="POST",path="{MATTE}",status="{status}"}}' for status in (200, 422))
        stage = 'ltm_stage_calls_total{stage="decode photo"}'
        return tuple(service.number(name) for name in (done, bad, stage, "ltm_queue_seconds_count"))

    before = counted()
    assert service.matte(pictures, PAIR).status_code == 200
    assert service.matte(pictures, {**PAIR, "photo": "cut.png"}).status_code == 422
    assert np.subtract(counted(), before).tolist() == [1, 1, 2, 2]
    assert service.number("process_resident_memory_bytes") > 20e6
    assert service.number("ltm_peak_memory_bytes") > 20e6
    assert service.number("ltm_jobs_running") == service.number("ltm_queue_length") == 0


def test_the_client_of_the_docs(
    service: Served, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (block for block in blocks("python") if block.page == "docs/how-to/serve.md")
    code = [line for line in block.text.splitlines() if line.strip() and not line.startswith("import")]
    assert len(code) == 5
    (tmp_path / "photo.jpg").write_bytes((pictures / "photo.png").read_bytes())
    (tmp_path / "trimap.png").write_bytes((pictures / "trimap.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text.replace("http://127.0.0.1:8765", service.address), str(block), "exec"), {})
    assert pixels((tmp_path / "cutout.png").read_bytes()).shape == (*HW, 4)
