"""ONNX Runtime's plugins and Apple's GPU, mostly by stand-ins: few machines have them."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from litematting_deploy import load_engine
from litematting_deploy.engines import onnxruntime_plugins
from litematting_deploy.engines.onnxruntime_plugins import OnnxRuntimePlugin
from litematting_deploy.engines.providers import ONNX, PROVIDERS, running
from litematting_deploy.errors import DependencyError, DeviceError
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from tests.conftest import ROOT
from tests.engines.test_onnxruntime import inputs

WEBGPU = "onnxruntime_ep_webgpu"


def test_what_is_missing_is_said_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PROVIDERS["cpu"].missing() == ""
    for name, words in (("coreml", "is for macOS"), ("mps", "is for macOS"), ("cuda", "no NVIDIA driver")):
        if sys.platform == "linux" and not os.path.exists("/proc/driver/nvidia/version"):
            assert words in PROVIDERS[name].missing()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "[openvino]'" in PROVIDERS["openvino"].missing()
    assert running(ONNX)[0].device == "cpu"


def test_the_extras_are_those_of_the_package() -> None:
    said = (ROOT / "setup.cfg").read_text()
    assert all(f"\n{provider.extra} =\n" in said for provider in PROVIDERS.values())


def test_an_onnxruntime_without_coreml_says_so(mean_onnx: Path) -> None:
    if "CoreMLExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CoreML")
    with pytest.raises(DeviceError, match=r"`device=coreml`: the installed onnxruntime .* only its macOS wheels"):
        load_engine(mean_onnx, "coreml")


def test_a_pytorch_without_apples_gpu_says_so() -> None:
    with pytest.raises(DeviceError, match=r"`device=mps`: PyTorch .* sees no Apple GPU; use `device=cpu`"):
        load_engine(SHIPPED_CHECKPOINT, "mps", patch_hw=(32, 32))


class Plugin:
    """WebGPU's package and the part of ONNX Runtime that loads it. devices: those that it sees once it is loaded."""

    def __init__(self, *devices: str) -> None:
        self._devices, self._loaded = devices, False

    def get_library_path(self) -> str:
        return "libwebgpu.so"

    def register_execution_provider_library(self, _: str, path: str) -> None:
        assert path == "libwebgpu.so"
        self._loaded = True

    def get_ep_devices(self) -> list[Any]:
        return [SimpleNamespace(ep_name=name) for name in self._devices if self._loaded]

    capi = onnxruntime.capi


def test_a_plugin_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, WEBGPU, None)
    with pytest.raises(DependencyError, match=r"needs onnxruntime_ep_webgpu, .*\[webgpu\]"):
        onnxruntime_plugins._webgpu_devices(Plugin())
    blind, seeing = Plugin("CPUExecutionProvider"), Plugin("CPUExecutionProvider", *["WebGpuExecutionProvider"] * 2)
    monkeypatch.setitem(sys.modules, WEBGPU, blind)
    with pytest.raises(DeviceError, match="the plugin sees no GPU; install its driver"):
        onnxruntime_plugins._webgpu_devices(blind)
    monkeypatch.setitem(sys.modules, WEBGPU, seeing)
    assert len(onnxruntime_plugins._webgpu_devices(seeing)) == 1


def test_nodes_on_the_cpu_are_said() -> None:
    engine: Any = OnnxRuntimePlugin.__new__(OnnxRuntimePlugin)
    engine.name, engine.version, engine.device, engine.patch_hw, engine.precision = "a", "1", "webgpu", (64, 64), "fp32"
    engine._nodes = 900
    assert engine.describe() == "a 1 on webgpu, 64x64 fp32"
    engine.on_cpu = Counter({"Cast": 5, "Concat": 2})
    assert engine.describe().endswith("fp32, 7 of 900 nodes on the CPU (5 Cast, 2 Concat)")
    engine.on_cpu |= Counter({"ReduceMean": 40, "Shape": 1})
    assert engine.describe().endswith("48 of 900 nodes on the CPU (40 ReduceMean, 5 Cast, 2 Concat, ...)")


@pytest.mark.skipif(importlib.util.find_spec(WEBGPU) is None, reason="onnxruntime-ep-webgpu is not installed")
def test_webgpu_equals_the_cpu(mean_onnx: Path) -> None:
    """In a process of its own, since the plugin stays loaded.

    Without a GPU, VK_ICD_FILENAMES may name a software driver and ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1 allow it.
    """
    code = f"""
import sys
from litematting_deploy import load_engine
from litematting_deploy.errors import ArtefactError, DeviceError
from tests.engines.test_providers import compare
try:
    with load_engine({str(mean_onnx)!r}, "webgpu") as engine:
        compare(engine, {str(mean_onnx)!r})
except (ArtefactError, DeviceError) as error:
    print(error)
    sys.exit(77)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=280)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip()[:300])
    assert done.returncode == 0, done.stderr
    assert " on webgpu, 32x32 fp32" in done.stdout


def compare(engine: Any, path: str) -> None:
    """Hold an engine against ONNX Runtime on the CPU."""
    print(engine.describe())
    with load_engine(path, "cpu") as reference:
        np.testing.assert_allclose(engine.run(**inputs(1, 32)), reference.run(**inputs(1, 32)), atol=3e-5)
