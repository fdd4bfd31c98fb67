"""What `auto` stands for: the rules, one by one, and that they are those of the page."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from litematting_deploy import load_engine
from litematting_deploy.engines.providers import CHECKPOINT, ONNX, PROVIDERS, TENSORRT, Provider
from litematting_deploy.errors import DeviceError
from litematting_deploy.jobs.cluster.pipeline import _for_actors
from litematting_deploy.runtime import automatic, loading, trial
from litematting_deploy.runtime.automatic import COMPILES_S, OPENS_S, RULES, TRIAL_PATCHES, choices
from litematting_deploy.runtime.loading import resolved, runs_on_gpu, takes_threads
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE
from litematting_deploy.runtime.trial import Trial
from litematting_deploy.specs import EngineSpec, JobSpec, OutputSpec
from tests.conftest import ROOT

FASTER, SLOWER = Trial(onnxruntime_s=0.5, openvino_s=0.25), Trial(onnxruntime_s=0.5, openvino_s=0.6)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Sets what is installed, what an earlier trial found, and whether a model is compiled already."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def has(*installed: str, found: Trial | None = None, compiled: bool = False, onnxruntime: bool = True) -> None:
        here = {*installed, *(["cpu"] if onnxruntime else [])}
        monkeypatch.setattr(Provider, "is_here", lambda self: self.device in here)
        monkeypatch.setattr(automatic, "earlier_trial", lambda *_: found)
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
    machine(found=FASTER)
    assert chosen() == ["cpu"]
    assert choices(EngineSpec(), SHIPPED_CHECKPOINT, CHECKPOINT) == ["cpu"]
    assert choices(EngineSpec(), Path("a.engine"), TENSORRT) == ["cuda"]


def test_the_best_comes_first_and_what_was_not_measured_never(machine: Any) -> None:
    machine(*PROVIDERS, found=FASTER)
    assert chosen() == ["cuda", "openvino", "cpu"]
    assert chosen(threads=2) == ["openvino", "cpu"]
    assert choices(EngineSpec(), SHIPPED_CHECKPOINT, CHECKPOINT) == ["cpu"]
    machine("openvino", found=SLOWER)
    assert chosen() == ["cpu"]


def test_less_than_float32_is_openvinos_alone(machine: Any) -> None:
    machine("cuda", "openvino", found=SLOWER)
    assert chosen(precision="bf16") == ["openvino"]
    assert chosen(precision="fp32") == ["cuda", "cpu"]
    machine("cuda")
    assert chosen(precision="bf16") == ["cpu"]  # which says that this is not for it


@pytest.mark.parametrize(("compiled", "start_s"), [(True, OPENS_S), (False, COMPILES_S)])
def test_opening_and_compiling_count_for_a_photo_alone(machine: Any, compiled: bool, start_s: float) -> None:
    machine("openvino", found=FASTER, compiled=compiled)
    least = round(start_s / FASTER.gain_s())
    assert chosen(photo(least)) == ["openvino", "cpu"]
    assert chosen(photo(least - 1)) == ["cpu"]
    assert chosen() == ["openvino", "cpu"]


def test_a_large_job_is_worth_a_trial(machine: Any) -> None:
    machine("openvino")
    assert chosen() == ["openvino", "cpu"]
    assert chosen(photo(TRIAL_PATCHES)) == ["openvino", "cpu"]
    assert chosen(photo(TRIAL_PATCHES - 1)) == ["cpu"]


def test_openvino_alone_needs_no_trial(machine: Any) -> None:
    machine("openvino", found=SLOWER, onnxruntime=False)
    assert chosen(photo(1)) == ["openvino", "cpu"]
    machine("openvino", onnxruntime=False)
    assert not automatic.needs_trial(EngineSpec(), SHIPPED_ENGINE, chosen())


class Clocked:
    """In the place of an engine: takes as long as it is told to, by a clock of its own."""

    now = 0.0
    patch_hw = (32, 32)
    batch: int | None = 2

    def __init__(self, device: str, seconds: float) -> None:
        self.device, self._seconds, self.closed = device, seconds, False

    def run(self, image: Any, **_: Any) -> None:
        assert len(image) == self.batch
        Clocked.now += self._seconds

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "Clocked":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.mark.parametrize(("openvino_s", "device"), [(0.5, "openvino"), (1.5, "cpu")])
def test_a_trial_takes_the_faster_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, openvino_s: float, device: str
) -> None:
    opened = []

    def clocked(spec: EngineSpec) -> Clocked:
        opened.append(Clocked(spec.device, 2 * (openvino_s if spec.device == "openvino" else 1.0)))
        return opened[-1]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(Provider, "is_here", lambda self: self.device in ("openvino", "cpu"))
    monkeypatch.setattr(loading, "_opened", clocked)
    monkeypatch.setattr("time.perf_counter", lambda: Clocked.now)
    spec = EngineSpec()
    assert load_engine().device == device
    assert [one.device for one in opened if not one.closed] == [device]
    assert trial.earlier_trial(spec, SHIPPED_ENGINE) == Trial(1.0, openvino_s)
    tried = len(opened)
    assert load_engine().device == device
    assert len(opened) == tried + 1
    assert trial.earlier_trial(EngineSpec(threads=1), SHIPPED_ENGINE) is None, "with other threads it is another"
    assert resolved(EngineSpec(threads=1)).device == device


def test_an_engine_that_fails_in_its_trial_is_closed_and_the_other_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = []

    def clocked(spec: EngineSpec) -> Clocked:
        opened.append(Clocked(spec.device, 1.0))
        if spec.device == "openvino":
            opened[-1].run = Mock(side_effect=DeviceError("out of memory"))  # type: ignore[method-assign]
        return opened[-1]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(Provider, "is_here", lambda self: self.device in ("openvino", "cpu"))
    monkeypatch.setattr(loading, "_opened", clocked)
    with pytest.warns(UserWarning, match="skipped a device that does not work here: out of memory"):
        assert load_engine().device == "cpu"
    assert [one.device for one in opened if not one.closed] == ["cpu"]
    assert trial.earlier_trial(EngineSpec(), SHIPPED_ENGINE) is None


def test_a_damaged_trial_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trial.keep_trial(EngineSpec(), SHIPPED_ENGINE, FASTER)
    (kept,) = tmp_path.rglob("trial-*.json")
    kept.write_text('{"onnxruntime_s": 1')
    assert trial.earlier_trial(EngineSpec(), SHIPPED_ENGINE) is None


def test_the_page_has_these_rules() -> None:
    page = (ROOT / "docs" / "how-to" / "engines.md").read_text()
    rows = [f"| `{rule.device}` | {' or '.join(rule.kinds)} | {rule.words} |" for rule in RULES]
    assert "\n".join(rows).replace("`precision`", "`--precision`") in page


def test_what_does_not_open_is_passed_over_with_a_warning(
    mean_onnx: Path, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("openvino", found=FASTER)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with (
        pytest.warns(UserWarning, match=r"`device=auto` skipped a device .*: `device=openvino` needs"),
        load_engine(mean_onnx) as engine,
    ):
        assert engine.device == "cpu"
    with pytest.raises(DeviceError, match=r"sees 0 CUDA devices|no CUDA driver|has no CUDAExecutionProvider"):
        load_engine(mean_onnx, "cuda")


def test_a_cluster_decides_once(machine: Any) -> None:
    machine("openvino", found=FASTER)
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
