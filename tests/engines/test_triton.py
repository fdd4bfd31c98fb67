"""Matting on a server that speaks Triton's protocol, as a user does it, in the environment of Triton's client."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import UsageError
from litematting_deploy.runtime import load_engine
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, ROOT, Run, assert_one_line, run

TRITON = ROOT / ".venv-triton" / "bin"
STUB = Path(__file__).with_name("triton_stub.py")
MOST = 4


def infer(*arguments: object) -> Run:
    """The command of the client's environment, which has neither PyTorch nor onnx."""
    assert (TRITON / "ltm-infer").exists(), f"{TRITON.parent} is missing: make check-all makes it"
    return run(TRITON / "ltm-infer", *map(str, arguments))


@pytest.fixture(scope="module")
def repository(small_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "models"
    result = run("ltm-export", small_onnx, "--triton", folder, "--triton-max-batch", str(MOST))
    assert result.code == 0, result.err
    return folder


@contextmanager
def served(repository: Path, requests: Path, *options: object) -> Iterator[str]:
    """Address of a server that ends with the test."""
    command = [TRITON / "python", STUB, repository, requests, *options]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("requests") / "requests.txt"


@pytest.fixture(scope="module")
def address(repository: Path, requests: Path) -> Iterator[str]:
    with served(repository, requests) as where:
        yield where


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A crop of the example and its trimap."""
    folder = tmp_path_factory.mktemp("pair")
    for source, name in ((EXAMPLE, "photo.png"), (EXAMPLE_TRIMAP, "trimap.png")):
        with Image.open(source) as picture:
            picture.crop((600, 1000, 800, 1160)).save(folder / name)
    return folder / "photo.png", folder / "trimap.png"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize(("version", "batch", "largest"), [("", (), MOST), ("/1", ("--batch", 3), 3)])
def test_equals_the_same_engine_at_home(
    version: str,
    batch: tuple[object, ...],
    largest: int,
    pair: tuple[Path, Path],
    small_onnx: Path,
    address: str,
    requests: Path,
    tmp_path: Path,
) -> None:
    requests.write_text("")
    result = infer(*pair, "-o", tmp_path / "far.png", "--engine", f"grpc://{address}/litematting{version}", *batch)
    assert result.code == 0, result.err
    assert f"triton 0.0.1 on {address}, 64x64 fp32" in result.out
    home = infer(*pair, "-o", tmp_path / "near.png", "--engine", small_onnx)
    assert home.code == 0, home.err
    near, far = pixels(tmp_path / "near.png"), pixels(tmp_path / "far.png")
    assert near.std() > 30
    assert np.abs(near - far).max() <= 1
    lines = [line.split() for line in requests.read_text().splitlines()]
    counts = [int(count) for _, _, count in lines]
    assert {(model, said) for model, said, _ in lines} == {("litematting", version.strip("/") or "-")}
    assert f" {sum(counts)} patches" in result.out
    assert set(counts[:-1]) == {largest}, "full batches, and what is left"
    assert 1 <= counts[-1] <= largest


@pytest.mark.slow
@pytest.mark.heavy
def test_pixels_have_the_alpha_of_tensors(
    pair: tuple[Path, Path], small_onnx: Path, address: str, tmp_path: Path
) -> None:
    """The server makes the network's inputs, the guide included."""
    options = ("--triton-inputs", "pixels", "--triton-max-batch", str(MOST))
    assert run("ltm-export", small_onnx, "--triton", tmp_path / "models", *options).code == 0
    with served(tmp_path / "models", tmp_path / "requests.txt") as pixels_address:
        for name, where in (("tensors", address), ("pixels", pixels_address)):
            result = infer(*pair, "-o", tmp_path / f"{name}.png", "--engine", f"grpc://{where}/litematting")
            assert result.code == 0, result.err
    assert np.abs(pixels(tmp_path / "tensors.png") - pixels(tmp_path / "pixels.png")).max() <= 1


@pytest.mark.slow
@pytest.mark.heavy
def test_messages_of_more_than_four_megabytes(mean_onnx: Path, tmp_path: Path) -> None:
    """As patches of 640x640 make them; gRPC refuses them where nothing else is said."""
    assert run("ltm-export", mean_onnx, "--triton", tmp_path / "models", "--triton-max-batch", "1024").code == 0
    noise = np.random.default_rng(0).integers(0, 256, (600, 560, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    Image.fromarray(np.full((600, 560), 128, np.uint8)).save(tmp_path / "trimap.png")
    job = (tmp_path / "photo.png", tmp_path / "trimap.png", "--plan", "grid", "-o")
    with served(tmp_path / "models", tmp_path / "requests.txt") as address:
        far = infer(*job, tmp_path / "far.png", "--engine", f"grpc://{address}/litematting")
    assert far.code == 0, far.err
    assert "litematting - 1024" in (tmp_path / "requests.txt").read_text().splitlines()
    assert infer(*job, tmp_path / "near.png", "--engine", mean_onnx).code == 0
    assert np.abs(pixels(tmp_path / "near.png") - pixels(tmp_path / "far.png")).max() == 0


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("nothing", (), ("no model nothing that is ready", "its model repository is the one that")),
        ("litematting/7", (), ("no model litematting that is ready",)),
        ("unready", (), ("no model unready that is ready",)),
        ("other", (), ("guide, image, matte, trimap", "expected inputs image, trimap, guide and output alpha")),
        ("batchless", (), ("max_batch_size is 0",)),
        ("narrow", (), ("returned [('alpha', (4, 1, 64, 63), 'FP32')]", "expected alpha (4, 1, 64, 64)")),
        ("truncated", (), ("of [65532] bytes", "expected alpha (4, 1, 64, 64)")),
        ("nan", (), ("the alpha of this image contains NaN or infinity",)),
        ("refusing", (), ("the server refused the request, INVALID_ARGUMENT: the GPU is on holiday",)),
        ("hanging", ("--timeout", 2), ("no answer within 2 s", "--timeout", "--batch")),
    ],
)
def test_what_a_server_does_wrong_is_one_line(
    model: str,
    options: tuple[object, ...],
    words: tuple[str, ...],
    pair: tuple[Path, Path],
    address: str,
    tmp_path: Path,
) -> None:
    url = f"grpc://{address}/{model}"
    started = time.monotonic()
    assert_one_line(infer(*pair, "-o", tmp_path / "alpha.png", "--engine", url, *options), 1, url, *words)
    assert time.monotonic() - started < 25
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.heavy
def test_from_python_and_on_a_data_set(pair: tuple[Path, Path], address: str, tmp_path: Path) -> None:
    url = f"grpc://{address}/litematting"
    for name, path in zip(("merged", "trimaps", "alpha"), (*pair, pair[1]), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.png").write_bytes(path.read_bytes())
    result = run(TRITON / "ltm-eval", tmp_path, "--engine", url)
    assert (result.code, "triton 0.0.1 on" in result.out) == (0, True), result
    script = f"""
import sys, numpy as np
from litematting_deploy import Matter
image, trimap = np.zeros((64, 70, 3), np.uint8), np.full((64, 70), 128, np.uint8)
with Matter.load({url!r}, batch=1, timeout_s=60) as matter:
    assert matter(image, trimap).shape == (64, 70)
assert not {{"torch", "onnx", "onnxruntime"}} & set(sys.modules)
"""
    subprocess.run([TRITON / "python", "-c", script], check=True)


@pytest.mark.slow
@pytest.mark.heavy
def test_contradictions_are_one_line(pair: tuple[Path, Path], address: str, tmp_path: Path) -> None:
    url = f"grpc://{address}/litematting"
    job = (*pair, "-o", tmp_path / "alpha.png", "--engine", url)
    assert_one_line(infer(*job, "--batch", 5), 2, url, "--batch must be between 1 and 4")
    assert_one_line(infer(*job, "--patch", "32x32"), 2, url, "must be 64x64, the only patch size", "got 32x32")


@pytest.mark.slow
@pytest.mark.heavy
def test_nobody_there_and_a_server_that_dies(pair: tuple[Path, Path], repository: Path, tmp_path: Path) -> None:
    """The second request is not answered: nothing is tried again, and nothing is left of the first."""
    requests, out = tmp_path / "requests.txt", tmp_path / "out"
    out.mkdir()
    with served(repository, requests, "--die-after", 1) as address:
        url = f"grpc://{address}/litematting"
        job = (*pair, "-o", out / "alpha.png", "--batch", 2, "--engine", url)
        assert_one_line(infer(*job), 1, url, "the server does not answer")
        assert len(requests.read_text().splitlines()) == 2
        assert_one_line(infer(*job), 1, url, "the server does not answer", "start tritonserver")
    assert list(out.iterdir()) == []


@pytest.mark.slow
@pytest.mark.heavy
def test_resuming_looks_at_the_weights_that_are_served(
    pair: tuple[Path, Path], small_onnx: Path, address: str, requests: Path, tmp_path: Path
) -> None:
    for name, path in zip(("photos", "trimaps"), pair, strict=True):
        (tmp_path / name).mkdir()
        for frame in ("a.png", "b.png"):
            (tmp_path / name / frame).write_bytes(path.read_bytes())
    job = (tmp_path / "photos", tmp_path / "trimaps", "-o", tmp_path / "out")
    far = ("--engine", f"grpc://{address}/litematting")
    assert infer(*job, *far).code == 0
    requests.write_text("")
    (tmp_path / "out" / "b.png").unlink()
    assert ", 1 already done, 0 failed" in infer(*job, *far, "--resume").out
    assert requests.read_text()
    home = infer(*job, "--engine", small_onnx, "--resume")
    assert_one_line(home, 2, "--engine (triton ", "now --engine (onnxruntime-cpu ", "; on a server, now --device cpu;")
    assert_one_line(infer(*job, "--resume"), 2, "was started with other settings: --engine (")
    unknown = f"grpc://{address}/originless"
    assert_one_line(infer(*job, "--engine", unknown, "--resume"), 2, unknown, "does not report its weights", "--resume")
    assert infer(*job, "--engine", unknown).code == 0


@pytest.mark.slow
@pytest.mark.heavy
def test_tls_trusts_the_authorities_of_grpc(
    pair: tuple[Path, Path], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    names = ("-subj", "/CN=stub", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain, *names)
    subprocess.run(command, check=True, capture_output=True)
    with served(repository, tmp_path / "requests.txt", "--certificate", chain, key) as address:
        job = (*pair, "-o", tmp_path / "alpha.png", "--timeout", "20", "--engine")
        assert_one_line(infer(*job, f"grpcs://{address}/litematting"), 1, "the server does not answer")
        assert_one_line(infer(*job, f"grpc://{address}/litematting"), 1, "the server does not answer")
        monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(chain))
        result = infer(*job, f"grpcs://{address}/litematting")
        assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("grpc://here", "expected grpc://HOST:8001/MODEL"),
        ("grpc:///litematting", "expected grpc://HOST:8001/MODEL"),
        ("grpcs://here:8001/litematting/newest", "expected grpcs://HOST:8001/MODEL"),
        ("grpc://me:secret@here/litematting", "expected grpc://HOST:8001/MODEL"),
        ("grpc://here:port/litematting", "not an address"),
    ],
)
def test_addresses(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_engine(url)


@pytest.mark.parametrize(
    "options", [{"device": "cuda"}, {"precision": "fp16"}, {"threads": 2}, {"compiled": True}, {"trust": True}], ids=str
)
def test_what_only_the_server_decides_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(
        UsageError, match=rf"`{next(iter(options))}` applies only to .* and this is a model on a server"
    ):
        load_engine("grpc://here/litematting", **options)


def test_only_a_server_is_waited_for() -> None:
    with pytest.raises(
        UsageError, match="`timeout_s` applies only to a model on a server, and this is an ONNX on the CPU"
    ):
        load_engine(timeout_s=3)


def test_without_the_client(tmp_path: Path) -> None:
    job = (EXAMPLE, EXAMPLE_TRIMAP, "-o", tmp_path / "alpha.png", "--engine", "grpc://here/litematting")
    assert_one_line(run("ltm-infer", *job, block="tritonclient"), 1, "tritonclient", "[triton]")


@pytest.mark.heavy
def test_the_doctor_of_this_environment(tmp_path: Path) -> None:
    result = run(TRITON / "ltm-doctor", "--json", tmp_path / "doctor.json")
    assert result.code == 0, result
    (client,) = [
        check
        for check in json.loads((tmp_path / "doctor.json").read_bytes())["checks"]
        if check["name"] == "Triton client"
    ]
    assert (client["state"], client["version"].partition(" ")[0]) == ("runs", "tritonclient")
