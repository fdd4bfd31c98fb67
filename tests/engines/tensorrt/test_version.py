"""The seam, against the real tensorrt_rtx."""

import dataclasses
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from litematting_deploy.engines.tensorrt import version as trt
from litematting_deploy.errors import DependencyError, UsageError
from litematting_deploy.sidecar import Builder


@pytest.fixture
def rtx() -> trt.TensorRT:
    return trt.load("tensorrt-rtx", "a test")


def test_loads_the_module_with_its_version(rtx: trt.TensorRT) -> None:
    assert rtx.module is sys.modules["tensorrt_rtx"]
    assert rtx.version == rtx.module.__version__
    assert rtx.is_rtx
    assert rtx.builder() is not None


def test_all_but_tensorrt_11_are_told_to_keep_the_types(rtx: trt.TensorRT) -> None:
    strongly = 1 << int(rtx.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    versions: tuple[tuple[Builder, str], ...] = (
        ("tensorrt", "10.0.1"),
        ("tensorrt", "11.4.0.106"),
        ("tensorrt-rtx", "1.7.1.116"),
    )
    flags = [dataclasses.replace(rtx, backend=name, version=version).network_flags() for name, version in versions]
    assert flags == [strongly, 0, strongly]
    network = rtx.builder().create_network(rtx.network_flags())
    assert network.get_flag(rtx.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def test_missing_old_and_unknown_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="`backend` must be one of tensorrt, tensorrt-rtx; got 'onnx'"):
        trt.load("onnx", "x")
    newer = dataclasses.replace(trt.BACKENDS["tensorrt-rtx"], minimum=(99, 1))
    monkeypatch.setitem(trt.BACKENDS, "tensorrt-rtx", newer)
    with pytest.raises(
        DependencyError, match=r"needs tensorrt_rtx 99\.1 or newer, but .* is installed, .*\[rtx-cu13\]"
    ):
        trt.load("tensorrt-rtx", "a newer one")
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=r"a missing one needs tensorrt, .*\[trt-cu13\]"):
        trt.load("tensorrt", "a missing one")
    with pytest.raises(DependencyError, match=r"neither of which is installed.*\[rtx-cu13\].*trt-cu13"):
        trt.installed_backend()


@pytest.mark.parametrize("version", ["10.0.1", "10.3.0", "10.9.0.34"])
def test_the_tensorrt_of_jetpack_and_of_containers_is_taken(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", old_tensorrt(version))
    assert trt.load("tensorrt", f"a test of {version}").version == version


def test_older_than_10_0_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", old_tensorrt("8.6.1"))
    with pytest.raises(
        DependencyError, match=r"10\.0 or newer, but 8\.6\.1 is installed, and older versions change the types"
    ):
        trt.load("tensorrt", "a test of 8.6")


def old_tensorrt(version: str) -> Any:
    """The parts of another TensorRT that are looked at before anything is built."""
    real = trt.load("tensorrt-rtx", "a test").module
    return SimpleNamespace(__version__=version, ILogger=real.ILogger, __spec__=None)


def test_messages_are_kept_and_not_printed(rtx: trt.TensorRT, capfd: pytest.CaptureFixture[str]) -> None:
    runtime = rtx.module.Runtime(rtx.logger())
    assert runtime.deserialize_cuda_engine(b"no engine" * 100) is None
    said = rtx.log.summary()
    assert "erialization" in said
    assert "\n" not in said
    assert len(said) <= trt.MAX_REASON + 3
    assert len(set(rtx.log.errors)) == len(rtx.log.errors) > 0
    assert rtx.logger() is rtx.log
    assert rtx.log.summary() == ""
    assert capfd.readouterr() == ("", "")


def test_looking_for_a_gpu_needs_neither_driver_nor_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    found = trt.gpu_capability()
    assert found is None or found >= (7, 0)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    assert trt.gpu_capability() is None
