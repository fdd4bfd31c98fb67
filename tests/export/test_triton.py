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


def test_engines_that_do_not_belong(small_onnx: Path, engine: Path, tmp_path: Path) -> None:
    job = ("ltm-export", small_onnx, "--triton", tmp_path / "models", "--triton-engine", engine)
    for values, words in (
        ({"backend": "tensorrt-rtx"}, ("built by tensorrt-rtx", "ltm-build", "backend tensorrt")),
        ({"batches": (2, 4, 8)}, ("takes 2 to 8 patches", "batches of 1 to 8")),
        ({"checkpoint_sha256": "f" * 64}, ("its checkpoint is ffffffffffff", "build one from this ONNX")),
        ({"patch_hw": (64, 96)}, ("its patch size is 64x96, but that of the ONNX is 64x64",)),
        ({"precision": "tf32"}, ("its precision is tf32, but that of the ONNX is fp32; build it without TF32",)),
    ):
        before = check_engine_sidecar(engine)
        assert_one_line(run(*job[:-1], changed(engine, **values)), 2, "model.engine", *words)
        write_sidecar(engine, before)
    engine.write_bytes(b"another plan")
    assert_one_line(run(*job), 1, "model.engine", "damaged")
    assert not (tmp_path / "models").exists(), "Triton would not start with empty folders of models"


def test_an_engine_from_before_is_not_left_beside_other_weights(small_onnx: Path, engine: Path, tmp_path: Path) -> None:
    job = ("ltm-export", small_onnx, "--triton", tmp_path / "models")
    assert called(*job, "--triton-engine", engine).code == 0
    assert called(*job).code == 0, "the same weights"
    plan = changed(tmp_path / "models" / "litematting_trt" / "1" / "model.plan", checkpoint_sha256="f" * 64)
    assert_one_line(called(*job), 2, str(plan), "its checkpoint is ffffffffffff", "--triton-engine")


def test_other_mistakes(small_onnx: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    to = ("--triton", models)
    assert_one_line(called("ltm-export", "m.pth", "--triton-kind", "gpu"), 2, "--triton-kind requires --triton FOLDER")
    assert_one_line(called("ltm-export", small_onnx, *to, "--height", "64"), 2, "--height", "is already exported")
    assert_one_line(called("ltm-export", small_onnx, *to, "-o", "x.onnx"), 2, "--output", "is already exported")
    assert_one_line(called("ltm-export", SHIPPED_ENGINE, *to), 1, "litematting.onnx", "weights in another file")
    assert_one_line(called("ltm-export", ROOT / "README.md", *to, "--batch", "2"), 2, "exactly 2", "--batch dynamic")
    (tmp_path / "file").write_text("")
    assert_one_line(called("ltm-export", small_onnx, "--triton", tmp_path / "file"), 1, "file", "cannot be written")
    assert_one_line(called("ltm-export", small_onnx, "--triton", "a" * 300), 1, "aaa", "cannot be written", "too long")
    (tmp_path / "x.onnx").write_bytes(small_onnx.read_bytes())
    assert_one_line(called("ltm-export", tmp_path / "x.onnx", *to), 1, "x.onnx", "no sidecar")
    assert not models.exists()
