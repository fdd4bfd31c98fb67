"""The checks that the command's tests do not reach, and what they say of what is wrong."""

import contextlib
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from litematting_deploy._optional import require
from litematting_deploy.doctor import check_files, check_gpu, check_host, expected
from litematting_deploy.doctor.expected import built_tiny, tiny_agreement
from litematting_deploy.doctor.registry import Check, Found, MissingError, attempt, needs, overwritten
from litematting_deploy.errors import ArtefactError, DependencyError, DeviceError, OutputError, ToleranceError
from litematting_deploy.files import sha256
from litematting_deploy.runtime.cuda import open_cuda
from litematting_deploy.runtime.loading import load_engine
from litematting_deploy.runtime.shipped import EXPECTED, SHIPPED_CHECKPOINT, TINY_ENGINE
from litematting_deploy.sidecar import check_engine_sidecar
from tests.conftest import ROOT
from tests.engines.openvino_standin import OpenVino
from tests.runtime.cuda.host import HostCuda


def test_all_that_is_missing_is_said_and_no_fault() -> None:
    def no_gpu() -> None:
        raise DeviceError("no GPU")

    needs(lambda: require("json", "cpu", "this"))
    with pytest.raises(MissingError, match=r"this needs nothing_at_all, .*\[cpu\].*; also no GPU"):
        needs(lambda: require("nothing_at_all", "cpu", "this"), no_gpu)


def test_a_package_that_is_there_and_does_not_import_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unloadable.py").write_text("raise ImportError('libnothing.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match="installed but cannot be imported: libnothing"):
        needs(lambda: require("unloadable", "cpu", "this"))


def test_heic_and_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif")
    assert check_files.containers().detail.startswith("reads HEIC")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingError, match=r"HEIC .* needs pillow_heif, .*\[heif\]"):
        check_files.containers()


def test_the_stored_numbers_are_of_the_shipped_weights() -> None:
    """Otherwise: python recipes/doctor_assets.py"""
    assert json.loads(EXPECTED.read_bytes())["checkpoint_sha256"] == sha256(SHIPPED_CHECKPOINT)


@pytest.mark.filterwarnings("ignore:.*no sidecar")
def test_wrong_results_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with load_engine(TINY_ENGINE) as tiny, pytest.raises(ToleranceError, match="expected at mo"):
        expected.agreement(tiny)
    stored = json.loads(EXPECTED.read_bytes()) | {"checkpoint_sha256": "0" * 64}
    (tmp_path / "expected.json").write_text(json.dumps(stored))
    monkeypatch.setattr(expected, "EXPECTED", tmp_path / "expected.json")
    with load_engine(TINY_ENGINE) as tiny, pytest.raises(ArtefactError, match="does not belong to"):
        expected.agreement(tiny)


@pytest.mark.filterwarnings("ignore:.*no sidecar")
def test_the_tiny_network_is_what_its_source_says() -> None:
    """Otherwise: python recipes/doctor_assets.py"""
    source = runpy.run_path(str(ROOT / "recipes" / "doctor_assets.py"))
    assert onnx.load(TINY_ENGINE) == onnx.load_from_string(source["tiny_onnx"]())
    with load_engine(TINY_ENGINE) as engine:
        assert engine.patch_hw == (32, 32)
        assert "matches to" in tiny_agreement(engine)
    with built_tiny("tensorrt-rtx", ("8.9",)) as built:
        sidecar = check_engine_sidecar(built.path)
        assert sidecar.architectures == ("8.9",)
        assert sidecar.precision == "fp32"


def test_kernels_on_a_device(host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_gpu, "open_cuda", lambda: host_cuda)
    assert "compute correct results" in check_gpu.cuda_python().detail


def test_kernels_that_compute_nonsense(host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_gpu, "open_cuda", lambda: host_cuda)
    monkeypatch.setattr(host_cuda, "download", lambda target, *_: target.fill(7))
    with pytest.raises(DeviceError, match="a kernel computed wrong distances"):
        check_gpu.cuda_python()


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot be written \(.*\), .*; set XDG_CACHE_HOME"):
        check_files.cache()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert "is writable" in check_files.cache().detail
    assert list((tmp_path / "new" / "litematting-deploy").iterdir()) == []


def test_two_wheels_of_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wheel:
        def __init__(self, name: str) -> None:
            self.metadata = {"Name": name}

    check_gpu._one_onnxruntime()
    both = [Wheel("onnxruntime"), Wheel("onnxruntime-gpu")]
    monkeypatch.setattr("importlib.metadata.distributions", lambda: both)
    with pytest.raises(DependencyError, match="overwrite each other: pip uninstall onnxruntime onnxruntime-gpu"):
        check_gpu._one_onnxruntime()


def test_another_wheel_over_onnxruntime_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert overwritten("onnxruntime-openvino", "cpu,openvino") == ""
    both = [SimpleNamespace(metadata={"Name": name}) for name in ("onnxruntime", "onnxruntime-openvino")]
    monkeypatch.setattr("importlib.metadata.distributions", lambda: both)
    said = overwritten("onnxruntime-openvino", "cpu,openvino")
    assert "overwrite each other: pip uninstall onnxruntime onnxruntime-openvino" in said


def test_openvino_says_what_it_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", OpenVino({}))
    monkeypatch.setattr(check_host, "agreement", lambda _: "right")
    opened = SimpleNamespace(version="2026.4.1")
    monkeypatch.setattr(check_host, "load_engine", lambda **_: contextlib.nullcontext(opened))
    assert check_host.openvino() == Found("openvino 2026.4.1", "right; it sees CPU")


def test_bindings_newer_than_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "13.0.2")
    check_gpu._check_bindings(13, "13.0")
    with pytest.raises(DependencyError, match=r"supports CUDA 12.8, but cuda-bindings 13.0.2 .*\[cuda12\]"):
        check_gpu._check_bindings(12, "12.8")


def test_formats_that_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_files, "read_image", lambda _: np.zeros((48, 64, 3), np.uint8))
    assert attempt(Check("", "files", "images"))[0] == "broken"


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    try:
        open_cuda()
    except (DeviceError, DependencyError) as error:
        pytest.skip(str(error))
    for check in ("driver", "cuda_python"):
        assert attempt(Check("", "gpu", check))[0] == "runs"
    for check in ("onnxruntime_cuda", "onnxruntime_tensorrt", "pytorch_cuda", "tensorrt", "tensorrt_rtx"):
        state, found = attempt(Check("", "gpu", check))
        assert state in ("runs", "unavailable"), found
