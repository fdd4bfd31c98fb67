"""OpenVINO itself where it is installed, and everywhere what a stand-in for it is asked."""

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy import load_engine
from litematting_deploy.errors import ArtefactError, DependencyError, DeviceError, UsageError
from litematting_deploy.runtime.shipped import SHIPPED_ENGINE, example_patch
from litematting_deploy.sidecar import read_sidecar
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, run
from tests.engines.openvino_standin import OpenVino
from tests.engines.test_onnxruntime import copy, edit_sidecar, inputs

EQUAL = 3e-5
"""Largest difference of alpha between two libraries that compute in float32."""
HERE = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HERE, reason="openvino is not installed (extra openvino)")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "litematting-deploy"


@pytest.fixture
def standin(mean_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> OpenVino:
    sidecar = read_sidecar(mean_onnx)
    assert sidecar is not None
    made = OpenVino(sidecar.essentials())
    monkeypatch.setitem(sys.modules, "openvino", made)
    return made


def test_float32_is_asked_for_and_patches_are_computed(standin: OpenVino, mean_onnx: Path) -> None:
    patches = inputs(5, 32)
    with load_engine(mean_onnx, "openvino", batch=3, threads=2) as engine:
        assert engine.describe() == "openvino-cpu 2026.4.1 on openvino, 32x32 fp32"
        alpha = engine.run(**{name: array[:2] for name, array in patches.items()})
        assert engine.batch == 3
    assert standin.settings["INFERENCE_PRECISION_HINT"] == "f32"
    assert standin.settings["INFERENCE_NUM_THREADS"] == 2
    np.testing.assert_allclose(alpha, patches["image"][:2].mean(1, keepdims=True), atol=1e-6)


def test_what_it_compiles_is_kept(standin: OpenVino, mean_onnx: Path, cache: Path) -> None:
    for _ in range(2):
        load_engine(mean_onnx, "openvino").close()
    assert standin.log == ["read", "compile for CPU", "import for CPU"]
    load_engine(mean_onnx, "openvino", batch=2).close()
    first, second = cache.iterdir()
    assert {first.read_bytes(), second.read_bytes()} == {b"compiled 1", b"compiled 2"}
    for kept in (first, second):
        kept.write_bytes(b"damaged")
    with pytest.warns(
        UserWarning, match=r"openvino-.*: OpenVINO rejects the model it compiled earlier .*\(Check 'blob'"
    ):
        load_engine(mean_onnx, "openvino").close()
    assert b"compiled 1" in {first.read_bytes(), second.read_bytes()}


@pytest.mark.usefixtures("standin")
def test_what_has_no_sidecar_is_not_kept(mean_onnx: Path, tmp_path: Path, cache: Path) -> None:
    with (
        pytest.warns(UserWarning, match="no sidecar"),
        load_engine(copy(mean_onnx, tmp_path, False), "openvino") as one,
    ):
        assert one.precision == "unknown"
    assert not cache.exists()


def test_group_norms_keep_any_number_of_patches(standin: OpenVino, mean_onnx: Path) -> None:
    """With a fixed number, OpenVINO 2026.4.1 ends the whole process while it compiles."""
    standin.operators.append("GroupNormalization")
    with load_engine(mean_onnx, "openvino", batch=2) as engine:
        assert engine.batch is None
        assert engine.run(**inputs(5, 32)).shape == (5, 1, 32, 32)


def test_other_precisions_and_devices(standin: OpenVino, mean_onnx: Path) -> None:
    with pytest.raises(DeviceError, match=r"`precision=bf16`: a CPU does not support bf16, .*use `precision=fp32`"):
        load_engine(mean_onnx, "openvino", precision="bf16")
    with pytest.raises(
        DeviceError, match=r"`device=openvino:gpu`: OpenVINO 2026.4.1 sees only CPU; install the driver"
    ):
        load_engine(mean_onnx, "openvino:gpu")
    with pytest.raises(UsageError, match=r"`precision` must be fp32, bf16 or fp16 for an ONNX on OpenVINO; got tf32"):
        load_engine(mean_onnx, "openvino", precision="tf32")
    with pytest.raises(UsageError, match=r"`device` must be .*, openvino:gpu, openvino:npu, .* got 'openvino:tpu'"):
        load_engine(mean_onnx, "openvino:tpu")
    standin.available_devices, standin._capabilities = ["CPU", "GPU.0", "GPU.1"], ("FP32", "FP16", "BF16")
    with load_engine(mean_onnx, "openvino:gpu", precision="fp16") as engine:
        assert (engine.name, engine.device, engine.precision) == ("openvino-gpu", "openvino:gpu", "fp16")
    assert standin.settings == {"INFERENCE_PRECISION_HINT": "f16", "PERFORMANCE_HINT": "LATENCY"}
    with pytest.raises(UsageError, match=r"`threads` applies only to a CPU"):
        load_engine(mean_onnx, "openvino:gpu", threads=2)
    with load_engine(mean_onnx, "openvino", precision="bf16") as engine:
        assert engine.precision == "bf16"
    assert standin.settings["INFERENCE_PRECISION_HINT"] == "bf16"


@pytest.mark.usefixtures("standin")
def test_an_edited_sidecar_is_found(mean_onnx: Path, tmp_path: Path) -> None:
    path = copy(mean_onnx, tmp_path)
    edit_sidecar(path, precision="fp16")
    with pytest.raises(ArtefactError, match='precision is "fp32" in the file, but "fp16" in its sidecar'):
        load_engine(path, "openvino")


def test_without_openvino_the_extra_is_named(mean_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DependencyError, match=r"needs openvino, which is not installed: .*\[openvino\]"):
        load_engine(mean_onnx, "openvino")


@needs_openvino
def test_it_equals_onnxruntime_and_is_kept(small_onnx: Path, cache: Path) -> None:
    patches = inputs(3)
    with load_engine(small_onnx, "cpu") as reference:
        wanted = reference.run(**patches)
    for _ in range(2):
        with load_engine(small_onnx, "openvino", batch=2, threads=1) as engine:
            assert engine.batch is None
            for part in (slice(0, 2), slice(2, 3)):
                alpha = engine.run(**{name: array[part] for name, array in patches.items()})
                np.testing.assert_allclose(alpha, wanted[part], atol=EQUAL)
        (kept,) = cache.glob("openvino-*")
    written = kept.stat().st_mtime_ns
    with load_engine(small_onnx, "openvino", batch=2, threads=1) as engine, ThreadPoolExecutor(2) as pool:
        pairs = [{name: array[part] for name, array in patches.items()} for part in (slice(0, 2), slice(1, 3))]
        for alpha, part in zip(
            pool.map(lambda each: engine.run(**each), pairs), (slice(0, 2), slice(1, 3)), strict=True
        ):
            np.testing.assert_allclose(alpha, wanted[part], atol=EQUAL)
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="OpenVINO rejects"), load_engine(small_onnx, "openvino", batch=2) as engine:
        assert engine.precision == "fp32"


@needs_openvino
def test_alpha_that_is_not_finite_and_files_that_are_no_onnx(root_onnx: Path, tmp_path: Path) -> None:
    black = inputs(1, 32) | {"image": np.zeros((1, 3, 32, 32), np.float32)}
    with load_engine(root_onnx, "openvino") as engine, pytest.raises(ArtefactError, match="alpha is not finite"):
        engine.run(**black)
    (tmp_path / "no.onnx").write_bytes(b"no network")
    with pytest.raises(ArtefactError, match=r"no\.onnx: OpenVINO cannot load it"):
        load_engine(tmp_path / "no.onnx", "openvino")


@needs_openvino
def test_nothing_is_told_to_the_makers_of_openvino(mean_onnx: Path, tmp_path: Path) -> None:
    """It keeps an identifier and statistics in the home folder, and sends what it likes, as soon as it is imported."""
    home = tmp_path / "home"
    home.mkdir()
    plain = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(tmp_path / "kept")}
    plain |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    code = f"import sys; from litematting_deploy import load_engine; load_engine({str(mean_onnx)!r}, 'openvino')"
    code += "; assert 'openvino' in sys.modules and not sys.modules['openvino_telemetry']"
    subprocess.run([sys.executable, "-c", code], env=plain, check=True)
    assert [path for path in home.rglob("*") if path.is_file()] == []


@needs_openvino
@pytest.mark.slow
def test_the_shipped_weights_equal_onnxruntime() -> None:
    patch = example_patch((640, 640))
    with load_engine(SHIPPED_ENGINE, "cpu") as one, load_engine(SHIPPED_ENGINE, "openvino") as other:
        np.testing.assert_allclose(other.run(**patch), one.run(**patch), atol=EQUAL)


@needs_openvino
def test_the_last_line_says_what_ran(small_onnx: Path, tmp_path: Path) -> None:
    for source, name in ((EXAMPLE, "photo.png"), (EXAMPLE_TRIMAP, "trimap.png")):
        with Image.open(source) as picture:
            picture.crop((600, 1000, 700, 1080)).save(tmp_path / name)
    files = (tmp_path / "photo.png", tmp_path / "trimap.png", "-o", tmp_path / "alpha.png")
    result = run("ltm-infer", *files, "--engine", small_onnx, "--device", "openvino")
    assert result.code == 0, result
    assert " on openvino, 64x64 fp32" in result.out
