"""What `auto` stands for: the rules, one by one, and that they are those of the page."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litematting_deploy import load_engine
from litematting_deploy.engines.providers import CHECKPOINT, ONNX, PROVIDERS, TENSORRT, Provider
from litematting_deploy.errors import DeviceError
from litematting_deploy.jobs.cluster.pipeline import _for_actors
from litematting_deploy.runtime import automatic
from litematting_deploy.runtime.automatic import COMPILES, OPENS, RULES, choices
from litematting_deploy.runtime.loading import resolved, runs_on_gpu, takes_threads
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE
from litematting_deploy.specs import EngineSpec, JobSpec, OutputSpec
from tests.conftest import ROOT


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what is installed, the processor's flags, and whether a model is compiled already."""

    def has(*installed: str, flags: str = "avx2", compiled: bool = False) -> None:
        monkeypatch.setattr(Provider, "is_here", lambda self: self.device in installed)
        monkeypatch.setattr(automatic, "processor_flags", lambda: frozenset(flags.split()))
        monkeypatch.setattr(automatic, "is_compiled", lambda *_: compiled)

    return has


def chosen(trimap: Any = None, **spec: Any) -> list[str]:
    return choices(EngineSpec(**spec), SHIPPED_ENGINE, ONNX, trimap)


def photo(patches: int) -> Any:
    """A trimap with an unknown pixel in each of so many patches of the shipped engine, side by side."""
    trimap = np.zeros((640, 640 * patches), np.uint8)
    trimap[7, 3::640] = 128
    return trimap


def test_without_extras_it_is_the_cpu(machine: Any) -> None:
    machine(flags="avx512f")
    assert chosen() == ["cpu"]
    assert choices(EngineSpec(), SHIPPED_CHECKPOINT, CHECKPOINT) == ["cpu"]
    assert choices(EngineSpec(), Path("a.engine"), TENSORRT) == ["cuda"]


def test_the_best_comes_first_and_what_was_not_measured_never(machine: Any) -> None:
    machine(*PROVIDERS, flags="avx2 avx512f")
    assert chosen() == ["cuda", "openvino", "cpu"]
    assert chosen(threads=2) == ["openvino", "cpu"]
    assert choices(EngineSpec(), SHIPPED_CHECKPOINT, CHECKPOINT) == ["cpu"]
    machine("openvino")
    assert chosen() == ["cpu"], "ONNX Runtime is faster with AVX2"


def test_less_than_float32_is_openvinos_alone(machine: Any) -> None:
    machine("cuda", "openvino")
    assert chosen(precision="bf16") == ["openvino"]
    assert chosen(precision="fp32") == ["cuda", "cpu"]
    machine("cuda")
    assert chosen(precision="bf16") == ["cpu"]  # which says that this is not for it


@pytest.mark.parametrize(("compiled", "least"), [(True, OPENS), (False, COMPILES)])
def test_opening_and_compiling_count_for_a_photo_alone(machine: Any, compiled: bool, least: int) -> None:
    machine("openvino", flags="avx512f", compiled=compiled)
    assert chosen(photo(least)) == ["openvino", "cpu"]
    assert chosen(photo(least - 1)) == ["cpu"]
    assert chosen() == ["openvino", "cpu"]


def test_the_page_has_these_rules() -> None:
    page = (ROOT / "docs" / "how-to" / "engines.md").read_text()
    rows = [f"| `{rule.device}` | {' or '.join(rule.kinds)} | {rule.words} |" for rule in RULES]
    assert "\n".join(rows).replace("`precision`", "`--precision`") in page


def test_what_does_not_open_is_passed_over_with_a_warning(
    mean_onnx: Path, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("openvino", flags="avx512f")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with (
        pytest.warns(UserWarning, match=r"`device=auto` skipped a device .*: `device=openvino` needs"),
        load_engine(mean_onnx) as engine,
    ):
        assert engine.device == "cpu"
    with pytest.raises(DeviceError, match=r"sees 0 CUDA devices|no CUDA driver|has no CUDAExecutionProvider"):
        load_engine(mean_onnx, "cuda")


def test_a_cluster_decides_once(machine: Any) -> None:
    machine("openvino", flags="avx512f")
    job = JobSpec(images="photos", source="trimaps", output=OutputSpec(alpha="mattes"))
    sent = _for_actors(job, 3).engine
    assert (sent.device, sent.threads) == ("openvino", 3)
    assert not runs_on_gpu(sent)
    assert runs_on_gpu(resolved(EngineSpec(engine="a.engine")))
    served = EngineSpec(engine="grpc://here/litematting")
    assert resolved(served) == served
    assert not takes_threads(served)


def test_finding_out_imports_nothing() -> None:
    code = (
        "import sys; from litematting_deploy.runtime.loading import resolved; "
        "from litematting_deploy import EngineSpec; "
        "assert resolved(EngineSpec()).device; heavy = {'onnxruntime', 'openvino', 'torch', 'cuda', 'tensorrt', "
        "'importlib.metadata', 'onnxruntime_ep_webgpu'} & set(sys.modules); assert not heavy, heavy"
    )
    driver = any(map(os.path.exists, ("/proc/driver/nvidia/version", "/dev/dxg")))
    code = code.replace("'importlib.metadata', ", "") if driver else code
    subprocess.run([sys.executable, "-c", code], check=True)
