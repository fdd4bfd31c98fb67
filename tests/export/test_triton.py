"""ltm-export --triton: what lies in the repository, and Triton's own protobuf on it."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from litematting_deploy.export.pbtxt import Word, pbtxt
from litematting_deploy.export.triton import Serving, onnx_config
from litematting_deploy.files import sha256
from litematting_deploy.runtime.shipped import SHIPPED_ENGINE
from litematting_deploy.sidecar import EngineSidecar, Sidecar, check_engine_sidecar, check_sidecar, write_sidecar
from tests.conftest import ROOT, assert_one_line, called, run

TRITON = ROOT / ".venv-triton" / "bin"
CHANNELS = {"image": 3, "trimap": 3, "guide": 2}
PARSE = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
config = text_format.Parse(open(sys.argv[1], encoding="utf-8").read(), model_config_pb2.ModelConfig())
print(json_format.MessageToJson(config, preserving_proto_field_name=True))
"""


@pytest.fixture
def engine(small_onnx: Path, tmp_path: Path) -> Path:
    """What ltm-build would leave for TensorRT, which needs a GPU to build; nobody opens it here."""
    path, onnx = tmp_path / "model.engine", check_sidecar(small_onnx)
    assert onnx is not None
    path.write_bytes(b"a plan")
    sidecar = EngineSidecar(
        file=path.name,
        sha256=sha256(path),
        source=small_onnx.name,
        source_sha256=onnx.sha256,
        backend="tensorrt",
        backend_version="10.13",
        architectures=("8.9",),
        patch_hw=(64, 64),
        batches=(1, 2, 6),
        precision="fp32",
        checkpoint=onnx.checkpoint,
        checkpoint_sha256=onnx.checkpoint_sha256,
    )
    write_sidecar(path, sidecar)
    return path


def changed(engine: Path, **values: Any) -> Path:
    write_sidecar(engine, replace(check_engine_sidecar(engine), **values))
    return engine


def parsed(config: Path) -> dict[str, Any]:
    """A configuration as Triton reads it; a field that it does not know is an error."""
    assert (TRITON / "python").exists(), f"{TRITON.parent} is missing: make check-all makes it"
    done = subprocess.run([TRITON / "python", "-c", PARSE, config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


@pytest.mark.slow
@pytest.mark.heavy
def test_triton_understands_the_configurations(small_onnx: Path, engine: Path, tmp_path: Path) -> None:
    options = ("--triton-max-batch", "12", "--triton-instances", "2", "--triton-kind", "cpu", "--triton-engine", engine)
    assert run("ltm-export", small_onnx, "--triton", tmp_path / "models", *options).code == 0
    expected = {
        "litematting": ("onnxruntime_onnx", 12, [6, 12], "KIND_CPU"),
        "litematting_trt": ("tensorrt_plan", 6, [2, 6], "KIND_GPU"),
    }
    for model, (platform, most, preferred, kind) in expected.items():
        config = parsed(tmp_path / "models" / model / "config.pbtxt")
        assert (config["name"], config["platform"], config["max_batch_size"]) == (model, platform, most)
        tensors = {item["name"]: (item["data_type"], item["dims"]) for item in config["input"] + config["output"]}
        assert tensors == {
            name: ("TYPE_FP32", [str(channels), "64", "64"]) for name, channels in {**CHANNELS, "alpha": 1}.items()
        }
        assert config["dynamic_batching"]["preferred_batch_size"] == preferred
        assert config["instance_group"] == [{"count": 2, "kind": kind}]
        assert [sample["batch_size"] for sample in config["model_warmup"]] == [1, most]
        for sample in config["model_warmup"]:
            assert {key: value["dims"] for key, value in sample["inputs"].items()} == {
                name: [str(channels), "64", "64"] for name, channels in CHANNELS.items()
            }
        sidecar = check_sidecar(small_onnx)
        assert sidecar is not None
        assert config["parameters"]["litematting.checkpoint_sha256"]["string_value"] == sidecar.checkpoint_sha256


@pytest.mark.slow
@pytest.mark.heavy
def test_triton_unescapes_what_was_escaped(tmp_path: Path) -> None:
    """Names of checkpoints are whatever their users call them."""
    name = 'ein "Schuß" \\ 1.pth'
    sidecar = Sidecar("m.onnx", "a" * 64, name, "b" * 64, (64, 96), None, "fp32", "matmul", "group", 21)
    (tmp_path / "config.pbtxt").write_text(onnx_config(sidecar, Serving(tmp_path)), encoding="utf-8")
    config = parsed(tmp_path / "config.pbtxt")
    assert config["parameters"]["litematting.checkpoint"]["string_value"] == name
    with (tmp_path / "config.pbtxt").open("a") as file:
        file.write("max_bach_size: 3\n")
    with pytest.raises(AssertionError, match="max_bach_size"):
        parsed(tmp_path / "config.pbtxt")


def test_text_format() -> None:
    message = pbtxt(
        {
            "name": 'a "b"',
            "dims": [3, 64],
            "group": [{"count": 1, "kind": Word("KIND_CPU")}, {"count": 2}],
            "batching": {"delay": 5},
        }
    )
    assert message == (
        'name: "a \\"b\\""\ndims: [ 3, 64 ]\ngroup {\n  count: 1\n  kind: KIND_CPU\n}\ngroup {\n  count: 2\n}\n'
        "batching {\n  delay: 5\n}"
    )


def test_an_onnx_and_its_engine_become_a_repository(small_onnx: Path, engine: Path, tmp_path: Path) -> None:
    models = tmp_path / "new" / "models"
    result = run("ltm-export", small_onnx, "--triton", models, "--triton-engine", engine)
    assert result.code == 0, result.err
    assert f"tritonserver --model-repository {models}" in result.out
    files = {str(path.relative_to(models)) for path in models.rglob("*") if path.is_file()}
    assert files == {
        *("litematting/config.pbtxt", "litematting/1/model.onnx", "litematting/1/model.onnx.json"),
        *("litematting_trt/config.pbtxt", "litematting_trt/1/model.plan", "litematting_trt/1/model.plan.json"),
    }
    assert (models / "litematting" / "1" / "model.onnx").read_bytes() == small_onnx.read_bytes()
    assert (models / "litematting_trt" / "1" / "model.plan").read_bytes() == b"a plan"
    placed, original = check_sidecar(models / "litematting" / "1" / "model.onnx"), check_sidecar(small_onnx)
    assert original is not None
    assert placed == replace(original, file="model.onnx")
    config = (models / "litematting" / "config.pbtxt").read_text()
    for line in ("max_batch_size: 8", "preferred_batch_size: [ 4, 8 ]", "  count: 1", "kind: KIND_AUTO"):
        assert line in config


@pytest.mark.slow
@pytest.mark.heavy
def test_a_checkpoint_becomes_onnx_and_repository(checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    target, models = tmp_path / "own.onnx", tmp_path / "models"
    options = ("--height", "32", "--width", "64", "--triton-max-batch", "1", "--tolerance", "1")
    result = run("ltm-export", checkpoints(""), "-o", target, "--triton", models, *options)
    assert result.code == 0, result.err
    assert (models / "litematting" / "1" / "model.onnx").read_bytes() == target.read_bytes()
    config = (models / "litematting" / "config.pbtxt").read_text()
    assert "dims: [ 3, 32, 64 ]" in config
    assert config.count("model_warmup") == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"backend": "tensorrt-rtx"}, ("built by tensorrt-rtx", "ltm-build", "backend tensorrt")),
        ({"batches": (2, 4, 8)}, ("takes 2 to 8 patches", "batches of 1 to 8")),
        ({"checkpoint_sha256": "f" * 64}, ("its checkpoint is ffffffffffff", "build one from this ONNX")),
        ({"patch_hw": (64, 96)}, ("its patch size is 64x96, but that of the ONNX is 64x64",)),
        ({"precision": "tf32"}, ("its precision is tf32, but that of the ONNX is fp32; build it without TF32",)),
    ],
    ids=["backend", "batches", "checkpoint", "patch size", "precision"],
)
def test_an_engine_that_does_not_belong_to_its_onnx_is_refused_and_nothing_is_written(
    values: dict[str, Any], words: tuple[str, ...], small_onnx: Path, engine: Path, tmp_path: Path
) -> None:
    job = ("ltm-export", small_onnx, "--triton", tmp_path / "models", "--triton-engine", changed(engine, **values))
    assert_one_line(called(*job), 2, "model.engine", *words)
    assert not (tmp_path / "models").exists(), "Triton would not start with empty folders of models"


def test_a_damaged_engine_is_refused_and_nothing_is_written(small_onnx: Path, engine: Path, tmp_path: Path) -> None:
    engine.write_bytes(b"another plan")
    job = ("ltm-export", small_onnx, "--triton", tmp_path / "models", "--triton-engine", engine)
    assert_one_line(run(*job), 1, "model.engine", "damaged")
    assert not (tmp_path / "models").exists(), "Triton would not start with empty folders of models"


def test_an_engine_from_before_is_not_left_beside_other_weights(small_onnx: Path, engine: Path, tmp_path: Path) -> None:
    job = ("ltm-export", small_onnx, "--triton", tmp_path / "models")
    assert called(*job, "--triton-engine", engine).code == 0
    assert called(*job).code == 0, "the same weights"
    plan = changed(tmp_path / "models" / "litematting_trt" / "1" / "model.plan", checkpoint_sha256="f" * 64)
    assert_one_line(called(*job), 2, str(plan), "its checkpoint is ffffffffffff", "--triton-engine")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("m.pth --triton-kind gpu", 2, ("--triton-kind requires --triton FOLDER",)),
        ("ONNX --triton MODELS --height 64", 2, ("--height", "is already exported")),
        ("ONNX --triton MODELS -o x.onnx", 2, ("--output", "is already exported")),
        (f"{SHIPPED_ENGINE} --triton MODELS", 1, ("litematting.onnx", "weights in another file")),
        (f"{ROOT}/README.md --triton MODELS --batch 2", 2, ("exactly 2", "--batch dynamic")),
        ("ONNX --triton file", 1, ("file", "cannot be written")),
        (f"ONNX --triton {'a' * 300}", 1, ("aaa", "cannot be written", "too long")),
        ("alone.onnx --triton MODELS", 1, ("alone.onnx", "no sidecar")),
    ],
    ids=[
        "a kind without a folder",
        "a height of an ONNX that is there",
        "an output of an ONNX that is there",
        "an ONNX without its weights",
        "a batch that is fixed",
        "a file in the place of the folder",
        "a name that is too long",
        "an ONNX without its sidecar",
    ],
)
def test_a_repository_that_cannot_be_is_refused_in_one_line_and_not_begun(
    arguments: str,
    code: int,
    words: tuple[str, ...],
    small_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("alone.onnx").write_bytes(small_onnx.read_bytes())
    given = [{"ONNX": str(small_onnx), "MODELS": "models"}.get(word, word) for word in arguments.split()]
    assert_one_line(called("ltm-export", *given), code, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.onnx", "file"]
