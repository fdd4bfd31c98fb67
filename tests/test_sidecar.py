"""The sidecar of an engine; that of an ONNX is covered where ONNX files are made and run."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from litematting_deploy.cli.command import with_flags
from litematting_deploy.cli.infer import main
from litematting_deploy.errors import ArtefactError
from litematting_deploy.files import sha256
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE
from litematting_deploy.sidecar import (
    EngineSidecar,
    Sidecar,
    check_engine_sidecar,
    sidecar_path,
    weights_sha256,
    write_sidecar,
)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A file with the sidecar of an engine."""
    path = tmp_path / "my m.engine"
    path.write_bytes(b"a plan")
    write_sidecar(path, described(path))
    return path


def described(path: Path, **changes: Any) -> EngineSidecar:
    values: dict[str, Any] = {
        "file": path.name,
        "sha256": sha256(path),
        "source": "m.onnx",
        "source_sha256": "0" * 64,
        "backend": "tensorrt-rtx",
        "backend_version": "1.7.1.116",
        "architectures": ("8.6", "12.0"),
        "patch_hw": (640, 640),
        "batches": (1, 4, 8),
        "precision": "fp16",
    }
    return EngineSidecar(**{**values, **changes})


def test_whose_weights(engine: Path) -> None:
    """Engines of one checkpoint have its hash in common, whatever GPUs they were built for; others have their own."""
    assert weights_sha256(engine) == sha256(engine)
    write_sidecar(engine, described(engine, checkpoint="m.pth", checkpoint_sha256="1" * 64))
    assert weights_sha256(engine) == "1" * 64
    assert weights_sha256(SHIPPED_ENGINE) == sha256(SHIPPED_CHECKPOINT)


def test_comes_back_as_it_was(engine: Path) -> None:
    assert check_engine_sidecar(engine) == described(engine)


def test_the_command_that_builds_it_again_has_parameters_and_in_the_mouth_of_a_command_flags(engine: Path) -> None:
    assert described(engine).build_command() == (
        "`ltm-build m.onnx 'output=my m.engine' backend=tensorrt-rtx architectures=8.6,12.0 "
        "min_batch=1 opt_batch=4 max_batch=8`"
    )
    assert with_flags(f"again: {described(engine).build_command()}!", main) == (
        "again: ltm-build m.onnx --output 'my m.engine' --backend tensorrt-rtx --sm 8.6,12.0 "
        "--min-batch 1 --opt-batch 4 --max-batch 8!"
    )
    full = described(
        engine,
        backend="tensorrt",
        architectures=("8.0",),
        precision="tf32",
        refittable=True,
        hardware_compatibility="ampere+",
        workspace_mib=512,
        optimization_level=0,
    )
    assert with_flags(full.build_command(), main).endswith(
        "--backend tensorrt --min-batch 1 --opt-batch 4 --max-batch 8 --tf32 --refit "
        "--hardware-compatibility ampere+ --workspace 512 --optimization-level 0"
    )


def test_where_it_runs(engine: Path) -> None:
    plain = described(engine)
    assert [plain.runs_on(capability) for capability in ((8, 6), (12, 0), (8, 9))] == [True, True, False]
    portable = described(engine, architectures=("8.0",), hardware_compatibility="ampere+")
    assert [portable.runs_on(capability) for capability in ((7, 5), (8, 0), (9, 0))] == [False, True, True]


def test_a_damaged_engine_is_refused(engine: Path) -> None:
    engine.write_bytes(b"another plan")
    with pytest.raises(ArtefactError, match=r"SHA-256 is .* mixed up; build it again: `ltm-build m\.onnx 'output=my m"):
        check_engine_sidecar(engine)


def test_a_sidecar_without_its_engine_is_refused(engine: Path) -> None:
    engine.unlink()
    with pytest.raises(ArtefactError, match=r"not found, but .* refers to it; build it again: `ltm-build"):
        check_engine_sidecar(engine)


def test_an_engine_without_its_sidecar_is_refused(engine: Path) -> None:
    sidecar_path(engine).unlink()
    with pytest.raises(ArtefactError, match=r"has no sidecar my m\.engine\.json.* ltm-build, or set `trust`"):
        check_engine_sidecar(engine)


@pytest.mark.parametrize("name", ["a`b.onnx", "it's.onnx", "a b=c.onnx", "$(rm -rf x).onnx", "batch=7"])
def test_names_from_a_file_stay_quoted_in_a_command(name: str) -> None:
    sidecar = Sidecar(name, "", name, "", (64, 96), 2, "fp16", "conv", "group", 21, weights_beside=True)
    line = with_flags(f"export it again: {sidecar.export_command()}", main).removeprefix("export it again: ")
    assert shlex.split(line)[:5] == ["ltm-export", name, "--output", name, "--height"]
    assert shlex.split(line)[-1] == "--weights-beside"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format is 2, and this version reads 1"),
        ({"architectures": "8.9"}, "architectures must be a list; got '8.9'"),
        ({"architectures": [8.9]}, r"architectures\[0\] must be a text; got 8.9"),
        ({"batches": [1, 8]}, "batches must be a list of length 3"),
        ({"batches": [1, 4, "8"]}, r"batches\[2\] must be an integer; got '8'"),
        ({"batches": [1, 8, 4]}, "batches do not rise"),
        ({"architectures": []}, "there are no architectures"),
        ({"patch_hw": [640]}, "patch_hw must be a list of length 2"),
        ({"refittable": 1}, "refittable must be true or false; got 1"),
        ({"optimization_level": "3"}, "optimization_level must be an integer"),
        ({"surprise": 1}, "unknown key 'surprise'; a sidecar of this tool has file, sha256"),
        ({"backend": None}, r'backend must be "tensorrt" or "tensorrt-rtx"; got None'),
    ],
)
def test_wrong_contents(engine: Path, change: dict[str, Any], words: str) -> None:
    path = sidecar_path(engine)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ArtefactError, match=words) as failure:
        check_engine_sidecar(engine)
    assert "build the engine again with ltm-build" in str(failure.value)


def test_no_json(engine: Path) -> None:
    sidecar_path(engine).write_text("[]")
    with pytest.raises(ArtefactError, match="not a sidecar of this tool"):
        check_engine_sidecar(engine)
